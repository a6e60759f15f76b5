//! How many false alerts a host may raise in a day, and how that is divided among all the questions
//! that are asked of its traffic.
//!
//! Each question ("is this new destination too unlikely?") is a test that is wrong with a chance of
//! alpha at the most when nothing is the matter. The expected number of false alerts of a day is the sum
//! of its alphas whatever depends on what (linearity of expectation), so the sum is kept under the budget:
//! alpha spending (Foster and Stine, 2008; Ramdas et al., 2017). Each kind of test has a share of its own, so that one that is
//! asked often does not take the others' part.

use serde::{Deserialize, Serialize};

/// The kinds of test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// The first contact with a destination.
    First,
    /// What a new destination did after that: bytes, silence, rhythm.
    Conduct,
    /// Connections in an hour.
    Rate,
    /// Bytes in a day to a destination that is known.
    Volume,
    /// The first act in an hour of the week.
    Hour,
    /// More than usual for hours on end.
    Leak,
    /// More than when it was watched first, for days on end.
    Drift,
    /// A program that is new under the identity.
    Program,
    /// A program by which the identity never connected, to where it is known.
    Caller,
}

impl Test {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::First,
        Self::Conduct,
        Self::Rate,
        Self::Volume,
        Self::Hour,
        Self::Leak,
        Self::Drift,
        Self::Program,
        Self::Caller,
    ];

    /// Its part of the budget, and how often it is asked on a host in a day before anything was
    /// counted.
    fn share(self) -> (f64, f64) {
        match self {
            Self::First => (0.25, 10.0),
            Self::Conduct => (0.18, 10.0),
            Self::Rate => (0.10, 30.0),
            Self::Volume => (0.12, 20.0),
            Self::Hour => (0.08, 20.0),
            Self::Leak => (0.05, 200.0),
            Self::Drift => (0.04, 20.0),
            Self::Program => (0.05, 2.0),
            Self::Caller => (0.13, 2.0),
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// How fast the expected number of tests follows the number of a day.
const FOLLOW: f64 = 0.3;
/// So many times the expected number of tests of a day share evenly in so much of the day's share; the rest
/// is for all that come after them.
const EVENLY: (f64, f64) = (1.2, 0.8);
/// What is likelier than this is no anomaly, however large the budget.
const MOST: f64 = 0.2;
/// Alerts that may come at once, in days of budget, and at the least: a brake for the day on which all is
/// new. A test of an identity takes one a day.
const BURST: f64 = 20.0;

/// What is left of the day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Budget {
    /// False alerts a day.
    per_day: f64,
    /// Days of the epoch.
    day: u16,
    streams: [Stream; Test::ALL.len()],
    /// Alerts that may still be shown at once.
    tokens: f64,
    /// Those that were not, today.
    pub(super) held_back: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Stream {
    expected: f64,
    today: f64,
}

impl Budget {
    /// So many false alerts a day.
    pub(super) fn new(per_day: f64) -> Self {
        let streams = Test::ALL.map(|test| Stream {
            expected: test.share().1,
            ..Stream::default()
        });
        Self {
            per_day,
            day: 0,
            streams,
            tokens: capacity(per_day),
            held_back: 0,
        }
    }

    /// Goes by another budget from now on.
    pub(super) fn set(&mut self, per_day: f64) {
        self.per_day = per_day;
        self.tokens = self.tokens.min(capacity(per_day));
    }

    /// Whether tests can have led to it.
    pub(super) fn is_sound(&self) -> bool {
        let is_amount = |of: f64| of.is_finite() && of >= 0.0;
        is_amount(self.per_day)
            && is_amount(self.tokens)
            && self
                .streams
                .iter()
                .all(|of| [of.expected, of.today].into_iter().all(is_amount) && of.expected > 0.0)
    }

    /// What it is worth a day.
    pub(super) fn per_day(&self) -> f64 {
        self.per_day
    }

    /// A day has begun. A day is one of event time, in UTC.
    pub(super) fn day(&mut self, day: u16) {
        if day == self.day {
            return;
        }
        let is_first = self.day == 0;
        self.day = day;
        if is_first {
            return;
        }
        for (stream, test) in self.streams.iter_mut().zip(Test::ALL) {
            let least = test.share().1 * 0.25;
            stream.expected += FOLLOW * (stream.today - stream.expected);
            stream.expected = stream.expected.max(least);
            stream.today = 0.0;
        }
        self.tokens = (self.tokens + self.per_day).min(capacity(self.per_day));
        self.held_back = 0;
    }

    /// What the next test of this kind may be wrong with.
    pub(super) fn spend(&mut self, test: Test) -> f64 {
        let share = test.share().0 * self.per_day;
        let Some(stream) = self.streams.get_mut(test.index()) else {
            return 0.0;
        };
        stream.today += 1.0;
        let (ordinal, even) = (stream.today, (EVENLY.0 * stream.expected).max(1.0));
        let alpha = if ordinal <= even {
            EVENLY.1 * share / even
        } else {
            // The sum of 1/(n·(n+1)) from m on is 1/m. A flood of tests leaves the last of them little, and
            // not nothing.
            (1.0 - EVENLY.1) * share * even / (ordinal * (ordinal + 1.0))
        };
        alpha.min(MOST)
    }

    /// Whether an alert may be shown; else it is counted.
    pub(super) fn take(&mut self) -> bool {
        let is_left = self.tokens >= 1.0;
        if is_left {
            self.tokens -= 1.0;
        } else {
            self.held_back += 1;
        }
        is_left
    }
}

fn capacity(per_day: f64) -> f64 {
    (BURST * per_day).max(BURST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_day_never_spends_more_than_its_budget(
            per_day in 0.01_f64..20.0,
            tests in prop::collection::vec(0..Test::ALL.len(), 0..3_000),
            days in 1_u16..5,
        ) {
            let mut budget = Budget::new(per_day);
            for day in 1..=days {
                budget.day(day);
                let spent: f64 = tests.iter().map(|test| budget.spend(Test::ALL[*test])).sum();
                prop_assert!(spent <= per_day * 1.000_001, "{spent} of {per_day}");
            }
        }

        #[test]
        fn every_test_may_be_wrong_a_little(per_day in 0.01_f64..20.0, tests in 1_u32..100) {
            let mut budget = Budget::new(per_day);
            budget.day(1);
            for _ in 0..tests {
                prop_assert!(budget.spend(Test::First) > 0.0);
            }
        }
    }

    #[test]
    fn shares_are_parts_of_one() {
        let sum: f64 = Test::ALL.iter().map(|test| test.share().0).sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_asked_often_is_asked_more_strictly_the_day_after() {
        let mut budget = Budget::new(1.0);
        budget.day(1);
        let before = budget.spend(Test::Rate);
        (0..10_000).for_each(|_| {
            budget.spend(Test::Rate);
        });
        budget.day(2);
        assert!(budget.spend(Test::Rate) < before / 10.0);
        let other = budget.spend(Test::Volume);
        assert!(
            (other - 0.15 / 20.0).abs() < 0.15 / 20.0,
            "others keep their part: {other}"
        );
    }

    #[test]
    fn alerts_come_in_bursts_of_a_few_and_the_rest_is_counted() {
        let mut budget = Budget::new(1.0);
        budget.day(1);
        let shown = (0..30).filter(|_| budget.take()).count();
        assert_eq!((shown, budget.held_back), (20, 10));
        budget.day(2);
        assert!(budget.take() && !budget.take());
        assert_eq!(budget.held_back, 1);
    }
}
