//! `credwatch report`: answers that are more than a list.

mod open_files;
mod safe_to_delete;

use clap::{Args, Subcommand};

use super::{CommandResult, Commands};

/// Answers questions about what is known.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch report safe-to-delete
  sudo credwatch report safe-to-delete /srv/deploy/.ssh/id_ed25519")]
pub(super) struct ReportArgs {
    #[command(subcommand)]
    report: Report,
}

#[derive(Debug, Clone, Subcommand)]
enum Report {
    SafeToDelete(safe_to_delete::SafeToDeleteArgs),
}

pub(super) fn report(args: &ReportArgs, commands: &dyn Commands) -> CommandResult {
    match &args.report {
        Report::SafeToDelete(args) => safe_to_delete::safe_to_delete(args, commands),
    }
}
