//! Arguments that several subcommands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};

use crate::control::DEFAULT_STATE_DIR;

/// Which daemon a client speaks with.
#[derive(Debug, Clone, Args)]
pub(super) struct StateDir {
    /// The state directory of the daemon to speak with.
    #[arg(
        long,
        value_name = "DIR",
        env = "CREDWATCH_STATE_DIR",
        default_value = DEFAULT_STATE_DIR,
        value_hint = ValueHint::DirPath
    )]
    pub(super) state_dir: PathBuf,
}

/// How a client prints an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// For people; cut to the terminal's width, one line a row where it goes to a pipe.
    Table,
    /// For programs; the fields are stable.
    Json,
}

/// Which form a file has that is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReplayFormat {
    /// What `credwatch record` writes.
    Credwatch,
    /// A conn log of Zeek.
    ZeekConn,
}

/// A number and a unit: `30d`, `12h`, `2w`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::Span = text
        .parse()
        .map_err(|_| format!("`{text}` is no time span; write it like 30d, 12h or 2w"))?;
    let relative = jiff::SpanRelativeTo::days_are_24_hours();
    let signed = span
        .to_duration(relative)
        .map_err(|error| error.to_string())?;
    Duration::try_from(signed).map_err(|_| format!("`{text}` is before it begins"))
}

/// How alerts are printed as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StreamFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
