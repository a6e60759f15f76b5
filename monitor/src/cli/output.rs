//! Data for stdout.

use std::io::{self, Write};

use anyhow::Context;
use serde::Serialize;

use super::escape::escape_json;
use super::{CommandError, CommandResult, TableFormat};

/// Writes to stdout. `println!` would panic when the reader has gone away.
///
/// # Errors
/// [`CommandError::OutputClosed`] when the reader has gone away.
pub fn print(text: &str) -> CommandResult {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(CommandError::OutputClosed),
        Err(error) => Err(anyhow::Error::new(error)
            .context("cannot write to standard output")
            .into()),
    }
}

/// Prints an answer as JSON, or as the table that `table` makes of it.
pub(super) fn answer<T: Serialize + ?Sized>(
    value: &T,
    format: TableFormat,
    table: impl FnOnce(&T) -> String,
) -> CommandResult {
    let text = match format {
        TableFormat::Table => table(value),
        TableFormat::Json => {
            let json = serde_json::to_string_pretty(value).context("cannot write JSON")?;
            format!("{}\n", escape_json(&json))
        }
    };
    print(&text)
}

/// Prints a value as one line of JSON.
pub(super) fn json_line<T: Serialize>(value: &T) -> CommandResult {
    let json = serde_json::to_string(value).context("cannot write JSON")?;
    print(&format!("{}\n", escape_json(&json)))
}
