//! `credwatch report`: a report a file.

mod rotation;

use clap::{Args, Subcommand};

use super::{CommandResult, Commands};

/// Answers a question about all that is known.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch report rotation")]
pub(super) struct ReportArgs {
    #[command(subcommand)]
    report: Report,
}

#[derive(Debug, Clone, Subcommand)]
enum Report {
    Rotation(rotation::RotationArgs),
}

pub(super) fn report(args: &ReportArgs, commands: &dyn Commands) -> CommandResult {
    match &args.report {
        Report::Rotation(args) => rotation::rotation(args, commands),
    }
}
