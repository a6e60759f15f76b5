//! The command line: a subcommand a file. What the clients of a daemon do is here; what a daemon
//! does comes in by [`Commands`].

mod accounts;
mod alerts;
mod allow;
mod args;
mod baseline;
mod check;
mod completions;
mod credentials;
mod doctor;
mod escape;
mod evaluate;
mod exit;
mod explain;
mod history;
mod identities;
mod man;
mod offboard;
mod output;
mod query;
mod record;
mod replay;
mod report;
mod restore;
mod retire;
mod run;
mod select;
mod status;
mod table;
mod target;
mod usage;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use args::{ReplayFormat, StreamFormat, TableFormat};
pub use baseline::{BaselinesLearned, LearnArgs};
pub use check::CheckArgs;
pub use doctor::DoctorArgs;
pub use escape::{escape, escape_json};
pub use evaluate::{EvaluateArgs, print_evaluation};
pub use exit::{CommandError, CommandResult};
pub use identities::print_identities;
pub use output::print;
pub use record::RecordArgs;
pub use replay::ReplayArgs;
pub use run::RunArgs;

use crate::control::protocol::{ChangeView, Doctor, WordView};
use crate::control::{Request, Response};
use crate::model::DetectionId;
use crate::registry::{Assessment, Registry};
use crate::storage::Snapshot;

/// What the command line needs of the rest of the program.
pub trait Commands {
    /// Watches until it is told to stop.
    fn run(&self, args: &RunArgs) -> CommandResult;
    /// Reads the configuration and the registry's files, and says what would not work.
    fn check(&self, args: &CheckArgs) -> CommandResult;
    /// Finds out what can be seen here, without a daemon.
    fn doctor(&self, args: &DoctorArgs) -> Result<Doctor, CommandError>;
    /// Writes what the sensor sees to a file.
    fn record(&self, args: &RecordArgs) -> CommandResult;
    /// Runs a recording through the pipeline.
    fn replay(&self, args: &ReplayArgs) -> CommandResult;
    /// Tells how good detections are, on recordings of which it is known what happened.
    fn evaluate(&self, args: &EvaluateArgs) -> CommandResult;
    /// What a detection means and what to do about it, as text that ends in a newline.
    fn explain(&self, id: DetectionId) -> Result<String, CommandError>;
    /// The registry that a database holds, by the rules of a daemon.
    fn registry(&self, of: &Snapshot) -> Registry;
    /// Whether something can be deleted, from what a database holds.
    fn assess_offline(
        &self,
        state_dir: &Path,
        of: &Snapshot,
        target: Option<&str>,
    ) -> Result<Vec<Assessment>, CommandError>;
    /// Answers a [`Request::Baselines`], [`Request::Habits`] or [`Request::BaselineDigest`] from what a daemon
    /// has stored.
    fn baselines_offline(
        &self,
        state_dir: &Path,
        request: &Request,
    ) -> Result<Response, CommandError>;
    /// Does what a [`Request::BaselineWord`] asks where no daemon runs: writes to the database.
    fn word_offline(
        &self,
        state_dir: &Path,
        request: &Request,
        by: &str,
    ) -> Result<WordView, CommandError>;
    /// Learns the baselines of a recording into a state directory.
    fn learn_baselines(
        &self,
        state_dir: &Path,
        recording: &Path,
    ) -> Result<BaselinesLearned, CommandError>;
    /// Does what a [`Request::Retire`] or [`Request::Restore`] asks where no daemon runs: writes to
    /// the database, for a daemon to find. `by` is the name of the user who asks.
    fn change_offline(
        &self,
        state_dir: &Path,
        request: &Request,
        by: &str,
    ) -> Result<Vec<ChangeView>, CommandError>;
}

/// Watches how machines use credentials, and says when one is misused.
///
/// Credwatch sees in the kernel which process reads which credential and where it then connects,
/// knows which machine identity that is, and raises an alert when a credential is used that was
/// decommissioned.
#[derive(Debug, Parser)]
#[command(name = "credwatch", version, max_term_width = 100, after_long_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
First steps:
  credwatch check                     is the configuration in order?
  sudo credwatch run                  watch, and print alerts
  sudo credwatch credentials          what was found, and who used it last
  sudo credwatch retire ~/.ssh/id_old --reason 'moved to OIDC'

Exit codes:
  0   done
  1   it failed while running, or the daemon refused
  2   the command line is wrong
  3   `report safe-to-delete TARGET`, `report overprivileged IDENTITY`: no
  4   the same: cannot tell
  78  the configuration is wrong";

#[derive(Debug, Subcommand)]
enum Command {
    Run(RunArgs),
    Check(CheckArgs),
    Doctor(DoctorArgs),
    Status(status::StatusArgs),
    Credentials(credentials::CredentialsArgs),
    Identities(identities::IdentitiesArgs),
    Alerts(alerts::AlertsArgs),
    Usage(usage::UsageArgs),
    #[command(subcommand)]
    Baseline(baseline::BaselineCommand),
    History(history::HistoryArgs),
    #[command(subcommand)]
    Report(report::ReportCommand),
    Retire(retire::RetireArgs),
    Restore(restore::RestoreArgs),
    Allow(allow::AllowArgs),
    Offboard(offboard::OffboardArgs),
    Record(RecordArgs),
    Replay(ReplayArgs),
    Evaluate(EvaluateArgs),
    Explain(explain::ExplainArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Parses the command line, does what it says, and turns the outcome into an exit code. The one
/// place that decides about exit codes and about readers that have gone away.
pub fn main(commands: &dyn Commands) -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => exit::finish(dispatch(cli.command, commands)),
        Err(error) => exit::finish_parse(&error),
    }
}

fn dispatch(command: Command, commands: &dyn Commands) -> CommandResult {
    match command {
        Command::Run(args) => commands.run(&args),
        Command::Check(args) => commands.check(&args),
        Command::Doctor(args) => doctor::doctor(&args, commands),
        Command::Status(args) => status::status(&args),
        Command::Credentials(args) => credentials::credentials(&args, commands),
        Command::Identities(args) => identities::identities(&args, commands),
        Command::Alerts(args) => alerts::alerts(&args),
        Command::Baseline(of) => baseline::baseline(&of, commands),
        Command::Usage(args) => usage::usage(&args),
        Command::History(args) => history::history(&args, commands),
        Command::Report(of) => report::report(&of, commands),
        Command::Retire(args) => retire::retire(&args, commands),
        Command::Restore(args) => restore::restore(&args, commands),
        Command::Allow(args) => allow::allow(&args),
        Command::Offboard(args) => offboard::offboard(&args, commands),
        Command::Record(args) => commands.record(&args),
        Command::Replay(args) => commands.replay(&args),
        Command::Evaluate(args) => commands.evaluate(&args),
        Command::Explain(args) => explain::explain(&args, commands),
        Command::Completions(args) => completions::completions(&args, Cli::command()),
        Command::Man(args) => man::man(&args, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_teaches_by_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Examples:"), "{}", command.get_name());
        }
    }
}
