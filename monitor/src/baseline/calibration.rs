//! Whether p-values mean what they say. A model is never quite right, so what it called "one in a
//! hundred" is held against how often that came: a p-value is told as the share of ordinary ones that were
//! as small, where that is more than it says, as conformal prediction does (Vovk, Gammerman and Shafer,
//! 2005), here in steps of two fifths of a decade. It never makes one smaller.

use serde::{Deserialize, Serialize};

use super::numbers::is_count;

/// Steps: from 1 down to 10^-12.
const STEPS: usize = 30;
/// Steps to a decade.
const TO_A_DECADE: f64 = 2.5;
/// How many p-values as they should be are thought to have been seen before any was.
const PRIOR: f64 = 30.0;
/// So many as small must have been seen to say how often they come.
const LEAST: f64 = 2.0;
/// How many count: older ones fade.
const MOST: f32 = 5_000.0;

/// How often each p-value was seen.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Calibration {
    seen: [f32; STEPS],
    all: f32,
}

fn step(p: f64) -> usize {
    let decades = -libm::log10(p.clamp(1e-300, 1.0));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies between 0 and the number of steps"
    )]
    let step = (decades * TO_A_DECADE)
        .floor()
        .clamp(0.0, (STEPS - 1) as f64) as usize;
    step
}

impl Calibration {
    pub(super) fn is_sound(&self) -> bool {
        is_count(self.all) && self.seen.iter().copied().all(is_count)
    }

    /// Takes in the p-value of something ordinary.
    pub(super) fn learn(&mut self, p: f64) {
        if self.all >= MOST {
            self.all *= 0.5;
            self.seen.iter_mut().for_each(|of| *of *= 0.5);
        }
        if let Some(of) = self.seen.get_mut(step(p)) {
            *of += 1.0;
        }
        self.all += 1.0;
    }

    /// The p-value as it should have been called: the share of ordinary ones that were as small, where
    /// that is more than it says.
    pub(super) fn correct(&self, p: f64) -> f64 {
        let as_small = self.seen.iter().skip(step(p)).map(|of| f64::from(*of));
        let as_small: f64 = as_small.sum();
        // One says nothing of how often the like of it comes.
        if as_small < LEAST {
            return p;
        }
        p.max(as_small / (f64::from(self.all) + PRIOR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evenly spread, as p-values should be.
    fn even(of: u32) -> impl Iterator<Item = f64> {
        (0..of).map(move |at| (f64::from(at) + 0.5) / f64::from(of))
    }

    #[test]
    fn what_is_right_stays() {
        let mut calibration = Calibration::default();
        assert!((calibration.correct(0.01) - 0.01).abs() < 1e-12);
        even(2_000).for_each(|p| calibration.learn(p));
        for p in [0.5, 0.05, 0.001] {
            let corrected = calibration.correct(p);
            assert!(corrected >= p && corrected < 2.5 * p, "{p} {corrected}");
        }
    }

    #[test]
    fn what_is_too_small_too_often_is_stretched() {
        let mut calibration = Calibration::default();
        // A model that calls one in ten "one in a thousand".
        even(2_000).for_each(|p| calibration.learn(if p < 0.1 { 0.001 } else { p }));
        assert!(
            calibration.correct(0.001) > 0.09,
            "{}",
            calibration.correct(0.001)
        );
        assert!(calibration.correct(1e-9) < 1e-5);
    }

    #[test]
    fn after_it_no_p_value_comes_more_often_than_it_says() {
        let mut calibration = Calibration::default();
        let wrong = |p: f64| p * p * p;
        even(4_000).for_each(|p| calibration.learn(wrong(p)));
        let (mut at_most, all) = (0, 4_000);
        for p in even(all) {
            at_most += u32::from(calibration.correct(wrong(p)) <= 0.01);
        }
        // To within a step.
        assert!(f64::from(at_most) <= 0.0178 * f64::from(all), "{at_most}");
        assert!(at_most > 0);
    }
}
