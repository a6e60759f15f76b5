//! A reference that does not move: what an identity sent in a day when it was watched first. Whoever
//! raises a baseline slowly enough to be learned is held against this.

use serde::{Deserialize, Serialize};

use super::numbers::{Belief, Moments, log_bytes};

/// Days that make the reference.
const REFERENCE: f64 = 14.0;
/// Spread that no identity is thought to be without: a factor of two.
const LEAST_VARIANCE: f64 = 0.5;
/// As for hours (`leak`): κ·p^(κ-1) is what a day's bet pays.
const KAPPA: f64 = 0.5;

/// The reference, and the evidence against days being like it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Drift {
    reference: Moments,
    evidence: f32,
    /// Days since the evidence grows, and what was sent in them.
    pub(super) days: u16,
    pub(super) sent: f32,
}

impl Drift {
    /// A day has ended. Returns the chance of what the bets have won, once it is anything to speak of.
    pub(super) fn close(&mut self, sent: f64) -> Option<f64> {
        let value = log_bytes(sent);
        if self.reference.weight() < REFERENCE {
            self.reference.add(value, REFERENCE);
            return None;
        }
        let belief = Belief {
            mean: self.reference.mean(),
            variance: self.reference.variance().max(LEAST_VARIANCE),
            worth: REFERENCE,
        };
        let p = belief.upper_tail(value).max(1e-6);
        let before = f64::from(self.evidence).max(0.0);
        if before <= 0.0 {
            (self.days, self.sent) = (0, 0.0);
        }
        let evidence = before + libm::log(KAPPA) + (KAPPA - 1.0) * libm::log(p);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "for people, and of few digits"
        )]
        {
            self.evidence = evidence as f32;
            self.sent += sent as f32;
        }
        self.days = self.days.saturating_add(1);
        (evidence > 3.0 && evidence > before).then(|| libm::exp(-evidence))
    }

    /// Whether days can have led to it: what comes from outside may be anything.
    pub(super) fn is_sound(&self) -> bool {
        self.reference.is_sound()
            && self.evidence.is_finite()
            && super::numbers::is_count(self.sent)
    }

    /// Bytes that were usual in a day.
    pub(super) fn usual(&self) -> f64 {
        libm::expm1(self.reference.mean())
    }

    /// The reference is another's, once that has one; the evidence is its own.
    pub(super) fn learn_as(&mut self, other: &Self) {
        if other.reference.weight() >= REFERENCE {
            self.reference = other.reference;
        }
    }

    /// It was told: what comes now is the new reference.
    pub(super) fn told(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_too_slowly_for_any_hour_is_told() {
        let mut drift = Drift::default();
        let mut sent = 1e6;
        let day = (0..120).find(|_| {
            sent *= 1.05;
            drift.close(sent).is_some_and(|p| p < 1e-4)
        });
        assert!(day.is_some_and(|day| day > 14), "{day:?}");
    }

    #[test]
    fn what_stays_is_not() {
        let mut drift = Drift::default();
        let worst = (0..365_u32).filter_map(|day| {
            let week = if day % 7 < 2 { 0.4 } else { 1.0 };
            drift.close(1e6 * week * (1.0 + 0.3 * f64::from(day * 37 % 10) / 10.0))
        });
        let worst = worst.fold(1.0, f64::min);
        assert!(worst > 1e-3, "{worst}");
    }
}
