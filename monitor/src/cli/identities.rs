//! `credwatch identities`

use clap::Args;

use super::args::StateDir;
use super::query::ask_or_read;
use super::table::{Rows, optional, seconds, state};
use super::{CommandResult, Commands, TableFormat, output};
use crate::control::protocol::IdentityView;
use crate::control::{Request, Response, views};

/// Lists the identities that are known: their states and when they were seen.
///
/// USES and OWNS count credentials. An identity that owns one and has not acted is listed too.
///
/// Where no daemon runs, shows what the database holds.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch identities
  sudo credwatch identities --output json | jq -r '.[] | select(.state == \"retired\") | .selector'")]
pub(super) struct IdentitiesArgs {
    #[command(flatten)]
    state: StateDir,
    /// How to print them.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn identities(args: &IdentitiesArgs, commands: &dyn Commands) -> CommandResult {
    let rows = ask_or_read(
        &args.state.state_dir,
        &Request::Identities,
        |response| match response {
            Response::Identities(rows) => Some(rows),
            _ => None,
        },
        |store| {
            Ok(views::identities(
                &commands.registry(&store.load()?),
                |_| None,
            ))
        },
    )?;
    output::answer(rows.as_slice(), args.output, table)
}

fn table(rows: &[IdentityView]) -> String {
    let mut table = Rows::new(&[
        "STATE",
        "IDENTITY",
        "ACCOUNT",
        "FIRST SEEN",
        "LAST SEEN",
        "USES",
        "OWNS",
        "REASON",
    ]);
    for row in rows {
        table.add([
            state(row.state),
            (&row.selector).into(),
            optional(row.account),
            optional(row.first_seen.map(seconds)),
            optional(row.last_seen.map(seconds)),
            row.credentials_used.into(),
            row.credentials_owned.into(),
            optional(row.reason.as_ref()),
        ]);
    }
    table.finish("No identities are known.")
}
