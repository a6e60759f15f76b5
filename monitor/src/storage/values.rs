//! Between the model's types and SQLite's values.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::types::{FromSqlError, FromSqlResult, Value, ValueRef};
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::{Deserialize, Serialize};

use super::{Result, StorageError};

/// Text where a path is UTF-8, so that people can compare it; else its bytes.
pub(super) fn path_value(path: &Path) -> Value {
    match path.to_str() {
        Some(text) => Value::Text(text.to_owned()),
        None => Value::Blob(path.as_os_str().as_bytes().to_vec()),
    }
}

/// The path of [`path_value`].
pub(super) fn path_of(value: ValueRef<'_>) -> FromSqlResult<PathBuf> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            Ok(PathBuf::from(OsStr::from_bytes(bytes)))
        }
        _ => Err(FromSqlError::InvalidType),
    }
}

/// An unsigned number as the signed one of the same bits: inode numbers use all 64.
pub(super) fn bits(number: u64) -> i64 {
    number.cast_signed()
}

/// A count; past 2^63 it stays there.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The name that serde gives to a variant: what is stored is what JSON output says.
pub(super) fn name_of<T: Serialize>(what: &'static str, value: &T) -> Result<String> {
    let encode = |source| StorageError::Encode { what, source };
    match serde_json::to_value(value).map_err(encode)? {
        serde_json::Value::String(name) => Ok(name),
        other => Err(encode(serde::ser::Error::custom(format!(
            "{other} is no name"
        )))),
    }
}

/// The variant, or checked text, of a name.
pub(super) fn named<'a, T: Deserialize<'a>>(name: &'a str) -> FromSqlResult<T> {
    let from: StrDeserializer<'a, ValueError> = name.into_deserializer();
    T::deserialize(from).map_err(|error| FromSqlError::Other(Box::new(error)))
}
