//! Reads TOML so that every mistake is told at once, each with its place and a way out.
//!
//! serde stops at the first error. Here each key of each section is deserialized alone first, so
//! that one run of `credwatch check` shows all that has to be mended.

use std::fs;
use std::ops::Range;
use std::path::Path;

use serde::de::{DeserializeOwned, IntoDeserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::error::{ConfigError, Problem};

/// Files larger than this are refused: no configuration is, and reading is into memory.
const MAX_BYTES: u64 = 8 << 20;

/// A table with the places of its keys and values.
pub(super) type Table<'i> = DeTable<'i>;
/// A value with its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// Reads a whole file as text.
pub(super) fn read(file: &Path) -> Result<String, ConfigError> {
    let unreadable =
        |error: std::io::Error| Problem::whole(file, format!("cannot be read: {error}"));
    let metadata = fs::metadata(file).map_err(unreadable)?;
    if !metadata.is_file() {
        // Reading a pipe would wait for its writer.
        let message = "is no regular file; write the path of a TOML file";
        return Err(Problem::whole(file, message).into());
    }
    let size = metadata.len();
    if size > MAX_BYTES {
        let message = format!("has {size} bytes, more than the {MAX_BYTES} that are read");
        return Err(Problem::whole(file, message).into());
    }
    let bytes = fs::read(file).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        Problem::at(file, &text, at..at, "not UTF-8; save it as UTF-8".into()).into()
    })
}

/// One file while it is read, with the mistakes found so far.
pub(super) struct Reader<'i> {
    file: &'i Path,
    text: &'i str,
    problems: Vec<Problem>,
}

impl<'i> Reader<'i> {
    /// Parses a file's text. Where the syntax is broken that alone is noted, and the table is
    /// empty: what the parser meets after the first such place is mostly its own confusion.
    pub(super) fn parse(file: &'i Path, text: &'i str) -> (Self, Table<'i>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Self {
            file,
            text,
            problems: Vec::new(),
        };
        match errors.first() {
            Some(error) => {
                let message = format!("no TOML: {}", error.message());
                reader.problem(error.span().unwrap_or(0..0), message);
                (reader, Table::new())
            }
            None => (reader, table.into_inner()),
        }
    }

    /// Notes a mistake at a span of bytes.
    pub(super) fn problem(&mut self, at: Range<usize>, message: impl Into<String>) {
        let problem = Problem::at(self.file, self.text, at, message.into());
        self.problems.push(problem);
    }

    /// Notes a mistake that only matters where no other was found.
    pub(super) fn problem_unless_any(&mut self, at: Range<usize>, message: &str) {
        if self.problems.is_empty() {
            self.problem(at, message);
        }
    }

    /// Line and column, from 1, of a byte.
    pub(super) fn position(&self, at: usize) -> Option<(usize, usize)> {
        Problem::at(self.file, self.text, at..at, String::new()).position
    }

    /// Notes that `key` is not known in `place`, with the nearest of the names that are.
    pub(super) fn unknown_key(&mut self, at: Range<usize>, key: &str, place: &str, known: &[&str]) {
        self.problem(at, unknown("key", key, place, known));
    }

    /// A section such as `[discovery]`: `None` when it is not fit for use, which is then noted.
    /// Every field of `T` must have a default.
    pub(super) fn section<T>(&mut self, place: &str, value: Value<'i>) -> Option<T>
    where
        T: DeserializeOwned,
    {
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            self.problem(span, format!("must be a table: write {place}"));
            return None;
        };
        let known = fields_of::<T>();
        let before = self.problems.len();
        for (key, value) in &table {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                self.unknown_key(key.span(), name, place, known);
                continue;
            }
            let alone = Table::from_iter([(key.clone(), value.clone())]);
            let alone = Deserializer::from(Spanned::new(span.clone(), alone));
            if let Err(error) = T::deserialize(alone) {
                let at = error.span().unwrap_or_else(|| value.span());
                self.problem(at, format!("`{name}` in {place}: {}", error.message()));
            }
        }
        if self.problems.len() > before {
            return None;
        }
        match T::deserialize(Deserializer::from(Spanned::new(span.clone(), table))) {
            Ok(section) => Some(section),
            Err(error) => {
                let at = error.span().unwrap_or(span);
                self.problem(at, format!("{place}: {}", error.message()));
                None
            }
        }
    }

    /// The elements of an array of tables such as `[[sinks]]`.
    pub(super) fn elements(&mut self, place: &str, value: Value<'i>) -> Vec<Value<'i>> {
        let span = value.span();
        let DeValue::Array(array) = value.into_inner() else {
            self.problem(span, format!("must be an array of tables: write {place}"));
            return Vec::new();
        };
        array.into_iter().collect()
    }

    /// The mistakes that were found, in the order of lines.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.position);
        self.problems
    }
}

/// The sentence for a name that is not known: with a suggestion when one is near, else with all.
pub(super) fn unknown(what: &str, name: &str, place: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|known| (strsim::jaro_winkler(&name.to_lowercase(), known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity > 0.8);
    let name = name.escape_debug();
    match nearest {
        Some((_, nearest)) => {
            format!("unknown {what} `{name}` in {place}; did you mean `{nearest}`?")
        }
        None => format!(
            "unknown {what} `{name}` in {place}; it has {}",
            known
                .iter()
                .map(|known| format!("`{known}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

/// The place of a key in a table; the table's own place when the key is absent.
pub(super) fn key_span(table: &Value<'_>, name: &str) -> Range<usize> {
    let key = table.get_ref().as_table().and_then(|table| {
        table
            .keys()
            .find(|key| key.get_ref().as_ref() == name)
            .map(Spanned::span)
    });
    key.unwrap_or_else(|| table.span())
}

/// The names that `T`'s derived `Deserialize` knows, so that no list of keys is kept by hand.
pub(super) fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // The error is the point: it ends the deserialization once the names are known.
    let _ = T::deserialize(Introspection(&mut fields));
    fields
}

struct Introspection<'a>(&'a mut &'static [&'static str]);

impl<'de> serde::Deserializer<'de> for Introspection<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Reads an enum's name, so that other parsers can use its derived `Deserialize`.
pub(super) fn from_name<'de, T>(name: &'de str) -> Result<T, serde::de::value::Error>
where
    T: Deserialize<'de>,
{
    T::deserialize(name.into_deserializer())
}
