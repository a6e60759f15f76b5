//! `credwatch credentials`

use clap::Args;

use super::accounts::Accounts;
use super::args::StateDir;
use super::query::ask_or_read;
use super::select::{Select, born};
use super::table::{Rows, Text, age, optional, state};
use super::{CommandResult, Commands, TableFormat, output};
use crate::control::protocol::CredentialView;
use crate::control::{Request, Response, views};
use crate::model::Timestamp;

/// Places of one credential that a table shows.
const SHOWN: usize = 3;

/// Lists the credentials that are known: where they lie, who may read them, who used them.
///
/// The table is a summary; JSON has all that is known of each. OWNER is who was declared, whom the
/// content names, the unit for which systemd made it, or the account of its files. AGE is since it was
/// issued, else since it was found. Where no daemon runs, shows what the database holds.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch credentials
  sudo credwatch credentials --finding world-readable --sort path
  sudo credwatch credentials --kind ssh-private-key --unused-for 90d
  sudo credwatch credentials --identity systemd:unit:web.service
  sudo credwatch credentials --output json | jq '.[] | select(.held != []) | .held'")]
pub(super) struct CredentialsArgs {
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    state: StateDir,
    /// How to print them.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn credentials(args: &CredentialsArgs, commands: &dyn Commands) -> CommandResult {
    let mut rows = ask_or_read(
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
    let now = Timestamp::now();
    Accounts::default().complete(&mut rows);
    args.select.apply(&mut rows, now);
    output::answer(rows.as_slice(), args.output, |rows| table(rows, now))
}

fn table(rows: &[CredentialView], now: Timestamp) -> String {
    let mut table = Rows::new(&[
        "STATE",
        "KIND",
        "FINGERPRINT",
        "OWNER",
        "MODE",
        "AGE",
        "EXPIRES",
        "LAST USED",
        "BY",
        "USERS",
        "FINDINGS",
        "LABEL",
        "LIES AT",
    ]);
    for row in rows {
        table.add([
            state(row.state),
            row.kind.label().into(),
            (&row.fingerprint).into(),
            optional(row.owner.as_ref()),
            modes(row),
            optional(born(row).map(|at| age(at, now))),
            optional(row.expires.map(|at| age(at, now))),
            optional(row.last_used.map(|at| age(at, now))),
            optional(row.last_used_by.as_ref()),
            row.users.into(),
            findings(row),
            optional(row.label.as_ref()),
            briefly(row).into(),
        ]);
    }
    table.finish("No credentials are known.")
}

/// `0600 deploy:deploy` of each file that differs.
fn modes(row: &CredentialView) -> Text {
    let name = |name: &Option<String>, id: u32| name.clone().unwrap_or_else(|| id.to_string());
    let mut modes: Vec<_> = row
        .files
        .iter()
        .map(|of| {
            let (user, group) = (name(&of.user, of.uid), name(&of.group, of.gid));
            format!("{} {user}:{group}", of.mode)
        })
        .collect();
    modes.dedup();
    optional((!modes.is_empty()).then(|| modes.join(", ")))
}

fn findings(row: &CredentialView) -> Text {
    let names: Vec<_> = row.findings.iter().map(|of| of.as_str()).collect();
    optional((!names.is_empty()).then(|| names.join(", ")))
}

/// The first places, and how many more there are.
fn briefly(row: &CredentialView) -> String {
    let all = all_places(row);
    let more = all.len().saturating_sub(SHOWN);
    let shown = all.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
    match (shown.is_empty(), more) {
        (true, _) => "-".to_owned(),
        (_, 0) => shown,
        _ => format!("{shown} and {more} more"),
    }
}

/// Files, processes and logs, in one line.
pub(super) fn places(row: &CredentialView) -> String {
    match all_places(row) {
        places if places.is_empty() => "-".to_owned(),
        places => places.join(", "),
    }
}

fn all_places(row: &CredentialView) -> Vec<String> {
    let files = row.paths.iter();
    let files = files.map(|path| path.to_string_lossy().into_owned());
    let held = row.held.iter().map(ToString::to_string);
    let logs = row.logs.iter();
    let logs = logs.map(|path| format!("log {}", path.display()));
    files.chain(held).chain(logs).collect()
}
