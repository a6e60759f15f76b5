//! The few functions of statistics that scores are made of. Logarithms come from `libm`, so that a
//! replay gives the same on every machine.

use serde::{Deserialize, Serialize};
use statrs::function::beta::beta_reg;
use statrs::function::gamma::gamma_lr;

/// No p-value is told as smaller: behind it the models mean nothing.
pub(super) const LEAST_P: f64 = 1e-12;

/// Keeps a p-value within what is told.
pub(super) fn p_value(p: f64) -> f64 {
    if p.is_nan() {
        1.0
    } else {
        p.clamp(LEAST_P, 1.0)
    }
}

/// Whether a number can be a sum of counts.
pub(super) fn is_count(of: f32) -> bool {
    (0.0..=1e12).contains(&of)
}

/// ln(1 + bytes): sizes spread over many orders of magnitude.
pub(super) fn log_bytes(bytes: f64) -> f64 {
    libm::log1p(bytes.max(0.0))
}

/// Count, mean and squared deviations of logarithms, with old ones fading: Welford's recurrence with
/// weights (West, 1979).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Moments {
    weight: f32,
    mean: f32,
    squares: f32,
}

impl Moments {
    /// Takes in one value. Weights sum to `most` at the most, so that the last `most` values count.
    pub(super) fn add(&mut self, value: f64, most: f64) {
        let weight = f64::from(self.weight);
        let kept = if weight + 1.0 > most {
            (most - 1.0) / weight
        } else {
            1.0
        };
        let (weight, squares) = (weight * kept, f64::from(self.squares) * kept);
        let total = weight + 1.0;
        let delta = value - f64::from(self.mean);
        let mean = f64::from(self.mean) + delta / total;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "half the memory, and exact enough"
        )]
        {
            self.weight = total as f32;
            self.mean = mean as f32;
            self.squares = (squares + delta * (value - mean)).max(0.0) as f32;
        }
    }

    /// Whether values can have led to it: what comes from outside may be anything.
    pub(super) fn is_sound(&self) -> bool {
        self.weight <= 1e6
            && is_count(self.weight)
            && is_count(self.squares)
            && self.mean.is_finite()
    }

    /// How many values count.
    pub(super) fn weight(&self) -> f64 {
        f64::from(self.weight)
    }

    /// Their mean; 0 without any.
    pub(super) fn mean(&self) -> f64 {
        f64::from(self.mean)
    }

    /// Their variance around the mean; 0 for fewer than two.
    pub(super) fn variance(&self) -> f64 {
        if self.weight > 1.0 {
            f64::from(self.squares) / (self.weight() - 1.0)
        } else {
            0.0
        }
    }
}

/// A belief about a normal distribution: what it is thought to be before anything was seen, and how
/// many values that is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Belief {
    pub(super) mean: f64,
    pub(super) variance: f64,
    pub(super) worth: f64,
}

impl Belief {
    /// With what was seen: the normal-inverse-gamma posterior (Gelman et al., Bayesian Data Analysis,
    /// 3rd ed., 3.3).
    pub(super) fn after(self, seen: &Moments) -> Self {
        let (n, worth) = (seen.weight(), self.worth + seen.weight());
        let away = seen.mean() - self.mean;
        let squares = self.worth * self.variance
            + (n - 1.0).max(0.0) * seen.variance()
            + self.worth * n / worth * away * away;
        Self {
            mean: (self.worth * self.mean + n * seen.mean()) / worth,
            variance: squares / worth,
            worth,
        }
    }

    /// The chance of a value at least as great: the tail of Student's t with as many degrees of
    /// freedom as the belief is worth.
    pub(super) fn upper_tail(&self, value: f64) -> f64 {
        let scale = libm::sqrt(self.variance * (1.0 + 1.0 / self.worth));
        let t = (value - self.mean) / scale.max(1e-6);
        student_tail(t, self.worth.max(1.0))
    }
}

/// P(T ≥ t) of Student's t (Abramowitz and Stegun, 26.7.1).
fn student_tail(t: f64, freedom: f64) -> f64 {
    let half = 0.5 * beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t));
    if t > 0.0 { half } else { 1.0 - half }
}

/// P(X ≥ count) of a negative binomial with this mean and size: a Poisson whose rate is gamma
/// distributed (Abramowitz and Stegun, 26.5.26).
pub(super) fn negative_binomial_tail(count: u32, mean: f64, size: f64) -> f64 {
    if count == 0 {
        return 1.0;
    }
    let q = mean / (mean + size);
    beta_reg(f64::from(count), size, q.clamp(1e-12, 1.0 - 1e-12))
}

/// Variance of the logarithm of an exponential variable: π²/6.
const LOG_EXPONENTIAL_VARIANCE: f64 = std::f64::consts::PI * std::f64::consts::PI / 6.0;
/// Its kurtosis less one: what the variance of a sample's variance is made of.
const LOG_EXPONENTIAL_SPREAD: f64 = 4.4;

/// The chance that gaps without any rhythm (a Poisson process) would be as regular as these: the
/// variance of their logarithms, whose distribution is taken as a gamma with the same two moments.
pub(super) fn regularity(gaps: &Moments) -> f64 {
    let shape = gaps.weight() / LOG_EXPONENTIAL_SPREAD;
    if shape <= 0.5 {
        return 1.0;
    }
    let scale = LOG_EXPONENTIAL_VARIANCE / shape;
    gamma_lr(shape, (gaps.variance() / scale).max(1e-12))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) {
        assert!(
            (left - right).abs() < 1e-4 * right.abs().max(1e-3),
            "{left} {right}"
        );
    }

    #[test]
    fn tails_are_those_of_the_tables() {
        // R: 1-pt(2,5), 1-pt(-1,3), pnbinom(9, size=3, mu=4, lower.tail=FALSE)
        close(student_tail(2.0, 5.0), 0.050_969_74);
        close(student_tail(-1.0, 3.0), 0.804_498_9);
        close(negative_binomial_tail(0, 4.0, 3.0), 1.0);
        close(
            negative_binomial_tail(1, 4.0, 3.0),
            1.0 - (3.0_f64 / 7.0).powi(3),
        );
    }

    #[test]
    fn moments_are_those_of_the_values_and_old_ones_fade() {
        let mut moments = Moments::default();
        for value in [1.0, 2.0, 3.0, 4.0] {
            moments.add(value, 100.0);
        }
        close(moments.mean(), 2.5);
        close(moments.variance(), 5.0 / 3.0);
        for _ in 0..1_000 {
            moments.add(10.0, 20.0);
        }
        close(moments.mean(), 10.0);
        close(moments.weight(), 20.0);
    }

    #[test]
    fn a_belief_gives_way_to_what_is_seen() {
        let belief = Belief {
            mean: 0.0,
            variance: 1.0,
            worth: 2.0,
        };
        let mut seen = Moments::default();
        assert_eq!(belief.after(&seen), belief);
        for at in 0..1_000 {
            seen.add(f64::from(at % 2) + 10.0, 1_000.0);
        }
        let after = belief.after(&seen);
        assert!((after.mean - 10.5).abs() < 0.05, "{after:?}");
        assert!(after.upper_tail(10.5) > 0.4 && after.upper_tail(20.0) < 1e-6);
    }

    #[test]
    fn a_rhythm_is_told_from_chance() {
        let of = |gaps: &[f64]| {
            let mut moments = Moments::default();
            gaps.iter()
                .for_each(|gap| moments.add(libm::log(*gap), 64.0));
            regularity(&moments)
        };
        assert!(of(&[60.0, 61.0, 59.5, 60.2, 60.0, 58.9, 61.3, 60.1, 59.8, 60.4]) < 1e-4);
        assert!(of(&[3.0, 200.0, 41.0, 9.0, 88.0, 0.4, 130.0, 17.0, 61.0, 5.0]) > 0.1);
        assert!(
            (of(&[60.0]) - 1.0).abs() < f64::EPSILON,
            "one gap is no rhythm"
        );
    }
}
