//! How long credentials and identities rest, of the time that somebody watched.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{Rhythm, Target, Timestamp};

/// Most times without a daemon that are kept; the newest matter.
const UNWATCHED: usize = 1_024;
/// Most targets with a gap that matters.
const CAPACITY: usize = 65_536;
/// Gaps between uses count this many times: a quarterly job may be late by two quarters.
const PATIENCE: u32 = 3;

/// A rest that has just ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// How long it was, of the time that somebody watched.
    pub lasted: Duration,
    /// How long it might have been without being worth a word.
    pub period: Duration,
}

/// What was learned.
#[derive(Debug, Clone, Default)]
pub struct Rhythms {
    of: BTreeMap<Target, Rhythm>,
    /// Not overlapping, oldest first.
    unwatched: Vec<(Timestamp, Timestamp)>,
}

impl Rhythms {
    /// Takes back what was learned before.
    pub fn restore(&mut self, rhythm: Rhythm) {
        if self.of.len() < CAPACITY || self.of.contains_key(&rhythm.target) {
            self.of.insert(rhythm.target.clone(), rhythm);
        }
    }

    /// Notes a time in which nobody watched. What overlaps counts once.
    pub fn unwatched(&mut self, from: Timestamp, to: Timestamp) {
        if to <= from {
            return;
        }
        let (mut from, mut to) = (from, to);
        self.unwatched.retain(|(a, b)| {
            let apart = *b < from || to < *a;
            if !apart {
                from = from.min(*a);
                to = to.max(*b);
            }
            apart
        });
        let at = self.unwatched.partition_point(|(a, _)| *a < from);
        self.unwatched.insert(at, (from, to));
        if self.unwatched.len() > UNWATCHED {
            self.unwatched.remove(0);
        }
    }

    /// When the present watch began; `None` where it is the first one.
    pub fn watched_since(&self) -> Option<Timestamp> {
        self.unwatched.last().map(|(_, to)| *to)
    }

    /// How much of a time was watched.
    pub fn watched(&self, from: Timestamp, to: Timestamp) -> Duration {
        let gaps = self.unwatched.iter();
        let not: Duration = gaps.map(|(a, b)| (*b).min(to).since((*a).max(from))).sum();
        to.since(from).saturating_sub(not)
    }

    /// How long a target may rest: `least`, or three times its longest rest so far.
    pub fn period(&self, of: &Target, least: Duration) -> Duration {
        let longest = self.of.get(of).map_or(0, |of| of.longest);
        least.max(Duration::from_nanos(longest).saturating_mul(PATIENCE))
    }

    /// Takes in that a rest has ended. Gives what it was where it was too long, and what is to be
    /// kept where something was learned.
    pub fn used(
        &mut self,
        of: &Target,
        lasted: Duration,
        least: Duration,
    ) -> (Option<Silence>, Option<Rhythm>) {
        let period = self.period(of, least);
        let silence = (lasted >= period).then_some(Silence { lasted, period });
        let nanoseconds = u64::try_from(lasted.as_nanos()).unwrap_or(u64::MAX);
        let longest = self.of.get(of).map_or(0, |of| of.longest);
        // Shorter ones make no period longer than the least.
        let matters = lasted.saturating_mul(PATIENCE) > least && nanoseconds > longest;
        let learned = matters.then(|| self.update(of, |of| of.longest = nanoseconds));
        (silence, learned.flatten())
    }

    /// When it was last told that a target lives too long.
    pub fn told(&self, of: &Target) -> Option<Timestamp> {
        self.of.get(of)?.told
    }

    /// Notes that it was told.
    pub fn tell(&mut self, of: &Target, now: Timestamp) -> Option<Rhythm> {
        self.update(of, |of| of.told = Some(now))
    }

    fn update(&mut self, of: &Target, change: impl FnOnce(&mut Rhythm)) -> Option<Rhythm> {
        if self.of.len() >= CAPACITY && !self.of.contains_key(of) {
            return None;
        }
        let rhythm = self.of.entry(of.clone()).or_insert_with(|| Rhythm {
            target: of.clone(),
            longest: 0,
            told: None,
        });
        change(rhythm);
        Some(rhythm.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Fingerprint;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    #[test]
    fn only_what_was_watched_counts() {
        let mut rhythms = Rhythms::default();
        rhythms.unwatched(at(10), at(20));
        rhythms.unwatched(at(15), at(30));
        rhythms.unwatched(at(50), at(60));
        rhythms.unwatched(at(9), at(5));
        assert_eq!(rhythms.watched(at(0), at(100)), SECOND * 70);
        assert_eq!(rhythms.watched(at(12), at(55)), SECOND * 20);
        assert_eq!(rhythms.watched(at(12), at(18)), Duration::ZERO);
        assert_eq!(rhythms.watched_since(), Some(at(60)));
    }

    #[test]
    fn a_rest_is_measured_by_the_longest_before_it() {
        let mut rhythms = Rhythms::default();
        let of = Target::Credential(Fingerprint::new("x"));
        let least = SECOND * 30;
        let (silence, learned) = rhythms.used(&of, SECOND * 10, least);
        assert_eq!((silence, learned), (None, None), "too short to matter");
        let (silence, learned) = rhythms.used(&of, SECOND * 20, least);
        assert_eq!(silence, None);
        assert_eq!(learned.unwrap().longest, 20_000_000_000);
        assert_eq!(rhythms.period(&of, least), SECOND * 60);
        assert_eq!(rhythms.used(&of, SECOND * 59, least).0, None);
        let (silence, _) = rhythms.used(&of, SECOND * 177, least);
        let period = SECOND * 177;
        assert_eq!(
            silence,
            Some(Silence {
                lasted: period,
                period
            })
        );
        assert_eq!(rhythms.used(&of, SECOND * 200, least).0, None, "learned");
    }

    proptest! {
        #[test]
        fn times_are_kept_apart_and_in_order(times in proptest::collection::vec((0i64..500, 0i64..500), 0..40)) {
            let mut rhythms = Rhythms::default();
            let mut seconds = [false; 500];
            for (from, to) in times {
                rhythms.unwatched(at(from), at(to));
                for second in from..to.max(from) {
                    seconds[usize::try_from(second).unwrap()] = true;
                }
            }
            let watched = seconds.iter().filter(|not| !**not).count() as u64;
            prop_assert_eq!(rhythms.watched(at(0), at(500)).as_secs(), watched);
            prop_assert!(rhythms.unwatched.windows(2).all(|of| of[0].1 < of[1].0));
        }
    }
}
