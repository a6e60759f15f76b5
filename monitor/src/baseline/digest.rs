//! What stayed under the budget: the least likely of what was asked about and not told, of today and the
//! day before, for who wants to look further than the alerts.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::anomaly::Anomaly;
use super::budget::Test;
use super::destinations::day_of;
use crate::model::time::rfc3339;
use crate::model::{DetectionId, Selector, Timestamp};

/// Days that are kept, and things of each.
const DAYS: usize = 2;
const MOST: usize = 64;
/// What is likelier than this is ordinary.
const UNUSUAL: f64 = 0.05;
/// Longest path of a program that is kept, in bytes.
const PATH: usize = 256;

/// Something that was asked about and not told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Untold {
    /// When it was least likely, in seconds of the epoch.
    at: u32,
    /// Who.
    pub identity: Selector,
    /// The program by which it acted, where it is known.
    pub program: Option<String>,
    /// What.
    pub anomaly: Anomaly,
    /// It would have been told, and more came at once than the budget lets be told.
    pub held_back: bool,
    /// How often it was asked about.
    pub times: u32,
}

impl Untold {
    /// When it was least likely.
    pub fn time(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.at.into())
    }

    /// Whether a person would call it the same.
    fn is_as(&self, identity: &Selector, program: Option<&str>, anomaly: &Anomaly) -> bool {
        let test = anomaly.test;
        self.anomaly.test == test
            && self.anomaly.destination == anomaly.destination
            && self.identity == *identity
            && (test != Test::Program || self.program.as_deref() == program)
    }
}

/// A day of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Day {
    /// Of the epoch.
    day: u16,
    asked: u64,
    told: u64,
    held_back: u64,
    /// Unusual things that found no room among those that are less likely.
    left_out: u64,
    untold: Vec<Untold>,
}

/// What stayed under the budget.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Digest {
    days: VecDeque<Day>,
}

/// The same for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DigestView {
    /// Since when; what is kept begins with a day in UTC.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// False alerts a day that the configuration allows.
    pub budget: f64,
    /// Questions that were asked of all identities on the days that are shown.
    pub asked: u64,
    /// Those that became alerts.
    pub told: u64,
    /// Those that would have, if not more had come at once than five days' budget.
    pub held_back: u64,
    /// Unusual things that are not shown, because others were less likely.
    pub left_out: u64,
    /// The least likely first.
    pub untold: Vec<UntoldView>,
}

/// Something that was asked about and not told, for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UntoldView {
    /// When it was least likely.
    #[serde(with = "rfc3339")]
    pub time: Timestamp,
    /// The detection that it would have been.
    pub id: DetectionId,
    /// Who.
    pub identity: Selector,
    /// The chance of it on an ordinary day.
    pub p: f64,
    /// The chance under which it would have been told.
    pub alpha: f64,
    /// It was under that, and more came at once than the budget lets be told.
    pub held_back: bool,
    /// How often it was asked about.
    pub times: u32,
    /// What, in one sentence.
    pub summary: String,
}

impl Digest {
    /// Time has come to this second: what is older than the day before is forgotten.
    pub(super) fn come_to(&mut self, at: u32) {
        let day = day_of(at);
        let latest = self.days.back().map(|of| of.day);
        if latest.is_none_or(|latest| latest < day) {
            self.days.push_back(Day {
                day,
                ..Day::default()
            });
            while self.days.len() > DAYS || self.days.front().is_some_and(|of| day - of.day > 1) {
                self.days.pop_front();
            }
        }
    }

    /// The clock was set back to this second: what is ahead of it would keep all else away.
    pub(super) fn set_back(&mut self, to: u32) {
        self.days.retain(|of| of.day <= day_of(to));
    }

    /// The day of this moment, where it is none that is over.
    fn day(&mut self, at: u32) -> Option<&mut Day> {
        self.come_to(at);
        let day = day_of(at);
        self.days.iter_mut().find(|of| of.day == day)
    }

    /// A question was asked, and became an alert or not.
    pub(super) fn asked(&mut self, at: u32, is_told: bool) {
        if let Some(day) = self.day(at) {
            day.asked += 1;
            day.told += u64::from(is_told);
        }
    }

    /// Whether it is worth to be kept: else nobody makes it.
    pub(super) fn wants(p: f64) -> bool {
        p < UNUSUAL
    }

    /// Something was not told.
    pub(super) fn keep(
        &mut self,
        at: u32,
        identity: &Selector,
        program: Option<&str>,
        anomaly: Anomaly,
        held_back: bool,
    ) {
        let Some(day) = self.day(at) else {
            return;
        };
        day.held_back += u64::from(held_back);
        let mut kept = day.untold.iter_mut();
        if let Some(same) = kept.find(|of| of.is_as(identity, program, &anomaly)) {
            same.times = same.times.saturating_add(1);
            same.held_back |= held_back;
            if anomaly.p < same.anomaly.p {
                (same.at, same.anomaly) = (at, anomaly);
            }
            return;
        }
        let untold = Untold {
            at,
            identity: identity.clone(),
            program: program.filter(|of| of.len() <= PATH).map(str::to_owned),
            anomaly,
            held_back,
            times: 1,
        };
        if day.untold.len() < MOST {
            day.untold.push(untold);
            return;
        }
        day.left_out += 1;
        let kept = day.untold.iter_mut();
        let likeliest = kept.max_by(|a, b| a.anomaly.p.total_cmp(&b.anomaly.p));
        if let Some(likeliest) = likeliest.filter(|of| untold.anomaly.p < of.anomaly.p) {
            *likeliest = untold;
        }
    }

    /// What was not told since a moment, the least likely first; without sentences, and beside it what each
    /// is made of.
    pub(super) fn since(&self, since: Timestamp, budget: f64) -> (DigestView, Vec<&Untold>) {
        let first = u32::try_from(since.unix_seconds().max(0)).unwrap_or(u32::MAX);
        let days = self.days.iter().filter(|of| of.day >= day_of(first));
        let mut view = DigestView {
            since,
            budget,
            asked: 0,
            told: 0,
            held_back: 0,
            left_out: 0,
            untold: Vec::new(),
        };
        let mut untold = Vec::new();
        for day in days {
            view.asked += day.asked;
            view.told += day.told;
            view.held_back += day.held_back;
            view.left_out += day.left_out;
            untold.extend(day.untold.iter().filter(|of| of.at >= first));
        }
        untold.sort_by(|a, b| {
            let by_chance = a.anomaly.p.total_cmp(&b.anomaly.p);
            by_chance
                .then(a.at.cmp(&b.at))
                .then_with(|| a.identity.cmp(&b.identity))
        });
        (view, untold)
    }

    /// Whether questions can have led to it.
    pub(super) fn is_sound(&self) -> bool {
        let is_chance = |of: f64| of.is_finite() && (0.0..=1.0).contains(&of);
        self.days.len() <= DAYS
            && self.days.iter().is_sorted_by(|a, b| a.day < b.day)
            && self.days.iter().all(|day| {
                day.untold.len() <= MOST
                    && day.untold.iter().all(|of| {
                        is_chance(of.anomaly.p)
                            && is_chance(of.anomaly.alpha)
                            && of.anomaly.maturity.hours.is_finite()
                            && of.program.as_ref().is_none_or(|of| of.len() <= PATH)
                    })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::super::anomaly::{Maturity, Reason};
    use super::*;

    const DAY: u32 = 86_400;
    const BEGIN: u32 = 20_000 * DAY;

    fn anomaly(p: f64) -> Anomaly {
        Anomaly {
            test: Test::Rate,
            destination: None,
            reasons: vec![(
                Reason::Rate {
                    count: 40,
                    usual: 3.0,
                },
                p,
            )],
            p,
            alpha: 1e-4,
            maturity: Maturity { hours: 500.0 },
        }
    }

    fn unit(of: usize) -> Selector {
        Selector::systemd_unit(&format!("unit-{of}.service"))
    }

    fn chances(digest: &Digest, since: u32) -> Vec<f64> {
        let (_, untold) = digest.since(Timestamp::from_unix_seconds(since.into()), 1.0);
        untold.iter().map(|of| of.anomaly.p).collect()
    }

    #[test]
    fn the_least_likely_of_two_days_are_kept_and_the_rest_is_counted() {
        let mut digest = Digest::default();
        for of in 0..1_000 {
            let p = f64::from(1_000 - of) / 30_000.0;
            let at = BEGIN + of;
            digest.asked(at, false);
            digest.keep(at, &unit(of as usize), None, anomaly(p), of % 100 == 0);
        }
        let kept = chances(&digest, BEGIN);
        assert_eq!(kept.len(), MOST);
        assert!(kept.is_sorted() && kept[0] < 1.1 / 30_000.0 && kept[63] < 65.0 / 30_000.0);
        let (view, _) = digest.since(Timestamp::from_unix_seconds(BEGIN.into()), 1.0);
        assert_eq!((view.asked, view.held_back), (1_000, 10));
        assert_eq!(view.left_out, 1_000 - MOST as u64);
        for day in 1..5 {
            digest.keep(BEGIN + day * DAY, &unit(0), None, anomaly(0.01), false);
        }
        assert_eq!(digest.days.len(), DAYS);
        assert_eq!(chances(&digest, 0), [0.01, 0.01]);
        assert_eq!(chances(&digest, BEGIN + 4 * DAY), [0.01]);
        assert!(digest.is_sound());
    }

    #[test]
    fn the_same_is_one_line_with_its_least_chance() {
        let mut digest = Digest::default();
        for (at, p) in [(0, 0.02), (60, 0.001), (120, 0.04)] {
            digest.keep(BEGIN + at, &unit(1), Some("/usr/bin/x"), anomaly(p), false);
        }
        digest.keep(BEGIN, &unit(2), None, anomaly(0.03), false);
        let (_, untold) = digest.since(Timestamp(0), 1.0);
        let first = untold[0];
        assert_eq!((untold.len(), first.times, first.at), (2, 3, BEGIN + 60));
    }

    #[test]
    fn a_clock_that_is_set_back_adds_to_no_day_that_is_over() {
        let mut digest = Digest::default();
        digest.keep(BEGIN + 5 * DAY, &unit(1), None, anomaly(0.01), false);
        digest.keep(BEGIN, &unit(1), None, anomaly(0.01), false);
        assert_eq!(chances(&digest, 0), [0.01]);
        digest.set_back(BEGIN + DAY);
        assert!(chances(&digest, 0).is_empty());
        digest.keep(BEGIN + DAY, &unit(1), None, anomaly(0.03), false);
        assert_eq!(chances(&digest, 0), [0.03]);
        digest.keep(BEGIN + 9 * DAY, &unit(1), None, anomaly(0.02), false);
        assert_eq!(
            chances(&digest, 0),
            [0.02],
            "a day long ago is no day before"
        );
    }
}
