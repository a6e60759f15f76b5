//! Arguments that several subcommands share.

use std::path::PathBuf;

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

/// How alerts are printed as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StreamFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
