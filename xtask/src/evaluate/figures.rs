//! The figures of an evaluation, as `credwatch evaluate --output json` prints them, and how they are
//! shown.

use serde::Deserialize;

/// What `credwatch evaluate --output json` prints, as far as it is needed here.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    pub(super) version: String,
    pub(super) split: Option<String>,
    pub(super) hosts: Vec<Host>,
    pub(super) host_days: f64,
    pub(super) untold: u64,
    pub(super) rules: Vec<Rule>,
    pub(super) detectors: Vec<Measured>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Host {
    pub(super) facts: u64,
    pub(super) instances: u64,
    pub(super) benign: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) alerts: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Measured {
    pub(super) detector: String,
    pub(super) budget: Option<f64>,
    pub(super) instances: Share,
    pub(super) kinds: Vec<Kind>,
    pub(super) hosts: Share,
    pub(super) false_alerts: Rate,
    pub(super) seconds_to_detect: Option<Quantiles>,
    pub(super) bytes_before_alert: Option<Quantiles>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Share {
    pub(super) found: u64,
    pub(super) all: u64,
    pub(super) interval: Interval,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Interval {
    pub(super) low: f64,
    pub(super) high: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Kind {
    pub(super) kind: String,
    #[serde(flatten)]
    pub(super) share: Share,
}

#[derive(Debug, Deserialize)]
pub(super) struct Rate {
    pub(super) alerts: u64,
    pub(super) per_host_day: f64,
    pub(super) interval: Interval,
    pub(super) by_change: Vec<Change>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Change {
    pub(super) change: Option<String>,
    pub(super) alerts: u64,
    pub(super) changes: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Quantiles {
    pub(super) median: f64,
    pub(super) p90: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(super) fn share(of: Share) -> f64 {
    if of.all == 0 {
        1.0
    } else {
        of.found as f64 / of.all as f64
    }
}

pub(super) fn shown(budget: Option<f64>) -> String {
    budget.map_or("–".to_owned(), |budget| budget.to_string())
}

pub(super) fn number(value: f64) -> String {
    format!("{value:.2}")
}

pub(super) fn percent(of: Interval) -> String {
    format!("{:.0}–{:.0} %", of.low * 100.0, of.high * 100.0)
}

pub(super) fn rates(of: Interval) -> String {
    format!("{:.2}–{:.2}", of.low, of.high)
}

pub(super) fn span(seconds: f64) -> String {
    match seconds {
        0.0..120.0 => format!("{seconds:.1} s"),
        120.0..7_200.0 => format!("{:.1} min", seconds / 60.0),
        7_200.0..172_800.0 => format!("{:.1} h", seconds / 3_600.0),
        _ => format!("{:.1} d", seconds / 86_400.0),
    }
}
