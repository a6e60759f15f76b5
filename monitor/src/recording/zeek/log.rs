//! The lines of a log, and which of their columns says what.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufRead};

use serde_json::value::RawValue;

use super::conn::{FIELDS, Networks, REQUIRED, Row, connection};
use super::connection::Connection;

/// Longest line.
const LONGEST_LINE: u64 = 1 << 20;
/// Most connections: they are put in order in memory, at some 200 bytes each.
const MOST: usize = 2_000_000;
/// Most lines of which it is told one by one what is wrong with them. The others are counted.
const TOLD: usize = 20;
/// What data sets put between the columns of their lists.
const SEPARATORS: [&str; 3] = ["|", "\t", ","];

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ZeekError {
    /// The file.
    #[error("cannot read the log: {0}")]
    Io(#[from] io::Error),
    /// Something else.
    #[error(
        "line {line} is neither of a Zeek log with a `#fields` header, nor JSON, nor a list of \
         names with `ts` and `id.orig_h` in it: this is no conn log"
    )]
    NotALog {
        /// Counted from 1.
        line: u64,
    },
    /// Another log.
    #[error("this is Zeek's `{path}` log; connections are in conn.log")]
    OtherLog {
        /// What it says that it is.
        path: String,
    },
    /// Columns that are needed.
    #[error("the header in line {line} has no {missing}; a conn log has")]
    Columns {
        /// Counted from 1.
        line: u64,
        /// Their names.
        missing: String,
    },
    /// A line without an end.
    #[error("line {line} is longer than {LONGEST_LINE} bytes: this is no conn log")]
    Line {
        /// Counted from 1.
        line: u64,
    },
    /// Too much for memory.
    #[error("it has more than {MOST} connections: split it, and replay the parts")]
    TooMany,
}

/// A line that is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

/// What a log holds.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// Connections of devices, in the order of the log.
    pub connections: Vec<Connection>,
    /// How many connections have no end that is a device's.
    pub of_others: u64,
    /// How many lines are no connections.
    pub rejected: u64,
    /// The first of them.
    pub told: Vec<Rejected>,
}

impl Log {
    /// How many lines there are that should be connections.
    pub fn lines(&self) -> u64 {
        self.connections.len() as u64 + self.of_others + self.rejected
    }

    fn reject(&mut self, line: u64, why: String) {
        self.rejected += 1;
        if self.told.len() < TOLD {
            self.told.push(Rejected { line, why });
        }
    }
}

/// Which column says what, in a log with columns.
struct Columns {
    separator: String,
    unset: String,
    /// Where each of the columns that are read stands.
    places: Vec<Option<Place>>,
    count: usize,
}

/// Where a column stands: between separators and, where a data set put columns of its own into
/// Zeek's last one, among these.
#[derive(Debug, Clone, Copy)]
struct Place {
    column: usize,
    part: Option<usize>,
}

/// What stands between the columns that were put into one.
const PARTS: &str = "   ";

/// Reads a log.
///
/// # Errors
/// Where it is none, or too large. A line that is no connection is no error: it is counted.
pub fn read(from: impl BufRead, networks: &Networks) -> Result<Log, ZeekError> {
    let mut log = Log::default();
    rows(from, FIELDS, |number, row| {
        match row.and_then(|row| connection(&row, networks)) {
            Ok(Some(found)) => log.connections.push(found),
            Ok(None) => log.of_others += 1,
            Err(why) => log.reject(number, why),
        }
        if log.connections.len() > MOST {
            return Err(ZeekError::TooMany);
        }
        Ok(())
    })?;
    Ok(log)
}

/// Hands on every line that should be a connection, with its number and these columns of it.
///
/// # Errors
/// Where it is no conn log, and those of `each`.
pub(super) fn rows(
    mut from: impl BufRead,
    fields: &'static [&'static str],
    mut each: impl FnMut(u64, Result<Row<'_>, String>) -> Result<(), ZeekError>,
) -> Result<(), ZeekError> {
    let mut separator = "\t".to_owned();
    let mut unset = "-".to_owned();
    let mut columns: Option<Columns> = None;
    let mut bytes = Vec::new();
    let mut is_first = true;
    for number in 1.. {
        bytes.clear();
        let mut limited = io::Read::take(&mut from, LONGEST_LINE);
        if limited.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        if bytes.len() as u64 == LONGEST_LINE && bytes.last() != Some(&b'\n') {
            return Err(ZeekError::Line { line: number });
        }
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end_matches(['\n', '\r']);
        if line.is_empty() {
            continue;
        }
        if let Some(comment) = line.strip_prefix('#') {
            if let Some(escaped) = comment.strip_prefix("separator ") {
                separator = unescape(escaped);
                continue;
            }
            match comment.split_once(&*separator) {
                Some(("unset_field", text)) => text.clone_into(&mut unset),
                Some(("path", path)) if path != "conn" => {
                    let path = path.escape_debug().take(40).collect();
                    return Err(ZeekError::OtherLog { path });
                }
                Some(("fields", names)) => {
                    columns = Some(Columns::of(names, &separator, &unset, fields, number)?);
                }
                _ => {}
            }
            continue;
        }
        let row = if line.starts_with('{') {
            json(line, fields)
        } else if let Some(columns) = &columns {
            columns.row(line, fields)
        } else if !is_first {
            Err("it is no JSON, and no header came before it".to_owned())
        } else {
            let is_header = |separator: &&&str| {
                let has = |name: &str| line.split(**separator).any(|column| column == name);
                has("ts") && has("id.orig_h")
            };
            let found = SEPARATORS.iter().find(is_header);
            let separator = found.ok_or(ZeekError::NotALog { line: number })?;
            columns = Some(Columns::of(line, separator, &unset, fields, number)?);
            continue;
        };
        is_first = false;
        each(number, row)?;
    }
    Ok(())
}

impl Columns {
    fn of(
        names: &str,
        separator: &str,
        unset: &str,
        fields: &[&str],
        line: u64,
    ) -> Result<Self, ZeekError> {
        let names: Vec<_> = names.split(separator).collect();
        let place = |field: &&str| {
            if let Some(column) = names.iter().position(|name| name == field) {
                return Some(Place { column, part: None });
            }
            let last = names.last()?;
            let part = last.split(PARTS).position(|name| name == *field);
            let column = names.len() - 1;
            part.map(|_| Place { column, part })
        };
        let places = fields.iter().map(place).collect();
        let missing = REQUIRED.iter().filter(|field| !names.contains(field));
        let missing: Vec<_> = missing.map(|field| format!("`{field}`")).collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            return Err(ZeekError::Columns { line, missing });
        }
        Ok(Self {
            separator: separator.to_owned(),
            unset: unset.to_owned(),
            places,
            count: names.len(),
        })
    }

    fn row<'a>(&self, line: &'a str, fields: &'a [&'a str]) -> Result<Row<'a>, String> {
        let values: Vec<_> = line.split(&*self.separator).collect();
        if values.len() != self.count {
            return Err(format!(
                "it has {} columns, and the header has {}",
                values.len(),
                self.count
            ));
        }
        let value = |place: &Option<Place>| {
            let place = (*place)?;
            let value = values.get(place.column).copied();
            let value = match place.part {
                Some(part) => value?.split(PARTS).nth(part),
                None => value,
            };
            value.filter(|value| *value != self.unset).map(Cow::from)
        };
        let values = self.places.iter().map(value).collect();
        Ok(Row { fields, values })
    }
}

fn json<'a>(line: &'a str, fields: &'a [&'a str]) -> Result<Row<'a>, String> {
    let object: HashMap<Cow<'_, str>, &RawValue> =
        serde_json::from_str(line).map_err(|error| format!("it is no JSON object: {error}"))?;
    if let Some(path) = object.get("_path").map(|path| path.get())
        && path != "\"conn\""
    {
        return Err("it is of another log than conn".to_owned());
    }
    let value = |field: &&str| {
        let value = object.get(*field)?.get();
        if value == "null" {
            None
        } else if value.starts_with('"') {
            serde_json::from_str::<String>(value).ok().map(Cow::from)
        } else {
            Some(Cow::from(value))
        }
    };
    let values = fields.iter().map(value).collect();
    Ok(Row { fields, values })
}

/// `\x09` as the byte that it stands for.
fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        plain.push_str(before);
        let byte = after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                plain.push_str("\\x");
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    if plain.is_empty() {
        "\t".to_owned()
    } else {
        plain
    }
}
