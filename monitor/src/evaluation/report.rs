//! Figures: how much was found, how soon, and how often an alert was false.

use std::collections::BTreeMap;

use serde::Serialize;

use super::interval::{Interval, clopper_pearson, poisson};
use super::judge::Judged;
use super::label::Label;
use crate::model::{DetectionId, Selector, Timestamp, time::rfc3339};

/// Most that was missed, and most that was false, that is listed one by one.
const LISTED: usize = 500;

/// All figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The version that was judged.
    pub version: &'static str,
    /// From when on was judged; `null` where all was.
    pub split: Option<String>,
    /// Each host.
    pub hosts: Vec<HostLine>,
    /// Days that were judged, of all hosts together.
    pub host_days: f64,
    /// What was in no figure because it did not fit into memory.
    pub untold: u64,
    /// Alerts of rules in the judged time. They know no budget, and count neither as found nor as
    /// false.
    pub rules: Vec<RuleLine>,
    /// Detectors at their budgets.
    pub detectors: Vec<Measured>,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostLine {
    /// What it is called.
    pub name: String,
    /// Facts, the warm-up's included.
    pub facts: u64,
    /// Days that were judged.
    pub days: f64,
    /// Instances that should be found.
    pub instances: u64,
    /// Ordinary changes that should not.
    pub benign: u64,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleLine {
    /// Its id.
    pub id: DetectionId,
    /// How often it told of something.
    pub alerts: u64,
}

/// How a detector did at a budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Whose figures these are.
    pub detector: String,
    /// False alerts a host and day that it was allowed; `null` where it has no such setting.
    pub budget: Option<f64>,
    /// Instances found.
    pub instances: Share,
    /// The same by kind.
    pub kinds: Vec<KindShare>,
    /// Hosts on which any instance was found, of those that have one.
    pub hosts: Share,
    /// Alerts about an instance.
    pub true_alerts: u64,
    /// Alerts about none.
    pub false_alerts: Rate,
    /// From the beginning of an instance to the alert, of those that were found.
    pub seconds_to_detect: Option<Quantiles>,
    /// What had been sent to the instance's other end by then.
    pub bytes_before_alert: Option<Quantiles>,
    /// What was not found; the first of them.
    pub missed: Vec<Missed>,
    /// What was false; the first of it.
    pub false_list: Vec<FalseAlert>,
}

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// Found.
    pub found: u64,
    /// There.
    pub all: u64,
    /// Between which shares the chance lies: Clopper and Pearson, 95 %.
    pub interval: Interval,
}

impl Share {
    fn of(found: u64, all: u64) -> Self {
        Self {
            found,
            all,
            interval: clopper_pearson(found, all),
        }
    }
}

/// The same of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindShare {
    /// Which.
    pub kind: String,
    /// How many.
    #[serde(flatten)]
    pub share: Share,
}

/// False alerts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rate {
    /// How many.
    pub alerts: u64,
    /// By host and day.
    pub per_host_day: f64,
    /// Between which rates it lies: Poisson, 95 %.
    pub interval: Interval,
    /// By the ordinary change that they were about; `null` where nothing was the matter.
    pub by_change: Vec<ChangeLine>,
}

/// False alerts about a kind of ordinary change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeLine {
    /// Which.
    pub change: Option<String>,
    /// How many.
    pub alerts: u64,
    /// How many such changes there were.
    pub changes: u64,
}

/// By rank: half lie at or below the median, nine of ten at or below p90.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// Half.
    pub median: f64,
    /// Nine of ten.
    pub p90: f64,
}

impl Quantiles {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at = |tenths: usize| {
            let rank = (values.len() * tenths).div_ceil(10);
            values.get(rank.saturating_sub(1)).copied()
        };
        Some(Self {
            median: at(5)?,
            p90: at(9)?,
        })
    }
}

/// An instance that was not found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missed {
    /// Where.
    pub host: String,
    /// What.
    #[serde(flatten)]
    pub label: Label,
}

/// An alert that was false.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FalseAlert {
    /// Where.
    pub host: String,
    /// When.
    #[serde(with = "rfc3339")]
    pub time: Timestamp,
    /// Which detection of ours.
    pub id: Option<DetectionId>,
    /// About whom.
    pub identity: Option<Selector>,
    /// About which other end.
    pub destination: Option<String>,
    /// The ordinary change that it was about.
    pub change: Option<String>,
}

/// What is known of a host when its detectors are judged.
#[derive(Debug)]
pub(super) struct HostLabels {
    /// Its name.
    pub(super) name: String,
    /// All of its labels.
    pub(super) labels: Vec<Label>,
    /// Days that are judged.
    pub(super) days: f64,
    /// From when on.
    pub(super) from: Timestamp,
}

/// The figures of one detector, from what was judged of each host.
pub(super) fn measure(
    detector: &str,
    budget: Option<f64>,
    hosts: &[HostLabels],
    judged: &[Judged],
) -> Measured {
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut changes: BTreeMap<Option<&str>, (u64, u64)> = BTreeMap::new();
    let (mut of_hosts, mut infected) = (0, 0);
    let (mut seconds, mut bytes) = (Vec::new(), Vec::new());
    let (mut missed, mut false_list) = (Vec::new(), Vec::new());
    let (mut true_alerts, mut false_alerts, mut days) = (0, 0, 0.0);
    for (host, judged) in hosts.iter().zip(judged) {
        days += host.days;
        true_alerts += judged.true_alerts;
        let mut is_found = false;
        for (place, found) in &judged.instances {
            let Some(label) = host.labels.get(*place) else {
                continue;
            };
            let kind = kinds.entry(&label.kind).or_default();
            kind.1 += 1;
            if let Some(found) = found {
                kind.0 += 1;
                is_found = true;
                seconds.push(found.after.as_secs_f64());
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "of bytes, the first digits matter"
                )]
                bytes.extend(found.bytes.map(|bytes| bytes as f64));
            } else if missed.len() < LISTED {
                missed.push(Missed {
                    host: host.name.clone(),
                    label: label.clone(),
                });
            }
        }
        infected += u64::from(!judged.instances.is_empty());
        of_hosts += u64::from(is_found);
        for label in &host.labels {
            if label.benign && label.end >= host.from {
                changes.entry(Some(&label.kind)).or_default().1 += 1;
            }
        }
        for (told, change) in &judged.false_alerts {
            false_alerts += 1;
            let change = change.and_then(|place| host.labels.get(place));
            let change = change.map(|label| label.kind.as_str());
            changes.entry(change).or_default().0 += 1;
            if false_list.len() < LISTED {
                let to = told.destination.map(std::net::SocketAddr::from);
                false_list.push(FalseAlert {
                    host: host.name.clone(),
                    time: told.time,
                    id: told.id,
                    identity: told.identity.clone(),
                    destination: to.map(|of| of.to_string()),
                    change: change.map(str::to_owned),
                });
            }
        }
    }
    let (found, all) = kinds
        .values()
        .fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    let kinds = kinds.into_iter().map(|(kind, (found, all))| KindShare {
        kind: kind.to_owned(),
        share: Share::of(found, all),
    });
    let by_change = changes
        .into_iter()
        .map(|(change, (alerts, changes))| ChangeLine {
            change: change.map(str::to_owned),
            alerts,
            changes,
        });
    Measured {
        detector: detector.to_owned(),
        budget,
        instances: Share::of(found, all),
        kinds: kinds.collect(),
        hosts: Share::of(of_hosts, infected),
        true_alerts,
        false_alerts: rate(false_alerts, days, by_change.collect()),
        seconds_to_detect: Quantiles::of(seconds),
        bytes_before_alert: Quantiles::of(bytes),
        missed,
        false_list,
    }
}

fn rate(alerts: u64, days: f64, by_change: Vec<ChangeLine>) -> Rate {
    let counts = poisson(alerts);
    // Without a day there is no rate, and nothing bounds it.
    let per = |count: f64| if days > 0.0 { count / days } else { 0.0 };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let per_host_day = per(alerts as f64);
    Rate {
        alerts,
        per_host_day,
        interval: Interval {
            low: per(counts.low),
            high: if days > 0.0 {
                counts.high / days
            } else {
                f64::MAX
            },
        },
        by_change,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_there() {
        let of = |values: &[f64]| Quantiles::of(values.to_vec()).map(|of| (of.median, of.p90));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7.0]), Some((7.0, 7.0)));
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some((2.0, 3.0)));
        let ten: Vec<_> = (1..=10).map(f64::from).collect();
        assert_eq!(of(&ten), Some((5.0, 9.0)));
    }
}
