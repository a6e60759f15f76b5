//! When an identity acts, and how much: gamma-Poisson rates by hour of the week.

use serde::{Deserialize, Serialize};

use super::numbers::{is_count, negative_binomial_tail};

/// Hours of a week.
const WEEK: usize = 168;
/// What a week leaves of the one before: half after six and a half.
const WEEKLY: f32 = 0.9;
/// Weeks that the hours of other days are worth for one, and that the mean of all is worth for these.
const OF_OTHER_DAYS: f64 = 1.0;
const OF_ALL: f64 = 4.0;
/// How much more than a Poisson's a count spreads, before anything was seen: as a geometric one's.
const SPREAD: f64 = 1.0;
/// Hours that this is worth, and the most that count.
const WORTH: f64 = 24.0;
const COUNTED: f64 = 2_000.0;

/// Counts by hour of the week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Calendar {
    /// Acts, old ones fading.
    counts: Vec<f32>,
    /// Weeks in which each hour was watched, and those in which something happened, fading alike.
    watched: Vec<f32>,
    active: Vec<f32>,
    all_counts: f32,
    all_watched: f32,
    /// The hour that goes on, as hours of the epoch; 0 before the first.
    hour: u32,
    pub(super) in_hour: u32,
    /// What is learned of it instead.
    learned: Option<u32>,
    /// Tests that were taken in it.
    pub(super) looked: u8,
    spread: f32,
    spread_worth: f32,
}

impl Default for Calendar {
    fn default() -> Self {
        Self {
            counts: vec![0.0; WEEK],
            watched: vec![0.0; WEEK],
            active: vec![0.0; WEEK],
            all_counts: 0.0,
            all_watched: 0.0,
            hour: 0,
            in_hour: 0,
            learned: None,
            looked: 0,
            spread: 0.0,
            spread_worth: 0.0,
        }
    }
}

fn of_week(hour: u32) -> usize {
    // The epoch began on a Thursday; which day is the first does not matter here.
    hour as usize % WEEK
}

impl Calendar {
    /// Time has come to this hour. Those between were watched, and nothing happened in them. Returns how
    /// many ended.
    pub(super) fn advance(&mut self, hour: u32) -> u32 {
        if self.hour == 0 {
            self.hour = hour;
            return 0;
        }
        if hour <= self.hour {
            return 0;
        }
        let passed = hour - self.hour;
        self.close();
        // Beyond some weeks of silence nothing is left to fade.
        for at in (self.hour + 1..hour).take(8 * WEEK) {
            self.hour = at;
            self.close();
        }
        self.hour = hour;
        passed
    }

    /// Time has come to this hour, and nobody watched since the last.
    pub(super) fn skip(&mut self, hour: u32) {
        (self.hour, self.in_hour, self.looked) = (hour, 0, 0);
        self.learned = None;
    }

    /// What was learned is another's; the hour that goes on is its own.
    pub(super) fn learn_as(&mut self, other: &Self) {
        *self = Self {
            hour: self.hour,
            in_hour: self.in_hour,
            learned: self.learned,
            looked: self.looked,
            ..other.clone()
        };
    }

    /// The hour that goes on, as hours of the epoch; 0 before the first.
    pub(super) fn hour(&self) -> u32 {
        self.hour
    }

    pub(super) fn is_sound(&self) -> bool {
        let tables = [&self.counts, &self.watched, &self.active];
        let sums = [
            self.all_counts,
            self.all_watched,
            self.spread,
            self.spread_worth,
        ];
        tables
            .iter()
            .all(|of| of.len() == WEEK && of.iter().copied().all(is_count))
            && sums.into_iter().all(is_count)
    }

    /// What happens in the hour that goes on is not ordinary: it is learned as if it were.
    pub(super) fn quarantine(&mut self) {
        let usual = libm::ceil(self.mean(self.hour)).clamp(0.0, f64::from(u32::MAX));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies within u32"
        )]
        let usual = usual as u32;
        self.learned = Some(usual);
    }

    fn close(&mut self) {
        let at = of_week(self.hour);
        let count = self.learned.take().unwrap_or(self.in_hour);
        let mean = self.mean(self.hour);
        if self.all_watched > 48.0 && mean > 0.01 {
            let away = f64::from(count) - mean;
            let spread = ((away * away - mean) / (mean * mean)).clamp(0.0, 50.0);
            let worth = (f64::from(self.spread_worth) + 1.0).min(COUNTED);
            let now = f64::from(self.spread) + (spread - f64::from(self.spread)) / worth;
            #[expect(clippy::cast_possible_truncation, reason = "a mean of few digits")]
            {
                (self.spread, self.spread_worth) = (now as f32, worth as f32);
            }
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "of counts, the first digits matter"
        )]
        let count = count as f32;
        for (table, value) in [
            (&mut self.counts, count),
            (&mut self.watched, 1.0),
            (&mut self.active, f32::from(u8::from(count > 0.0))),
        ] {
            if let Some(of) = table.get_mut(at) {
                *of = *of * WEEKLY + value;
            }
        }
        // As fading as their parts: each hour comes once a week.
        let daily = 0.999_373;
        self.all_counts = self.all_counts * daily + count;
        self.all_watched = self.all_watched * daily + 1.0;
        (self.in_hour, self.looked) = (0, 0);
    }

    /// Sums over the same hour of all days.
    fn of_hour(&self, table: &[f32], hour: u32) -> f64 {
        let first = of_week(hour) % 24;
        table
            .iter()
            .skip(first)
            .step_by(24)
            .copied()
            .map(f64::from)
            .sum()
    }

    /// Acts that an hour is expected to have: by this hour of the week, shrunk to the same hour of all
    /// days, and that to the mean.
    pub(super) fn mean(&self, hour: u32) -> f64 {
        let all = f64::from(self.all_counts) / f64::from(self.all_watched).max(1.0);
        let (counts, watched) = (
            self.of_hour(&self.counts, hour),
            self.of_hour(&self.watched, hour),
        );
        let of_days = (counts + OF_ALL * all) / (watched + OF_ALL);
        let at = of_week(hour);
        let own = self.counts.get(at).copied().map_or(0.0, f64::from);
        let weeks = self.watched.get(at).copied().map_or(0.0, f64::from);
        (own + OF_OTHER_DAYS * of_days) / (weeks + OF_OTHER_DAYS)
    }

    /// The chance of as many acts in the hour that goes on.
    pub(super) fn rate_tail(&self) -> f64 {
        let worth = f64::from(self.spread_worth);
        let spread = (SPREAD * WORTH + f64::from(self.spread) * worth) / (WORTH + worth);
        // From a few hours nobody knows how few acts an hour has.
        let least = 20.0 / (f64::from(self.all_watched) + 1.0);
        // A job comes an hour earlier or later where a clock was changed, or where it waits for another.
        let beside = [self.hour.saturating_sub(1), self.hour, self.hour + 1];
        let mean = beside.into_iter().map(|hour| self.mean(hour));
        let mean = mean.fold(least, f64::max);
        negative_binomial_tail(self.in_hour, mean, 1.0 / spread.max(0.02))
    }

    /// The chance that anything happens in the hour that goes on: of this hour and those beside it, on all
    /// days, of this day of the week twice.
    pub(super) fn active_chance(&self) -> f64 {
        let (mut active, mut watched) = (0.5, 1.0);
        for hour in self.hour.saturating_sub(1)..=self.hour + 1 {
            let at = of_week(hour);
            active += self.of_hour(&self.active, hour);
            watched += self.of_hour(&self.watched, hour);
            active += self.active.get(at).copied().map_or(0.0, f64::from);
            watched += self.watched.get(at).copied().map_or(0.0, f64::from);
        }
        active / watched
    }

    pub(super) fn heap(&self) -> usize {
        let tables = [&self.counts, &self.watched, &self.active];
        tables
            .iter()
            .map(|of| of.capacity() * size_of::<f32>())
            .sum()
    }

    /// Hours that were watched, old ones fading.
    pub(super) fn hours(&self) -> f64 {
        f64::from(self.all_watched)
    }

    /// Acts an hour by hour of the week, from Monday's first in UTC; for people.
    pub(super) fn week(&self) -> Vec<f64> {
        // The epoch's first Monday began after four days.
        let rates = (0..WEEK).map(|at| {
            let at = (at + 96) % WEEK;
            let count = self.counts.get(at).copied().map_or(0.0, f64::from);
            let weeks = self.watched.get(at).copied().map_or(0.0, f64::from);
            if weeks > 0.0 { count / weeks } else { 0.0 }
        });
        rates.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weeks of an identity that acts so often in each hour of the day.
    fn after(weeks: u32, acts: impl Fn(u32) -> u32) -> Calendar {
        let mut calendar = Calendar::default();
        for hour in 1..=weeks * 168 {
            calendar.advance(hour);
            calendar.in_hour = acts(hour);
        }
        calendar.advance(weeks * 168 + 1);
        calendar
    }

    #[test]
    fn more_than_ever_is_unlikely_and_the_usual_is_not() {
        let mut calendar = after(4, |_| 20);
        calendar.in_hour = 20;
        assert!(calendar.rate_tail() > 0.3, "{}", calendar.rate_tail());
        calendar.in_hour = 60;
        assert!(calendar.rate_tail() < 1e-3, "{}", calendar.rate_tail());
        let mut bursty = after(4, |hour| if hour % 5 == 0 { 100 } else { 0 });
        bursty.in_hour = 100;
        assert!(bursty.rate_tail() > 0.05, "{}", bursty.rate_tail());
    }

    #[test]
    fn an_hour_in_which_nothing_ever_happens_is_told_from_working_hours() {
        let by_day = |hour: u32| u32::from((9..18).contains(&(hour % 24))) * 5;
        let mut calendar = after(4, by_day);
        let midnight = 4 * 168 + 24;
        calendar.advance(midnight + 3);
        assert!(
            calendar.active_chance() < 0.01,
            "{}",
            calendar.active_chance()
        );
        calendar.advance(midnight + 12);
        assert!(calendar.active_chance() > 0.9);
    }

    #[test]
    fn time_that_nobody_watched_is_not_silence() {
        let mut calendar = after(1, |_| 10);
        let before = calendar.clone();
        calendar.skip(5_000);
        assert!((calendar.mean(5_000) - before.mean(5_000)).abs() < 1e-9);
        calendar.advance(5_001);
        assert!(calendar.hours() > before.hours());
    }

    #[test]
    fn the_first_hour_is_no_surprise() {
        let mut calendar = Calendar::default();
        calendar.advance(1_000);
        calendar.in_hour = 30;
        assert!(calendar.rate_tail() > 0.01, "{}", calendar.rate_tail());
    }
}
