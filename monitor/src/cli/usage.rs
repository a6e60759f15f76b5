//! `credwatch usage`

use clap::Args;

use super::args::StateDir;
use super::query::ask_or_read;
use super::table::{Rows, Text, seconds};
use super::{CommandResult, TableFormat, output};
use crate::control::{Request, Response};
use crate::model::Usage;

/// Shows who used which credential, with what program, towards where.
///
/// Where no daemon runs, shows what the database holds.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch usage
  sudo credwatch usage SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8
  sudo credwatch usage unix:user:deploy --output json")]
pub(super) struct UsageArgs {
    /// Only rows of this fingerprint or identity.
    #[arg(value_name = "FINGERPRINT|SELECTOR")]
    of: Option<String>,
    #[command(flatten)]
    state: StateDir,
    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn usage(args: &UsageArgs) -> CommandResult {
    let mut rows = ask_or_read(
        &args.state.state_dir,
        &Request::Usage,
        |response| match response {
            Response::Usage(rows) => Some(rows),
            _ => None,
        },
        |store| Ok(store.load()?.usage),
    )?;
    if let Some(of) = &args.of {
        rows.retain(|row| row.key.fingerprint.as_str() == of || row.key.identity.as_str() == of);
    }
    output::answer(rows.as_slice(), args.output, table)
}

fn table(rows: &[Usage]) -> String {
    let mut table = Rows::new(&[
        "FINGERPRINT",
        "IDENTITY",
        "PROGRAM",
        "TOWARDS",
        "FIRST",
        "LAST",
        "COUNT",
    ]);
    let or_dash = |text: &String| -> Text { if text.is_empty() { "-" } else { text }.into() };
    for row in rows {
        table.add([
            (&row.key.fingerprint).into(),
            (&row.key.identity).into(),
            or_dash(&row.key.exe),
            match &row.name {
                Some(name) => format!("{name} ({})", row.key.destination).into(),
                None => or_dash(&row.key.destination),
            },
            seconds(row.first).into(),
            seconds(row.last).into(),
            row.count.into(),
        ]);
    }
    table.finish("No use was seen.")
}
