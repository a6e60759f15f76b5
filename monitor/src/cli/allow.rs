//! `credwatch allow`

use clap::{ArgGroup, Args};

use super::args::StateDir;
use super::query::ask;
use super::table::{Rows, optional, seconds};
use super::{CommandError, CommandResult, TableFormat, output};
use crate::control::{Client, Request, Response};
use crate::model::Exception;

/// Raises nothing more for the cause of an alert, for a time.
///
/// The same detection stays silent where everything is as in that alert: identity, program (by the
/// file that lies at its path, so also after an upgrade), credential, destination. All else raises
/// alerts as before. An allowed reader of a credential (CW-201) is a user of it, also for CW-202 and
/// CW-204. It holds for 90 days unless --for says otherwise, and what is worse than that alert was
/// is not silenced.
///
/// Alerts about something retired or a decoy (CW-101, CW-102, CW-103, CW-107) are to be ended with
/// `credwatch restore`; with --force one cause of them is allowed for 7 days, 30 at most. Alerts about
/// Credwatch itself (CW-9xx) cannot be allowed.
#[derive(Debug, Clone, Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["alert", "list", "remove"]),
    after_long_help = "\
Examples:
  sudo credwatch alerts --limit 5
  sudo credwatch allow 3f9a01c2 --reason 'the new deploy tool' --for 30d
  sudo credwatch allow --list
  sudo credwatch allow --remove 3f9a01c2"
)]
pub(super) struct AllowArgs {
    /// The alert's id, or a start of it that no other alert has.
    #[arg(value_name = "ALERT")]
    alert: Option<String>,
    /// Why; shown in the list.
    #[arg(long, value_name = "TEXT", requires = "alert", required_unless_present_any = ["list", "remove"])]
    reason: Option<String>,
    /// For how long: 12h, 30d.
    #[arg(long = "for", value_name = "TIME", requires = "alert", value_parser = time)]
    time: Option<u64>,
    /// Also where something retired or a decoy is used.
    #[arg(long, requires = "alert")]
    force: bool,
    /// Show what is allowed.
    #[arg(long)]
    list: bool,
    /// Take an exception back, by its id or the start of it.
    #[arg(long, value_name = "ID")]
    remove: Option<String>,
    #[command(flatten)]
    state: StateDir,
    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn allow(args: &AllowArgs) -> CommandResult {
    let request = match (&args.alert, &args.remove) {
        (Some(alert), _) => Request::Allow {
            alert: alert.clone(),
            reason: args.reason.clone().unwrap_or_default(),
            seconds: args.time,
            force: args.force,
        },
        (None, Some(id)) => Request::Disallow { id: id.clone() },
        (None, None) => Request::Exceptions,
    };
    let mut client = Client::connect(&args.state.state_dir).map_err(CommandError::from)?;
    let rows = ask(&mut client, &request, |response| match response {
        Response::Exceptions(rows) => Some(rows),
        _ => None,
    })?;
    output::answer(rows.as_slice(), args.output, table)
}

/// Whole seconds of a time with its unit.
fn time(text: &str) -> Result<u64, String> {
    let wrong = || "write a time with its unit, such as 12h or 30d".to_owned();
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let relative = jiff::SpanRelativeTo::days_are_24_hours();
    let time = span.to_duration(relative).map_err(|_| wrong())?;
    u64::try_from(time.as_secs())
        .ok()
        .filter(|seconds| *seconds > 0)
        .ok_or_else(wrong)
}

fn table(rows: &[Exception]) -> String {
    let mut table = Rows::new(&[
        "ID",
        "DETECTION",
        "IDENTITY",
        "PROGRAM",
        "WHAT",
        "UNTIL",
        "BY",
        "REASON",
    ]);
    for row in rows {
        let what = row
            .credential
            .as_ref()
            .map(ToString::to_string)
            .or_else(|| row.path.clone())
            .or_else(|| row.target.clone());
        let to = row.destination.map(|to| format!("to {to}"));
        let what = [what, to].into_iter().flatten().collect::<Vec<_>>();
        table.add([
            row.id.chars().take(12).collect::<String>().into(),
            row.detection.into(),
            optional(row.identity.as_ref()),
            optional(row.exe.as_ref()),
            optional((!what.is_empty()).then(|| what.join(" "))),
            optional(row.expires.map(seconds)),
            (&row.by).into(),
            (&row.reason).into(),
        ]);
    }
    table.finish("Nothing is allowed.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(time("90d"), Ok(90 * 86_400));
        assert_eq!(time("1h30m"), Ok(5_400));
        for bad in ["", "90", "-1d", "0s", "1 fortnight"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
