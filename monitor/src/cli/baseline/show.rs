//! `credwatch baseline show`

use std::fmt::Write as _;

use clap::Args;

use super::list::watched;
use super::{asked, plot};
use crate::cli::args::StateDir;
use crate::cli::escape::escape;
use crate::cli::table::{Rows, optional, seconds};
use crate::cli::{CommandResult, Commands, TableFormat, output};
use crate::control::protocol::{Habit, Habits, Standing, Way};
use crate::control::{Request, Response};
use crate::model::Protocol;

/// Shows what is normal for an identity.
///
/// Where it connects, how often and since when; how many connections each hour of the week has; how much it sends in
/// each hour of the day; and which programs run under it.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Standings:
  new       seen on fewer than three days
  trusted   ordinary
  approved  ordinary by an operator's word
  suspect   it was alerted about, and time alone does not make it ordinary

Examples:
  sudo credwatch baseline show systemd:unit:backup.service
  sudo credwatch baseline show unix:user:deploy --output json | jq '.where_to[] | select(.standing == \"suspect\")'")]
pub(in crate::cli) struct ShowArgs {
    /// Whose.
    #[arg(value_name = "IDENTITY")]
    identity: String,
    #[command(flatten)]
    state: StateDir,
    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn show(args: &ShowArgs, commands: &dyn Commands) -> CommandResult {
    let request = Request::Habits {
        identity: args.identity.clone(),
    };
    let habits = asked(
        &args.state.state_dir,
        &request,
        commands,
        |response| match response {
            Response::Habits(habits) => Some(habits),
            _ => None,
        },
    )?;
    output::answer(habits.as_ref(), args.output, text)
}

fn text(of: &Habits) -> String {
    let columns = terminal_size::terminal_size().map(|(width, _)| width.0);
    let width = plot::hour_width(columns);
    let summary = &of.summary;
    let mut text = format!(
        "{}\nwatched for {} ({:.0} % mature), from {} to {}\n",
        escape(summary.identity.as_str()),
        watched(summary.hours),
        100.0 * summary.maturity,
        seconds(summary.first),
        seconds(summary.last),
    );
    if let Some(frozen) = &summary.frozen {
        let _ = writeln!(
            text,
            "frozen since {} by {}: {}",
            seconds(frozen.since),
            escape(&frozen.by),
            escape(&frozen.reason)
        );
    }
    text.push('\n');
    let mut rows = Rows::new(&[
        "DESTINATION",
        "NAME",
        "STANDING",
        "DAYS",
        "OPENED",
        "SENT A DAY",
        "RHYTHM",
        "FIRST",
        "LAST",
    ]);
    for of in &of.where_to {
        let period = of.period.map(|seconds| format!("{seconds:.0} s"));
        rows.add([
            endpoint(of).into(),
            optional(of.name.as_deref()),
            standing(of.standing).into(),
            of.days.into(),
            of.opened.into(),
            bytes(of.sent_a_day).into(),
            optional(period),
            date(&seconds(of.first)).into(),
            date(&seconds(of.last)).into(),
        ]);
    }
    text += &rows.finish("It has not connected to anything.");
    let most = of.week.iter().copied().fold(0.0, f64::max);
    let _ = write!(
        text,
        "\nConnections an hour, up to {most:.1}\n{}",
        plot::week(&of.week, width)
    );
    let most = of.sent_by_hour.iter().copied().fold(0.0, f64::max);
    let _ = write!(
        text,
        "\nSent in an hour of the day, up to {}\n{}",
        bytes(most),
        plot::day(&of.sent_by_hour, width)
    );
    text += "\nPrograms\n";
    for program in &of.programs_run {
        let _ = writeln!(text, "  {}", escape(program));
    }
    if of.programs_run.is_empty() {
        text += "  none was seen to begin\n";
    }
    text
}

fn endpoint(of: &Habit) -> String {
    let from = if of.way == Way::In { "from " } else { "" };
    let over = match of.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Arp => "arp",
        Protocol::Other => "ip",
    };
    match of.port {
        0 => format!("{from}{} {over}", of.address),
        port => format!(
            "{from}{} {over}",
            std::net::SocketAddr::new(of.address, port)
        ),
    }
}

fn standing(of: Standing) -> &'static str {
    match of {
        Standing::New => "new",
        Standing::Suspect => "suspect",
        Standing::Trusted => "trusted",
        Standing::Approved => "approved",
    }
}

/// The day of a moment.
fn date(moment: &str) -> &str {
    moment.split('T').next().unwrap_or(moment)
}

fn bytes(mut of: f64) -> String {
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if of < 1024.0 {
            return format!("{of:.0} {unit}");
        }
        of /= 1024.0;
    }
    format!("{of:.0} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{BaselineSummary, FrozenView};
    use crate::model::Timestamp;

    #[test]
    fn a_person_reads_what_is_normal() {
        let at = Timestamp::from_unix_seconds;
        let habits = Habits {
            summary: BaselineSummary {
                identity: "systemd:unit:backup.service".parse().unwrap(),
                first: at(1_777_000_000),
                last: at(1_778_000_000),
                hours: 270.0,
                maturity: 0.8,
                destinations: 1,
                suspect: 0,
                services: 1,
                programs: 1,
                frozen: Some(FrozenView {
                    since: at(1_777_900_000),
                    by: "ana".to_owned(),
                    reason: "case\u{1b} 17".to_owned(),
                }),
            },
            where_to: vec![Habit {
                address: "198.51.100.7".parse().unwrap(),
                port: 443,
                protocol: Protocol::Tcp,
                way: Way::Out,
                name: Some("backup.example\u{1b}[2J".to_owned()),
                standing: Standing::Trusted,
                first: at(1_777_000_000),
                last: at(1_778_000_000),
                days: 11,
                opened: 40,
                sent_a_day: 3.5e6,
                period: Some(86_400.0),
            }],
            programs_run: vec!["/usr/bin/restic".to_owned()],
            week: vec![1.0; 168],
            sent_by_hour: vec![1_000.0; 24],
        };
        let text = text(&habits);
        for part in [
            "watched for 11 d (80 % mature), from 2026-04-24",
            "frozen since 2026-05-04T13:06:40Z by ana: case",
            "198.51.100.7:443 tcp",
            "trusted",
            "3 MiB",
            "86400 s",
            "/usr/bin/restic",
            "Connections an hour, up to 1.0\nMon █",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
