//! `credwatch evaluate`

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::output::answer;
use super::table::{Rows, Text, optional};
use super::{CommandResult, ReplayFormat, TableFormat};
use crate::evaluation::{Interval, Measured, Quantiles, Report, Share, Split};

/// Tells how good the scored detections are, on recordings of which it is known what happened.
///
/// Each FILE is one host: a recording, with its labels beside it (NAME.rec and NAME.labels.jsonl), or a conn log of
/// Zeek with a column `label`, as data sets have them. It is run through the pipeline at each budget, and only then are its
/// labels read. Counted are instances (an identity, another end, an episode), and not connections: how many were found, how
/// soon, what had been sent until then, and how many alerts were about none, by host and day, with exact 95 % intervals.
///
/// An alert finds an instance when it is about its identity and other end, between its beginning and an hour after its end.
/// A repeat counted on an open alert finds too; only alerts of their own are false. The rules (CW-1xx, CW-2xx, CW-9xx)
/// know no budget; they are counted in a line of their own. Beside ours stands the first-seen rule: an alert whenever an
/// identity connects where it never did before.
///
/// A label is a line of JSON: {"kind":"exfiltration", "identity":"systemd:unit:web.service", "destination":"203.0.113.9:443" or null,
/// "begin":"2026-03-02T04:05:06Z", "end":"2026-03-02T05:05:06Z", "benign":false}. With "benign":true it is an ordinary
/// change, and alerts about it are false ones of its kind.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  credwatch evaluate host-1.rec host-2.rec --split 0.5
  credwatch evaluate *.conn.log.labeled.gz --budgets 1
  credwatch evaluate incident.rec --labels incident.jsonl --output json | jq '.detectors[0].missed'
  credwatch evaluate *.rec --export events.jsonl   # for other detectors, whose alerts --scores reads back")]
pub struct EvaluateArgs {
    /// Recordings or conn logs, each of one host.
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// The labels of the only FILE, where they do not lie beside it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub labels: Option<PathBuf>,
    /// Which form every FILE has. Without it, the first bytes of each tell.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<ReplayFormat>,
    /// False alerts a host and day that the scored detections are allowed; each is a run of its own.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "0.1,1,5", value_parser = budget)]
    pub budgets: Vec<f64>,
    /// Where the warm-up ends: at a time, or after a part of each host's time (0.5). Nothing before it is judged.
    #[arg(long, value_name = "TIME|FRACTION")]
    pub split: Option<Split>,
    /// A configuration whose `detection` section and `gateway.networks` to use. Without it the defaults hold.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Write the events that every detector is given to this file, and judge nothing. A line is an event
    /// of a host, as JSON; times are nanoseconds since the epoch.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "scores")]
    pub export: Option<PathBuf>,
    /// Judge the alerts of other detectors too: a line is {"detector", "budget" or null, "host", "time", "identity",
    /// "destination" or null}, or {"detector", "budget", "ran":true}. May be given several times.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub scores: Vec<PathBuf>,
    /// How to print the figures. JSON also has what was missed and what was false, one by one.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub output: TableFormat,
}

fn budget(text: &str) -> Result<f64, String> {
    let budget: Option<f64> = text.parse().ok();
    let wrong = || format!("`{text}` is no number of false alerts above 0, up to 10000");
    budget
        .filter(|of| *of > 0.0 && *of <= 10_000.0)
        .ok_or_else(wrong)
}

/// Prints figures.
///
/// # Errors
/// Those of standard output.
pub fn print_evaluation(report: &Report, format: TableFormat) -> CommandResult {
    answer(report, format, table)
}

fn table(report: &Report) -> String {
    let instances: u64 = report.hosts.iter().map(|of| of.instances).sum();
    let benign: u64 = report.hosts.iter().map(|of| of.benign).sum();
    let split = match &report.split {
        Some(split) => format!(" (from {split} on)"),
        None => String::new(),
    };
    let mut text = format!(
        "{} hosts, {:.2} host-days{split}, {instances} instances, {benign} ordinary changes\n",
        report.hosts.len(),
        report.host_days,
    );
    let rules = report.rules.iter();
    let rules: Vec<_> = rules.map(|of| format!("{} {}", of.id, of.alerts)).collect();
    if !rules.is_empty() {
        text += &format!("alerts of rules, not judged: {}\n", rules.join(", "));
    }
    if report.untold > 0 {
        text += &format!("{} did not fit into memory\n", report.untold);
    }
    text += "\n";
    text += &summary(report);
    text += "\n";
    text += &kinds(report);
    let changes = changes(report);
    if !changes.is_empty() {
        text += "\n";
        text += &changes;
    }
    text
}

fn summary(report: &Report) -> String {
    let mut rows = Rows::new(&[
        "DETECTOR",
        "BUDGET",
        "FOUND",
        "95 %",
        "HOSTS",
        "FALSE",
        "PER HOST-DAY",
        "95 %",
        "MEDIAN",
        "P90",
        "BYTES BEFORE",
    ]);
    for of in &report.detectors {
        let wrong = &of.false_alerts;
        let time = |of: fn(Quantiles) -> f64, from: Option<Quantiles>| from.map(of).map(span);
        rows.add([
            (&of.detector).into(),
            optional(of.budget),
            shown(of.instances),
            percent(of.instances.interval),
            shown(of.hosts),
            wrong.alerts.into(),
            format!("{:.2}", wrong.per_host_day).into(),
            rates(wrong.interval),
            optional(time(|of| of.median, of.seconds_to_detect)),
            optional(time(|of| of.p90, of.seconds_to_detect)),
            optional(of.bytes_before_alert.map(|of| of.median)),
        ]);
    }
    rows.finish("Nothing was run.")
}

fn kinds(report: &Report) -> String {
    let mut rows = Rows::new(&["KIND", "DETECTOR", "BUDGET", "FOUND", "95 %"]);
    let first = report.detectors.first();
    for (place, kind) in first.iter().flat_map(|of| of.kinds.iter().enumerate()) {
        for of in &report.detectors {
            let Some(share) = of.kinds.get(place).map(|of| of.share) else {
                continue;
            };
            rows.add([
                (&kind.kind).into(),
                (&of.detector).into(),
                optional(of.budget),
                shown(share),
                percent(share.interval),
            ]);
        }
    }
    rows.finish("There was nothing to find.")
}

fn changes(report: &Report) -> String {
    let has_changes = |of: &Measured| of.false_alerts.by_change.iter().any(|of| of.changes > 0);
    if !report.detectors.iter().any(has_changes) {
        return String::new();
    }
    let mut rows = Rows::new(&["ORDINARY CHANGE", "THERE", "DETECTOR", "BUDGET", "FALSE"]);
    for of in &report.detectors {
        for line in &of.false_alerts.by_change {
            rows.add([
                line.change.as_deref().unwrap_or("none").into(),
                line.change
                    .as_ref()
                    .map_or("-".into(), |_| line.changes.into()),
                (&of.detector).into(),
                optional(of.budget),
                line.alerts.into(),
            ]);
        }
    }
    rows.finish("")
}

fn shown(share: Share) -> Text {
    format!("{}/{}", share.found, share.all).into()
}

fn percent(interval: Interval) -> Text {
    format!("{:.1}–{:.1}", interval.low * 100.0, interval.high * 100.0).into()
}

fn rates(interval: Interval) -> Text {
    format!("{:.2}–{:.2}", interval.low, interval.high).into()
}

/// `0.4s`, `12min`, `3.5h`
fn span(seconds: f64) -> String {
    match seconds {
        0.0..120.0 => format!("{seconds:.1}s"),
        120.0..7_200.0 => format!("{:.1}min", seconds / 60.0),
        7_200.0..172_800.0 => format!("{:.1}h", seconds / 3_600.0),
        _ => format!("{:.1}d", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_number_above_nothing() {
        assert_eq!(budget("0.1"), Ok(0.1));
        for wrong in ["0", "-1", "NaN", "inf", "x", "10001"] {
            assert!(budget(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(span(0.0), "0.0s");
        assert_eq!(span(600.0), "10.0min");
        assert_eq!(span(9_000.0), "2.5h");
        assert_eq!(span(864_000.0), "10.0d");
    }
}
