//! One alert a cause: repeats are counted on it and summed when they end.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::model::{Alert, AlertStatus, DetectionId, Target, Timestamp};

/// What makes two findings the same cause. The parts are chosen by each detection: credential or
/// identity, actor, executable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// The detection.
    pub id: DetectionId,
    /// What tells this cause from others of the detection.
    pub parts: Vec<String>,
}

/// A detection that fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its cause.
    pub cause: Cause,
    /// The alert, should this be the first of its cause. Its id, status, repeats and last time are
    /// filled in here.
    pub alert: Alert,
    /// How many acts it stands for: one, or the number of events lost.
    pub weight: u64,
}

/// A finding after folding.
pub(super) enum Taken {
    /// The first of its cause.
    New(Box<Alert>),
    /// Counted on the first.
    Repeat(Box<Alert>),
}

#[derive(Debug)]
struct Open {
    alert: Alert,
    last: Timestamp,
}

/// Most causes that are open at once; the oldest ends early beyond it.
const CAPACITY: usize = 10_000;

/// The open causes.
#[derive(Debug)]
pub struct Folds {
    quiet: Duration,
    longest: Duration,
    open: BTreeMap<Cause, Open>,
}

impl Folds {
    pub(super) fn new(quiet: Duration, longest: Duration) -> Self {
        Self {
            quiet,
            longest,
            open: BTreeMap::new(),
        }
    }

    pub(super) fn take(&mut self, finding: Finding) -> Taken {
        let Finding {
            cause,
            mut alert,
            weight,
        } = finding;
        let now = alert.time;
        if let Some(open) = self.open.get_mut(&cause) {
            open.last = open.last.max(now);
            open.alert.repeats += weight;
            open.alert.last_time = open.last;
            return Taken::Repeat(Box::new(open.alert.clone()));
        }
        alert.alert_id = alert_id(&cause, now);
        alert.status = AlertStatus::Open;
        alert.repeats = weight - 1;
        alert.last_time = now;
        self.open.insert(
            cause,
            Open {
                alert: alert.clone(),
                last: now,
            },
        );
        Taken::New(Box::new(alert))
    }

    /// The sums of causes that have been quiet, or have gone on too long. A cause without repeats
    /// ends without a word: its alert said everything.
    pub(super) fn ended(&mut self, now: Timestamp) -> Vec<Alert> {
        let (quiet, longest) = (self.quiet, self.longest);
        let crowded = self.open.len() > CAPACITY;
        self.end(|_, open| {
            crowded || now.since(open.last) >= quiet || now.since(open.alert.time) >= longest
        })
    }

    /// The sums of causes about something that a person has just spoken about.
    pub(super) fn end_about(&mut self, target: &Target) -> Vec<Alert> {
        let about = match target {
            Target::Credential(fingerprint) => fingerprint.to_string(),
            Target::Identity(selector) => selector.to_string(),
            // What lies at a path is known by its fingerprint only.
            Target::Path(_) => return Vec::new(),
        };
        self.end(|cause, _| cause.parts.contains(&about))
    }

    pub(super) fn finish(&mut self) -> Vec<Alert> {
        self.end(|_, _| true)
    }

    fn end(&mut self, mut is_over: impl FnMut(&Cause, &Open) -> bool) -> Vec<Alert> {
        let mut sums = Vec::new();
        self.open.retain(|cause, open| {
            if !is_over(cause, open) {
                return true;
            }
            open.alert.status = AlertStatus::Ended;
            if open.alert.repeats > 0 {
                sums.push(open.alert.clone());
            }
            false
        });
        sums.sort_by(|a, b| (a.last_time, &a.alert_id).cmp(&(b.last_time, &b.alert_id)));
        sums
    }
}

/// The same for the same cause at the same time, so that a replay gives the same; different for
/// any two causes or times.
fn alert_id(cause: &Cause, time: Timestamp) -> String {
    let mut hash = Sha256::new();
    hash.update(cause.id.as_str());
    for part in &cause.parts {
        hash.update([0]);
        hash.update(part);
    }
    hash.update([0]);
    hash.update(time.0.to_be_bytes());
    hash.finalize()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detection::health;

    fn lost(count: u64, time: i64) -> Finding {
        health::lost("file_read", Some(0), count, Timestamp(time))
    }

    #[test]
    fn repeats_are_counted_on_the_first_and_summed_when_they_end() {
        let mut folds = Folds::new(Duration::from_secs(60), Duration::from_secs(3_600));
        let second = 1_000_000_000;
        let Taken::New(first) = folds.take(lost(3, 0)) else {
            panic!("first")
        };
        assert_eq!((first.repeats, first.status), (2, AlertStatus::Open));
        let Taken::Repeat(again) = folds.take(lost(4, 30 * second)) else {
            panic!("repeat")
        };
        assert_eq!((again.repeats, &again.alert_id), (6, &first.alert_id));
        assert!(folds.ended(Timestamp(89 * second)).is_empty());
        let sums = folds.ended(Timestamp(90 * second));
        assert_eq!(
            (sums.len(), sums[0].repeats, sums[0].status),
            (1, 6, AlertStatus::Ended)
        );
        assert_eq!(sums[0].last_time, Timestamp(30 * second));
        let Taken::New(next) = folds.take(lost(1, 91 * second)) else {
            panic!("anew")
        };
        assert_ne!(next.alert_id, first.alert_id);
    }

    #[test]
    fn a_cause_that_never_rests_is_summed_now_and_then() {
        let mut folds = Folds::new(Duration::from_secs(60), Duration::from_secs(100));
        for second in 0..150 {
            let _ = folds.take(lost(1, second * 1_000_000_000));
            let sums = folds.ended(Timestamp(second * 1_000_000_000));
            assert_eq!(sums.len(), usize::from(second == 100), "{second}");
        }
    }
}
