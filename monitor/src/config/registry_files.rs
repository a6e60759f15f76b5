//! Declared states: the files of `registry.d`, which a configuration management tool may write.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use toml::value::{Datetime, Offset};

use super::error::{ConfigError, Problem};
use super::reader::{self, Reader, Value, key_span};
use super::sections::optional_absolute_path;
use crate::model::{CredentialState, Fingerprint, RegistryChange, Selector, Target, Timestamp};

/// `[[identity]]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IdentityEntry {
    selector: Option<Selector>,
    state: Option<CredentialState>,
    #[serde(deserialize_with = "since")]
    since: Option<Timestamp>,
    reason: Option<String>,
}

/// `[[credential]]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CredentialEntry {
    #[serde(deserialize_with = "fingerprint")]
    fingerprint: Option<Fingerprint>,
    #[serde(deserialize_with = "optional_absolute_path")]
    path: Option<PathBuf>,
    state: Option<CredentialState>,
    #[serde(deserialize_with = "since")]
    since: Option<Timestamp>,
    reason: Option<String>,
    owner: Option<Selector>,
}

/// Where a target was first declared, and as what.
type Declared = HashMap<Target, (CredentialState, PathBuf, Option<(usize, usize)>)>;

/// Reads every `*.toml` of a directory, in the order of names; hidden files are left out. A
/// directory that does not exist holds nothing. `by` of a change is the file's name.
///
/// # Errors
/// All mistakes of all files at once; a target that is declared twice with different states is
/// one, and names both places.
pub fn load_registry(directory: &Path) -> Result<Vec<(PathBuf, RegistryChange)>, ConfigError> {
    let mut changes = Vec::new();
    let mut problems = Vec::new();
    let mut declared = Declared::new();
    for file in files(directory)? {
        match reader::read(&file) {
            Ok(text) => {
                let found = parse(&file, &text, &mut declared, &mut problems);
                changes.extend(found.into_iter().map(|change| (file.clone(), change)));
            }
            Err(error) => problems.extend_from_slice(error.problems()),
        }
    }
    ConfigError::of(problems).map_or(Ok(changes), Err)
}

fn files(directory: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let unreadable = |error: std::io::Error| {
        Problem::whole(directory, format!("the directory cannot be read: {error}"))
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension() == Some(OsStr::new("toml")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn parse(
    file: &Path,
    text: &str,
    declared: &mut Declared,
    problems: &mut Vec<Problem>,
) -> Vec<RegistryChange> {
    let (mut reader, table) = Reader::parse(file, text);
    let mut changes = Vec::new();
    for (key, value) in table {
        let identity = match key.get_ref().as_ref() {
            "identity" => true,
            "credential" => false,
            other => {
                reader.unknown_key(key.span(), other, "the file", &["identity", "credential"]);
                continue;
            }
        };
        for entry in reader.elements(&format!("[[{}]]", key.get_ref()), value) {
            let at = entry.span();
            let change = if identity {
                read_identity(&mut reader, entry, file)
            } else {
                read_credential(&mut reader, entry, file)
            };
            changes.extend(change.map(|change| (at, change)));
        }
    }
    // Tables come sorted by name; the order of the file is what an operator sees.
    changes.sort_by_key(|(at, _)| at.start);
    for (at, change) in &changes {
        let position = reader.position(at.start);
        let (state, first, place) = declared
            .entry(change.target.clone())
            .or_insert_with(|| (change.state, file.to_owned(), position));
        if *state != change.state {
            let (line, column) = place.unwrap_or((1, 1));
            let message = format!(
                "declared `{}` here and `{state}` at {}:{line}:{column}; keep one of them",
                change.state,
                first.display()
            );
            reader.problem(at.clone(), message);
        }
    }
    problems.extend(reader.finish());
    changes.into_iter().map(|(_, change)| change).collect()
}

fn read_identity<'i>(
    reader: &mut Reader<'i>,
    value: Value<'i>,
    file: &Path,
) -> Option<RegistryChange> {
    let entry: IdentityEntry = reader.section("[[identity]]", value.clone())?;
    let Some(selector) = entry.selector else {
        let message = "[[identity]] needs a `selector`, such as \"unix:user:svc-legacy\"";
        reader.problem(value.span(), message);
        return None;
    };
    Some(RegistryChange {
        target: Target::Identity(selector),
        state: required_state(reader, "[[identity]]", entry.state, &value)?,
        since: entry.since,
        by: name(file),
        reason: entry.reason,
        owner: None,
    })
}

fn read_credential<'i>(
    reader: &mut Reader<'i>,
    value: Value<'i>,
    file: &Path,
) -> Option<RegistryChange> {
    let entry: CredentialEntry = reader.section("[[credential]]", value.clone())?;
    let target = match (entry.fingerprint, entry.path) {
        (Some(fingerprint), None) => Target::Credential(fingerprint),
        (None, Some(path)) => Target::Path(path),
        (None, None) => {
            let message = "[[credential]] needs a `fingerprint` or a `path`";
            reader.problem(value.span(), message);
            return None;
        }
        (Some(_), Some(_)) => {
            let message = "[[credential]] has a `fingerprint` and a `path`; write two entries";
            reader.problem(key_span(&value, "path"), message);
            return None;
        }
    };
    Some(RegistryChange {
        target,
        state: required_state(reader, "[[credential]]", entry.state, &value)?,
        since: entry.since,
        by: name(file),
        reason: entry.reason,
        owner: entry.owner,
    })
}

fn required_state(
    reader: &mut Reader<'_>,
    place: &str,
    state: Option<CredentialState>,
    value: &Value<'_>,
) -> Option<CredentialState> {
    if state.is_none() {
        let message = format!("{place} needs a `state`, such as \"retired\"");
        reader.problem(value.span(), message);
    }
    state
}

fn name(file: &Path) -> String {
    file.file_name()
        .unwrap_or(file.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// Reads a date, which is midnight in UTC, or a time with its offset.
fn since<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    const WRITE: &str = "write since = 2026-05-01 or since = 2026-05-01T14:00:00Z, without quotes";
    let written = Datetime::deserialize(from).map_err(|_| D::Error::custom(WRITE))?;
    let text = match (written.date, written.time, written.offset) {
        (Some(date), None, None) => format!("{date}T00:00:00Z"),
        (Some(_), Some(_), Some(Offset::Z | Offset::Custom { .. })) => written.to_string(),
        _ => return Err(D::Error::custom(WRITE)),
    };
    let at: jiff::Timestamp = text
        .parse()
        .map_err(|_| D::Error::custom(format_args!("`{written}` does not exist; {WRITE}")))?;
    match i64::try_from(at.as_nanosecond()) {
        Ok(nanoseconds) => Ok(Some(Timestamp(nanoseconds))),
        Err(_) => Err(D::Error::custom(format_args!(
            "`{written}` is outside the years 1678 to 2261; {WRITE}"
        ))),
    }
}

/// Reads a fingerprint. A wrong one may be a secret that was pasted by mistake, so no error
/// repeats it.
fn fingerprint<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Fingerprint>, D::Error> {
    const COPY: &str = "copy one from `credwatch credentials`, such as \"SHA256:…\"";
    let text = String::deserialize(from)
        .map_err(|_| D::Error::custom(format_args!("no fingerprint; {COPY}")))?;
    if text.starts_with('/') {
        return Err(D::Error::custom("a path; write path = \"/…\" instead"));
    }
    let named = text
        .split_once(':')
        .is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty());
    if !named || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(D::Error::custom(format_args!("no fingerprint; {COPY}")));
    }
    Ok(Some(Fingerprint::new(text)))
}

#[cfg(test)]
mod tests;
