//! `credwatch baseline approve`, `forget`, `freeze` and `unfreeze`

use clap::Args;

use crate::cli::args::StateDir;
use crate::cli::escape::escape;
use crate::cli::exit::note;
use crate::cli::query::ask;
use crate::cli::retire::own_name;
use crate::cli::table::seconds;
use crate::cli::{CommandError, CommandResult, Commands, TableFormat, output};
use crate::control::protocol::WordView;
use crate::control::{Client, ControlError, Request, Response};
use crate::model::Word;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct WordArgs {
    /// Whose.
    #[arg(value_name = "IDENTITY")]
    identity: String,
    /// Why; shown in the list and the history.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    state: StateDir,
    /// How to print what changed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) const APPROVE: &str = "\
Examples:
  sudo credwatch baseline show systemd:unit:web.service        what is new or suspect
  sudo credwatch baseline approve systemd:unit:web.service --reason 'release 4.2 calls the new API'";
pub(super) const FORGET: &str = "\
Examples:
  sudo credwatch baseline forget unix:user:deploy --reason 'it has another task from today on'
  sudo credwatch history unix:user:deploy                      who said what, and when";
pub(super) const FREEZE: &str = "\
Examples:
  sudo credwatch baseline freeze systemd:unit:web.service --reason 'being investigated, case 17'
  sudo credwatch baseline list --output json | jq '.baselines[] | select(.frozen)'";
pub(super) const UNFREEZE: &str = "\
Examples:
  sudo credwatch baseline approve systemd:unit:web.service --reason 'case 17: it was the release'
  sudo credwatch baseline unfreeze systemd:unit:web.service --reason 'case 17 is closed'";

pub(super) fn say(word: Word, args: &WordArgs, commands: &dyn Commands) -> CommandResult {
    let request = Request::BaselineWord {
        identity: args.identity.clone(),
        word,
        reason: args.reason.clone(),
    };
    let state_dir = &args.state.state_dir;
    let view = match Client::connect(state_dir) {
        Ok(mut client) => ask(&mut client, &request, |response| match response {
            Response::BaselineWord(view) => Some(*view),
            _ => None,
        })?,
        Err(ControlError::NotRunning { path }) => {
            let view = commands.word_offline(state_dir, &request, &own_name())?;
            note(&format!(
                "no daemon answers at {}; the change is in the database, and nothing is watched \
                 until `credwatch run` is started",
                path.display()
            ));
            view
        }
        Err(error) => return Err(CommandError::from(error)),
    };
    output::answer(&view, args.output, text)
}

fn text(view: &WordView) -> String {
    let who = escape(view.identity.as_str());
    let mut text = match view.word {
        Word::Approve => format!(
            "{who}: what it did is ordinary; {} and {} were not",
            counted(view.destinations, "destination"),
            counted(view.programs, "program")
        ),
        Word::Forget => format!("{who}: what was learned is forgotten, and it is learned anew"),
        Word::Freeze => format!(
            "{who}: it is held against what is known of it now, and nothing more is learned"
        ),
        Word::Unfreeze => format!("{who}: it is learned of again, from where it was frozen"),
    };
    if view.alerts > 0 {
        text += &format!("; {} ended", counted(view.alerts, "open alert"));
    }
    if let (Word::Approve, Some(frozen)) = (view.word, &view.frozen) {
        text += &format!("; it stays frozen, since {}", seconds(frozen.since));
    }
    text + "\n"
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
