//! `credwatch alerts`

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;

use super::args::StateDir;
use super::escape::escape;
use super::query::{ask, ask_or_read};
use super::table::{Rows, optional, seconds, severity};
use super::{CommandError, CommandResult, TableFormat, output};
use crate::control::{Client, Request, Response};
use crate::model::{Alert, AlertStatus};

/// How often `--follow` asks.
const PERIOD: Duration = Duration::from_secs(1);
/// How many alerts `--follow` asks for: of more in one period only the newest are shown.
const FOLLOWED: u32 = 1000;

/// Shows the newest alerts, newest last.
///
/// Where no daemon runs, shows what the database holds.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch alerts --limit 20
  sudo credwatch alerts --follow
  sudo credwatch alerts --output json | jq '.[] | select(.severity == \"critical\")'")]
pub(super) struct AlertsArgs {
    #[command(flatten)]
    state: StateDir,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Go on showing alerts as they come, a line each (JSON: an object a line), until Ctrl-C.
    #[arg(long)]
    follow: bool,
    /// How to print them.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn alerts(args: &AlertsArgs) -> CommandResult {
    if args.follow {
        return follow(args);
    }
    let rows = ask_or_read(
        &args.state.state_dir,
        &Request::Alerts { limit: args.limit },
        answer,
        |store| store.alerts(args.limit),
    )?;
    output::answer(rows.as_slice(), args.output, table)
}

fn answer(response: Response) -> Option<Vec<Alert>> {
    match response {
        Response::Alerts(rows) => Some(rows),
        _ => None,
    }
}

fn table(rows: &[Alert]) -> String {
    let mut table = Rows::new(&[
        "TIME", "SEVERITY", "ID", "ALERT", "IDENTITY", "REPEATS", "SUMMARY",
    ]);
    for row in rows {
        table.add([
            seconds(row.time).into(),
            severity(row.severity),
            row.id.into(),
            // Enough to name it to `credwatch allow`.
            row.alert_id.chars().take(8).collect::<String>().into(),
            optional(row.identity.as_ref()),
            row.repeats.into(),
            (&row.summary).into(),
        ]);
    }
    table.finish("No alerts.")
}

/// Shows an alert when it is new and when it has ended, as the sinks do.
fn follow(args: &AlertsArgs) -> CommandResult {
    let mut client = Client::connect(&args.state.state_dir)?;
    let request = Request::Alerts {
        limit: args.limit.max(FOLLOWED),
    };
    let mut known: Option<HashMap<String, AlertStatus>> = None;
    loop {
        let rows = ask(&mut client, &request, answer)?;
        // At first all are new: of these, as many as were asked for.
        let old = match known {
            None => rows.len().saturating_sub(args.limit as usize),
            Some(_) => 0,
        };
        for row in rows.iter().skip(old) {
            let shown = known.as_ref().and_then(|known| known.get(&row.alert_id));
            if shown != Some(&row.status) {
                show(row, args.output)?;
            }
        }
        known = Some(statuses(rows));
        std::thread::sleep(PERIOD);
    }
}

fn statuses(rows: Vec<Alert>) -> HashMap<String, AlertStatus> {
    rows.into_iter()
        .map(|row| (row.alert_id, row.status))
        .collect()
}

fn show(alert: &Alert, format: TableFormat) -> Result<(), CommandError> {
    match format {
        TableFormat::Json => output::json_line(alert),
        TableFormat::Table => {
            let ended = match alert.status {
                AlertStatus::Open => String::new(),
                AlertStatus::Ended => format!(" (ended; {} repeats)", alert.repeats),
            };
            output::print(&format!(
                "{}  {:8}  {}  {}{ended}\n",
                seconds(alert.time),
                alert.severity.as_str().to_uppercase(),
                alert.id,
                escape(&alert.summary),
            ))
        }
    }
}
