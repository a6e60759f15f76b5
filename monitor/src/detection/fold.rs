//! One alert a cause: repeats are counted on it and summed when they end.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::health;
use crate::model::{Alert, AlertStatus, DetectionId, Timestamp};

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

/// Most causes that are open at once; those that were quiet longest end early beyond it.
const CAPACITY: usize = 10_000;
/// A step back of the clock by this much ends what was open before: what is ahead of the clock
/// would go on for as long.
const STEP_BACK: Duration = Duration::from_secs(60);

/// Causes that ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Those that had repeated: their sums are shown.
    pub(super) sums: Vec<Alert>,
    /// Those that had not: their alerts said everything.
    pub(super) silent: Vec<Alert>,
}

/// The open causes.
#[derive(Debug)]
pub struct Folds {
    quiet: Duration,
    longest: Duration,
    open: BTreeMap<Cause, Open>,
    /// Nothing ends before this: every fact asks, and mostly there is nothing to look for.
    due: Timestamp,
    /// The latest time seen since the clock was last set back.
    latest: Timestamp,
}

impl Folds {
    pub(super) fn new(quiet: Duration, longest: Duration) -> Self {
        Self {
            quiet,
            longest,
            open: BTreeMap::new(),
            due: Timestamp(i64::MAX),
            latest: Timestamp(i64::MIN),
        }
    }

    /// Causes end by other limits from now on.
    pub(super) fn set_limits(&mut self, quiet: Duration, longest: Duration) {
        (self.quiet, self.longest) = (quiet, longest);
        // Some may be due sooner now: the next question looks at all.
        self.due = self.due.min(self.latest);
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
            open.alert.repeats = open.alert.repeats.saturating_add(weight);
            open.alert.last_time = open.last;
            let total = open.alert.repeats.saturating_add(1);
            match (cause.id, &*cause.parts) {
                (DetectionId::EventsLost, [hook, cpu]) => {
                    open.alert.summary = health::lost_in_all(hook, cpu, total);
                }
                (DetectionId::EventsLost, [hook, by, _]) => {
                    open.alert.summary = health::capped_in_all(hook, by, total);
                }
                _ => {}
            }
            return Taken::Repeat(Box::new(open.alert.clone()));
        }
        alert.alert_id = alert_id(&cause, now);
        alert.status = AlertStatus::Open;
        alert.repeats = weight.saturating_sub(1);
        alert.last_time = now;
        let open = Open {
            alert: alert.clone(),
            last: now,
        };
        self.due = self.due.min(self.due_of(&open));
        self.open.insert(cause, open);
        Taken::New(Box::new(alert))
    }

    /// The causes that have been quiet, or have gone on too long.
    pub(super) fn ended(&mut self, now: Timestamp) -> Ended {
        let set_back = self.latest.since(now) >= STEP_BACK;
        self.latest = if set_back { now } else { self.latest.max(now) };
        let mut ended = Ended::default();
        if now >= self.due || set_back {
            let (quiet, longest) = (self.quiet, self.longest);
            ended = self.end(|_, open| {
                now.since(open.last) >= quiet
                    || now.since(open.alert.time) >= longest
                    || open.last.since(now) >= STEP_BACK
            });
        }
        if self.open.len() > CAPACITY {
            let mut times: Vec<_> = self.open.values().map(|open| open.last).collect();
            times.sort_unstable();
            let oldest = times[CAPACITY / 8];
            let early = self.end(|_, open| open.last <= oldest);
            ended.sums.extend(early.sums);
            ended.silent.extend(early.silent);
        }
        ended
    }

    /// The causes that have one of these among their parts.
    pub(super) fn end_about(&mut self, about: &[String]) -> Ended {
        self.end(|cause, _| cause.parts.iter().any(|part| about.contains(part)))
    }

    /// The causes of one detection that are about this before all.
    pub(super) fn end_of(&mut self, id: DetectionId, first_part: &str) -> Ended {
        self.end(|cause, _| {
            cause.id == id && cause.parts.first().is_some_and(|part| part == first_part)
        })
    }

    pub(super) fn finish(&mut self) -> Vec<Alert> {
        self.end(|_, _| true).sums
    }

    fn end(&mut self, mut is_over: impl FnMut(&Cause, &Open) -> bool) -> Ended {
        let mut ended = Ended::default();
        self.open.retain(|cause, open| {
            if !is_over(cause, open) {
                return true;
            }
            let mut alert = open.alert.clone();
            alert.status = AlertStatus::Ended;
            if alert.repeats > 0 {
                ended.sums.push(alert);
            } else {
                ended.silent.push(alert);
            }
            false
        });
        let due = self.open.values().map(|open| self.due_of(open)).min();
        self.due = due.unwrap_or(Timestamp(i64::MAX));
        let order = |alert: &Alert| (alert.last_time, alert.alert_id.clone());
        ended.sums.sort_by_key(order);
        ended.silent.sort_by_key(order);
        ended
    }

    fn due_of(&self, open: &Open) -> Timestamp {
        let quiet = open.last.after(self.quiet);
        quiet.min(open.alert.time.after(self.longest))
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
        assert!(folds.ended(Timestamp(89 * second)).sums.is_empty());
        let sums = folds.ended(Timestamp(90 * second)).sums;
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
            let sums = folds.ended(Timestamp(second * 1_000_000_000)).sums;
            assert_eq!(sums.len(), usize::from(second == 100), "{second}");
        }
    }
    #[test]
    fn a_sum_says_how_many_were_lost_in_all() {
        let mut folds = Folds::new(Duration::from_secs(60), Duration::from_secs(3_600));
        let Taken::New(first) = folds.take(lost(1, 0)) else {
            panic!("first")
        };
        assert_eq!(first.summary, "1 event of file_read was lost on CPU 0");
        let _ = folds.take(lost(u64::MAX, 1));
        let sum = folds.finish().remove(0);
        assert!(sum.summary.starts_with("18446744073709551615 events"));
    }

    #[test]
    fn a_cause_without_repeats_ends_without_a_word() {
        let mut folds = Folds::new(Duration::from_secs(60), Duration::from_secs(3_600));
        let _ = folds.take(lost(1, 0));
        let ended = folds.ended(Timestamp(60_000_000_000));
        assert!(ended.sums.is_empty());
        assert_eq!(ended.silent[0].status, AlertStatus::Ended);
    }

    #[test]
    fn a_clock_that_is_set_back_ends_what_is_ahead_of_it() {
        let mut folds = Folds::new(Duration::from_secs(60), Duration::from_secs(3_600));
        let year = 31_536_000_000_000_000;
        let _ = folds.ended(Timestamp(year));
        let _ = folds.take(lost(2, year));
        assert!(
            folds.ended(Timestamp(year - 1)).sums.is_empty(),
            "late only"
        );
        assert_eq!(folds.ended(Timestamp(5)).sums.len(), 1);
        assert!(matches!(folds.take(lost(1, 6)), Taken::New(_)));
    }

    #[test]
    fn too_many_causes_end_the_oldest_of_them_only() {
        let mut folds = Folds::new(Duration::from_secs(60), Duration::from_secs(3_600));
        for cpu in 0..=u32::try_from(CAPACITY).unwrap() {
            let _ = folds.take(health::lost(
                "file_read",
                Some(cpu),
                2,
                Timestamp(cpu.into()),
            ));
        }
        let ended = folds.ended(Timestamp(20_000)).sums;
        assert_eq!(ended.len(), CAPACITY / 8 + 1);
        assert_eq!(folds.open.len(), CAPACITY - CAPACITY / 8);
        assert!(ended.iter().all(|alert| alert.time.0 <= ended.len() as i64));
    }
}
