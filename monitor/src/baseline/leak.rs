//! More than usual, a little and for long: an e-detector (Shin, Ramdas and Rinaldo, 2023). Each hour bets
//! against "this is an ordinary hour"; what the bets have won is evidence, and by Ville's inequality it
//! comes to 1/α in less than one of 1/α ordinary hours.

use serde::{Deserialize, Serialize};

use super::numbers::{Belief, Moments, log_bytes};

/// What is bet: κ·p^(κ-1), the calibrator of p-values (Vovk and Wang, 2021).
const KAPPA: f64 = 0.5;
/// Values that count for an hour of the day.
const DAYS: f64 = 28.0;
/// What the hours of all the day are worth for one, in days.
const OF_ALL: f64 = 1.0;
/// Spread that no identity is thought to be without: a factor of 1.6.
const LEAST_VARIANCE: f64 = 0.25;
/// A value is learned as if it were at most so many standard deviations above the mean: what grows
/// slowly is learned more slowly than it grows.
const LEARNED: f64 = 1.5;
/// Bytes in an hour that are nothing, whatever is usual.
const NOTHING: f64 = 16.0 * 1024.0;
/// For so many hours after it was told of, nothing more is told.
const TOLD_HOURS: u32 = 24;
/// Hours before it is asked at all.
const LEAST_HOURS: f64 = 168.0;

/// Bytes sent by hour of the day.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Leak {
    hours: [Moments; 24],
    all: Moments,
    /// Bytes of the hour that goes on.
    sent: u64,
    /// Logarithm of what the bets have won.
    evidence: f32,
    /// The hour until which nothing is told, as hours of the epoch.
    quiet: u32,
    hour: u32,
    /// Hours since it began to win, and what was sent in them, beside what is usual.
    pub(super) since: u16,
    pub(super) sent_since: f32,
    pub(super) usual_since: f32,
}

impl Leak {
    pub(super) fn add(&mut self, sent: u64) {
        self.sent = self.sent.saturating_add(sent);
    }

    /// An hour has ended. Returns the chance of what the bets have won, once it is anything to speak of.
    pub(super) fn close(&mut self, hour: u32) -> Option<f64> {
        let sent = super::destinations::as_f64(std::mem::take(&mut self.sent));
        self.hour = hour;
        let value = log_bytes(sent / NOTHING);
        let at = hour as usize % 24;
        let seen = self.hours.get(at).copied().unwrap_or_default();
        let belief = Belief {
            mean: self.all.mean(),
            variance: self.all.variance().max(LEAST_VARIANCE),
            worth: OF_ALL,
        };
        let belief = belief.after(&seen);
        let deviation = libm::sqrt(belief.variance.max(LEAST_VARIANCE));
        let is_asked = self.all.weight() >= LEAST_HOURS;
        let most = belief.mean + LEARNED * deviation;
        let learned = if is_asked { value.min(most) } else { value };
        let p = belief.upper_tail(value).max(1e-6);
        if let Some(of) = self.hours.get_mut(at) {
            of.add(learned, DAYS);
        }
        self.all.add(learned, DAYS * 24.0);
        if !is_asked || hour < self.quiet {
            return None;
        }
        let before = f64::from(self.evidence).max(0.0);
        let evidence = before + libm::log(KAPPA) + (KAPPA - 1.0) * libm::log(p);
        if before <= 0.0 {
            (self.since, self.sent_since, self.usual_since) = (0, 0.0, 0.0);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "for people, and evidence of few digits"
        )]
        {
            self.evidence = evidence as f32;
            self.since = self.since.saturating_add(1);
            self.sent_since += sent as f32;
            self.usual_since += (NOTHING * libm::expm1(belief.mean)) as f32;
        }
        // An hour that speaks for being ordinary is no reason to ask.
        (evidence > 3.0 && evidence > before).then(|| libm::exp(-evidence))
    }

    /// Bytes that are usually sent in each hour of the day, in UTC; for people.
    pub(super) fn usual_by_hour(&self) -> [f64; 24] {
        self.hours.map(|of| NOTHING * libm::expm1(of.mean()))
    }

    pub(super) fn is_sound(&self) -> bool {
        let floats = [self.evidence, self.sent_since, self.usual_since];
        self.all.is_sound()
            && self.hours.iter().all(Moments::is_sound)
            && floats.iter().all(|of| of.is_finite())
    }

    /// What is usual is another's; the evidence is its own.
    pub(super) fn learn_as(&mut self, other: &Self) {
        (self.hours, self.all) = (other.hours, other.all);
    }

    /// What was sent in the hour that goes on says nothing of an hour.
    pub(super) fn skip(&mut self) {
        self.sent = 0;
    }

    /// Begins anew: it was told.
    pub(super) fn told(&mut self) {
        self.evidence = 0.0;
        self.quiet = self.hour.saturating_add(TOLD_HOURS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the evidence says at the worst of the hours, of what was sent in each.
    fn worst(leak: &mut Leak, hours: std::ops::Range<u32>, sent: impl Fn(u32) -> u64) -> f64 {
        let asked = hours.filter_map(|hour| {
            leak.add(sent(hour));
            leak.close(hour)
        });
        asked.fold(1.0, f64::min)
    }

    /// Spread by a factor of two about, the same for all.
    fn ordinary(hour: u32) -> u64 {
        let of = u64::from(hour).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let base = if (8..20).contains(&(hour % 24)) {
            900_000
        } else {
            50_000
        };
        base / 2 + of % base
    }

    #[test]
    fn ordinary_weeks_win_nothing() {
        let mut leak = Leak::default();
        let worst = worst(&mut leak, 1..24 * 7 * 10, ordinary);
        assert!(worst > 1e-3, "{worst}");
    }

    #[test]
    fn half_as_much_again_for_days_is_told_and_one_hour_is_not() {
        let mut leak = Leak::default();
        worst(&mut leak, 1..24 * 28, ordinary);
        let mut once = leak.clone();
        let one = worst(&mut once, 672..673, |hour| 3 * ordinary(hour));
        assert!(one > 1e-3, "{one}");
        let mut more = leak.clone();
        let days = worst(&mut more, 672..672 + 48, |hour| 3 * ordinary(hour));
        assert!(days < 1e-4, "{days}");
    }
}
