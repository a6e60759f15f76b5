//! `credwatch history`

use clap::Args;

use super::args::StateDir;
use super::query::ask_or_read;
use super::table::{Rows, optional, seconds, state};
use super::{CommandResult, Commands, TableFormat, output, target};
use crate::control::life::{self, TransitionView};
use crate::control::{Request, Response};
use crate::model::Timestamp;

/// Shows the life of a credential or an identity: every state, with who, when and why.
///
/// Of an identity also what was said of its baseline (approved, forgotten, frozen, unfrozen).
///
/// A path stands for all that is known to have lain there. What Credwatch concludes itself (a
/// rotation, an end that has passed) is said by `credwatch`. Where no daemon runs, shows what the
/// database holds.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch history /srv/deploy/.ssh/id_ed25519
  sudo credwatch history SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8
  sudo credwatch history unix:user:deploy --output json")]
pub(super) struct HistoryArgs {
    /// A path, a fingerprint or the start of one, or a selector.
    #[arg(value_name = "TARGET")]
    of: std::ffi::OsString,
    #[command(flatten)]
    state: StateDir,
    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn history(args: &HistoryArgs, commands: &dyn Commands) -> CommandResult {
    let of = target::resolve(&args.of)?;
    let steps = ask_or_read(
        &args.state.state_dir,
        &Request::History { target: of.clone() },
        |response| match response {
            Response::History(steps) => Some(Ok(steps)),
            _ => None,
        },
        |store| {
            let snapshot = store.load()?;
            let registry = commands.registry(&snapshot);
            let now = Timestamp::now();
            let words = snapshot.words.iter().map(|of| (of.time, &of.said));
            Ok(life::history(&snapshot.changes, words, &registry, &of, now))
        },
    )?;
    let steps = steps.map_err(|message| anyhow::anyhow!(message))?;
    output::answer(steps.as_slice(), args.output, table)
}

fn table(rows: &[TransitionView]) -> String {
    let mut table = Rows::new(&["TIME", "STATE", "TARGET", "SINCE", "BY", "WHY"]);
    for row in rows {
        table.add([
            seconds(row.time).into(),
            match row.word {
                Some(word) => format!("baseline {}", word.done()).into(),
                None => state(row.state),
            },
            (&row.target).into(),
            optional(row.since.map(seconds)),
            (&row.by).into(),
            optional(row.reason.as_ref()),
        ]);
    }
    table.finish("Nothing has happened to it.")
}
