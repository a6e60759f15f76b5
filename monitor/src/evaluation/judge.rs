//! Holds what was told against what is known. The one judge of all detectors.

use std::collections::BTreeMap;
use std::time::Duration;

use super::label::Label;
use super::score::{Scored, Sent};
use super::told::Told;
use crate::model::{Selector, Timestamp};

/// For so long after the end of an instance an alert still finds it.
const AFTER: Duration = Duration::from_secs(3_600);

/// What is judged of a host: instances that end, and alerts that come, at or after a time. Everything
/// before is warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From when.
    pub from: Timestamp,
    /// Until when: the last fact.
    pub until: Timestamp,
}

impl Span {
    /// Its length in days.
    pub fn days(&self) -> f64 {
        self.until.since(self.from).as_secs_f64() / 86_400.0
    }
}

/// How one detector did on one host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Judged {
    /// Each instance by its place among the labels, and how it was found, if it was.
    pub instances: Vec<(usize, Option<Found>)>,
    /// Alerts that were about none, each with the benign change it was about, by its place among the
    /// labels.
    pub false_alerts: Vec<(Told, Option<usize>)>,
    /// Alerts about an instance.
    pub true_alerts: u64,
}

/// How an instance was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// After its beginning.
    pub after: Duration,
    /// What had been sent to its other end by then; `None` where it is about no single one.
    pub bytes: Option<u64>,
}

/// Judges what one detector told about a host.
pub fn judge(told: &[Told], labels: &[Label], scored: &Scored, span: Span) -> Judged {
    let mut by_identity: BTreeMap<&Selector, Vec<usize>> = BTreeMap::new();
    for (place, label) in labels.iter().enumerate() {
        by_identity.entry(&label.identity).or_default().push(place);
    }
    let mut found: BTreeMap<usize, Timestamp> = BTreeMap::new();
    let mut judged = Judged::default();
    for of in told {
        let about = of.identity.as_ref().and_then(|who| by_identity.get(who));
        let about = about.into_iter().flatten().copied();
        let about: Vec<_> = about
            .filter(|place| labels.get(*place).is_some_and(|label| is_about(of, label)))
            .collect();
        let is_benign = |place: &usize| labels.get(*place).is_some_and(|label| label.benign);
        let mut is_true = false;
        for place in about.iter().filter(|place| !is_benign(place)) {
            is_true = true;
            let first = found.entry(*place).or_insert(of.time);
            *first = of.time.min(*first);
        }
        if !of.is_new || of.time < span.from {
            continue;
        }
        if is_true {
            judged.true_alerts += 1;
        } else {
            judged
                .false_alerts
                .push((of.clone(), about.first().copied()));
        }
    }
    for (place, label) in labels.iter().enumerate() {
        if label.benign || label.end < span.from {
            continue;
        }
        let found = found.get(&place).map(|time| Found {
            after: time.since(label.begin),
            bytes: bytes_before(&scored.sent, label, *time),
        });
        judged.instances.push((place, found));
    }
    judged
}

/// Whether an alert speaks of an instance: of its identity, within its time, and of its other end unless
/// one of them speaks of none.
fn is_about(told: &Told, label: &Label) -> bool {
    let is_within = label.begin <= told.time && told.time <= label.end.after(AFTER);
    let is_there = match (told.destination, label.destination) {
        (Some(told), Some(label)) => told == (label.ip().to_canonical(), label.port()),
        _ => true,
    };
    is_within && is_there && told.identity.as_ref() == Some(&label.identity)
}

fn bytes_before(sent: &Sent, label: &Label, until: Timestamp) -> Option<u64> {
    let to = label.destination?;
    let to = (to.ip().to_canonical(), to.port());
    Some(sent.between(&label.identity, to, label.begin, until))
}
