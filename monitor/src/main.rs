//! Credwatch on the command line.

use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;
use monitor::cli::{
    CheckArgs, CommandError, CommandResult, Commands, RecordArgs, ReplayArgs, RunArgs,
};
use monitor::control::Request;
use monitor::control::protocol::ChangeView;
use monitor::model::DetectionId;

fn main() -> ExitCode {
    monitor::cli::main(&Program)
}

/// Joins the command line with the parts of the program that do what it asks for.
struct Program;

fn missing(what: &str) -> CommandError {
    CommandError::Runtime(anyhow!("this build has no {what}"))
}

impl Commands for Program {
    fn run(&self, _: &RunArgs) -> CommandResult {
        Err(missing("daemon"))
    }

    fn check(&self, _: &CheckArgs) -> CommandResult {
        Err(missing("configuration"))
    }

    fn record(&self, _: &RecordArgs) -> CommandResult {
        Err(missing("sensor"))
    }

    fn replay(&self, _: &ReplayArgs) -> CommandResult {
        Err(missing("pipeline"))
    }

    fn explain(&self, _: DetectionId) -> Result<String, CommandError> {
        Err(missing("catalog of detections"))
    }

    fn change_offline(
        &self,
        _: &Path,
        _: &Request,
        _: &str,
    ) -> Result<Vec<ChangeView>, CommandError> {
        Err(missing("registry"))
    }
}
