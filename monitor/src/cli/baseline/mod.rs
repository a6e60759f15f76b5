//! `credwatch baseline`: what identities normally do.

mod learn;
mod list;
mod plot;
mod show;

use std::path::Path;

use clap::Subcommand;

use super::exit::note;
use super::query::ask;
use super::{CommandError, CommandResult, Commands};
use crate::control::{Client, ControlError, Request, Response};

pub use learn::{BaselinesLearned, LearnArgs};

/// What machine identities normally do, as it was learned.
///
/// Credwatch learns for each identity where it connects, when, how often, how much it sends, and which programs it
/// runs. What is too unlikely beside that becomes CW-301 to CW-307.
#[derive(Debug, Clone, Subcommand)]
#[command(after_long_help = "\
Examples:
  sudo credwatch baseline list                               who is known how well
  sudo credwatch baseline show systemd:unit:backup.service   what is normal for it
  sudo credwatch baseline learn golden.rec                   the habits of another host for this one")]
pub(super) enum BaselineCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Learn(LearnArgs),
}

pub(super) fn baseline(of: &BaselineCommand, commands: &dyn Commands) -> CommandResult {
    match of {
        BaselineCommand::List(args) => list::list(args, commands),
        BaselineCommand::Show(args) => show::show(args, commands),
        BaselineCommand::Learn(args) => learn::learn(args, commands),
    }
}

/// Asks the daemon, or where none runs what it has stored.
fn asked<T>(
    state_dir: &Path,
    request: &Request,
    commands: &dyn Commands,
    answer: impl FnOnce(Response) -> Option<T>,
) -> Result<T, CommandError> {
    match Client::connect(state_dir) {
        Ok(mut client) => ask(&mut client, request, answer),
        Err(ControlError::NotRunning { path }) => {
            let response = commands.baselines_offline(state_dir, request)?;
            note(&format!(
                "no daemon answers at {}; this is what the last one stored",
                path.display()
            ));
            match response {
                Response::Error { message } => Err(anyhow::anyhow!(message).into()),
                response => answer(response)
                    .ok_or_else(|| anyhow::anyhow!("this needs a running daemon").into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}
