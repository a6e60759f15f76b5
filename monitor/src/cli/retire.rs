//! `credwatch retire`

use std::ffi::OsString;
use std::path::Path;

use clap::{Args, ValueHint};

use super::args::StateDir;
use super::exit::note;
use super::query::ask;
use super::table::{Rows, optional, paths, state};
use super::target::resolve;
use super::{CommandError, CommandResult, Commands, TableFormat, output};
use crate::control::protocol::ChangeView;
use crate::control::{Client, ControlError, Request, Response};

/// Declares a credential or an identity decommissioned: any use from now on is an alert.
///
/// TARGET is a file that holds credentials, a fingerprint or a selector. A file's credentials are
/// retired wherever they lie: copies and later moves are watched too. Nothing is deleted.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch retire /srv/deploy/.ssh/id_ed25519 --reason 'moved to OIDC'
  sudo credwatch retire SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8
  sudo credwatch retire unix:user:svc-backup --reason 'host was replaced'
  sudo credwatch retire ./unix:user:odd-name        a file of that name")]
pub(super) struct RetireArgs {
    /// A path, a fingerprint or a selector.
    #[arg(value_name = "TARGET", value_hint = ValueHint::FilePath)]
    target: OsString,
    /// Why; shown in every alert about it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    state: StateDir,
    /// How to print what changed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn retire(args: &RetireArgs, commands: &dyn Commands) -> CommandResult {
    let request = Request::Retire {
        target: resolve(&args.target)?,
        reason: args.reason.clone(),
    };
    change(&args.state.state_dir, &request, args.output, commands)
}

/// Asks the daemon for a change, or makes it in the database where no daemon runs.
pub(super) fn change(
    state_dir: &Path,
    request: &Request,
    format: TableFormat,
    commands: &dyn Commands,
) -> CommandResult {
    let changes = match Client::connect(state_dir) {
        Ok(mut client) => ask(&mut client, request, |response| match response {
            Response::Changed(changes) => Some(changes),
            _ => None,
        })?,
        Err(ControlError::NotRunning { path }) => {
            let changes = commands.change_offline(state_dir, request, &own_name())?;
            note(&format!(
                "no daemon answers at {}; the change is in the database, and nothing is watched \
                 until `credwatch run` is started",
                path.display()
            ));
            changes
        }
        Err(error) => return Err(CommandError::from(error)),
    };
    output::answer(changes.as_slice(), format, table)
}

/// The name of who runs this.
pub(super) fn own_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    uzers::get_user_by_uid(uid).map_or_else(
        || format!("uid {uid}"),
        |user| user.name().to_string_lossy().into_owned(),
    )
}

fn table(changes: &[ChangeView]) -> String {
    let mut table = Rows::new(&["BEFORE", "NOW", "KIND", "TARGET", "PATHS"]);
    for change in changes {
        table.add([
            state(change.before),
            state(change.state),
            optional(change.kind.map(|kind| kind.label())),
            (&change.target).into(),
            paths(&change.paths),
        ]);
    }
    table.finish("Nothing changed: it was so already.")
}
