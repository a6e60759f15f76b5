//! `credwatch credentials`

use clap::Args;

use super::args::StateDir;
use super::query::ask_or_read;
use super::table::{Rows, optional, paths, seconds, state};
use super::{CommandResult, Commands, TableFormat, output};
use crate::control::protocol::CredentialView;
use crate::control::{Request, Response, views};
use crate::model::Timestamp;

/// Lists the credentials that are known: where they lie, their states, their last use.
///
/// Where no daemon runs, shows what the database holds.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch credentials
  sudo credwatch credentials --output json | jq '.[] | select(.last_used == null) | .paths'")]
pub(super) struct CredentialsArgs {
    #[command(flatten)]
    state: StateDir,
    /// How to print them.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn credentials(args: &CredentialsArgs, commands: &dyn Commands) -> CommandResult {
    let rows = ask_or_read(
        &args.state.state_dir,
        &Request::Credentials,
        |response| match response {
            Response::Credentials(rows) => Some(rows),
            _ => None,
        },
        |store| {
            let registry = commands.registry(&store.load()?);
            Ok(views::credentials(&registry, Timestamp::now()))
        },
    )?;
    output::answer(rows.as_slice(), args.output, table)
}

fn table(rows: &[CredentialView]) -> String {
    let mut table = Rows::new(&[
        "STATE",
        "KIND",
        "FINGERPRINT",
        "LABEL",
        "OWNER",
        "LAST USED",
        "USES",
        "PATHS",
    ]);
    for row in rows {
        table.add([
            state(row.state),
            row.kind.label().into(),
            (&row.fingerprint).into(),
            optional(row.label.as_ref()),
            optional(row.owner.as_ref()),
            optional(row.last_used.map(seconds)),
            row.uses.into(),
            paths(&row.paths),
        ]);
    }
    table.finish("No credentials are known.")
}
