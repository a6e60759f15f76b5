//! `credwatch baseline`: what identities normally do.

mod digest;
mod learn;
mod list;
mod plot;
mod show;
mod words;

use std::path::Path;

use clap::Subcommand;

use super::exit::note;
use super::query::ask;
use super::{CommandError, CommandResult, Commands};
use crate::control::{Client, ControlError, Request, Response};
use crate::model::Word;

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
  sudo credwatch baseline digest                             what was odd, and no alert
  sudo credwatch baseline approve systemd:unit:web.service --reason 'release 4.2'
  sudo credwatch baseline freeze unix:user:deploy --reason 'case 17'
  sudo credwatch baseline learn golden.rec                   the habits of another host for this one")]
pub(super) enum BaselineCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Digest(digest::DigestArgs),
    /// Declares ordinary what an identity did: new and suspect destinations, programs, and what it sends.
    ///
    /// Its open alerts CW-301 to CW-307 end. What it did while it was frozen is learned too, and it stays
    /// frozen. To silence one alert only, see `credwatch allow`.
    #[command(after_long_help = words::APPROVE)]
    Approve(words::WordArgs),
    /// Drops what was learned of an identity: it is learned anew, from its next act on.
    ///
    /// Until it was watched for a week its alerts are low. Its open alerts CW-301 to CW-307 end.
    #[command(after_long_help = words::FORGET)]
    Forget(words::WordArgs),
    /// Stops learning of an identity: it is held against what is known of it now.
    ///
    /// For as long as nobody knows whether what it does is right: nothing that it does becomes ordinary by
    /// being repeated, neither for itself nor for its peers. What is new is told once, and stays new. 1,024
    /// baselines can be frozen.
    #[command(after_long_help = words::FREEZE)]
    Freeze(words::WordArgs),
    /// Learns of an identity again, from where it was frozen.
    ///
    /// What it did meanwhile is as if it was never learned; `credwatch baseline approve` before this makes it
    /// ordinary.
    #[command(after_long_help = words::UNFREEZE)]
    Unfreeze(words::WordArgs),
    Learn(LearnArgs),
}

pub(super) fn baseline(of: &BaselineCommand, commands: &dyn Commands) -> CommandResult {
    match of {
        BaselineCommand::List(args) => list::list(args, commands),
        BaselineCommand::Show(args) => show::show(args, commands),
        BaselineCommand::Digest(args) => digest::digest(args, commands),
        BaselineCommand::Approve(args) => words::say(Word::Approve, args, commands),
        BaselineCommand::Forget(args) => words::say(Word::Forget, args, commands),
        BaselineCommand::Freeze(args) => words::say(Word::Freeze, args, commands),
        BaselineCommand::Unfreeze(args) => words::say(Word::Unfreeze, args, commands),
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
