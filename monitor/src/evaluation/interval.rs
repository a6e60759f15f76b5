//! Exact intervals for what was counted: without them three of three looks like always, and no alert
//! in three days like never.

use serde::Serialize;
use statrs::function::beta::beta_reg;
use statrs::function::gamma::gamma_lr;

/// What lies outside of an interval on each side: both are at 95 %.
const OUTSIDE: f64 = 0.025;
/// Halvings: a double has no more digits.
const STEPS: u32 = 200;

/// From, to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn real(count: u64) -> f64 {
    count as f64
}

/// The chance of finding, when `found` of `all` were: Clopper and Pearson (Biometrika 26, 1934), at
/// 95 %. From 0 to 1 where there was nothing to find.
pub fn clopper_pearson(found: u64, all: u64) -> Interval {
    let (k, n) = (real(found.min(all)), real(all));
    let low = if k == 0.0 {
        0.0
    } else {
        // P(X ≥ k) as a function of the chance, by the beta distribution.
        solve(OUTSIDE, 0.0, 1.0, |p| beta_reg(k, n - k + 1.0, p))
    };
    let high = if k == n {
        1.0
    } else {
        solve(1.0 - OUTSIDE, 0.0, 1.0, |p| beta_reg(k + 1.0, n - k, p))
    };
    Interval { low, high }
}

/// How many are to be expected, when `count` came: exact for a Poisson distribution (Garwood, Biometrika
/// 28, 1936), at 95 %.
pub fn poisson(count: u64) -> Interval {
    let k = real(count);
    // Far beyond every upper end.
    let beyond = k + 10.0 * k.sqrt() + 20.0;
    let low = if count == 0 {
        0.0
    } else {
        solve(OUTSIDE, 0.0, beyond, |rate| gamma_lr(k, rate))
    };
    let high = solve(1.0 - OUTSIDE, 0.0, beyond, |rate| gamma_lr(k + 1.0, rate));
    Interval { low, high }
}

/// Where a growing function has a value. The library's own inverses stop at a few digits.
fn solve(value: f64, mut low: f64, mut high: f64, of: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        // At 0 itself the functions are not defined.
        if middle > 0.0 && of(middle) >= value {
            high = middle;
        } else {
            low = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(of: Interval, low: f64, high: f64) {
        let near = |left: f64, right: f64| (left - right).abs() < 5e-5 * right.max(1.0);
        assert!(near(of.low, low) && near(of.high, high), "{of:?}");
    }

    #[test]
    fn shares_are_those_of_the_tables() {
        // R: binom.test(x, n)$conf.int
        close(clopper_pearson(0, 10), 0.0, 0.308_497_1);
        close(clopper_pearson(10, 10), 0.691_502_9, 1.0);
        close(clopper_pearson(5, 10), 0.187_086_0, 0.812_914_0);
        close(clopper_pearson(1, 20), 0.001_265_089, 0.248_732_7);
        close(clopper_pearson(95, 100), 0.887_165_1, 0.983_571_9);
        close(clopper_pearson(0, 0), 0.0, 1.0);
    }

    #[test]
    fn rates_are_those_of_the_tables() {
        // R: poisson.test(x)$conf.int; Garwood's table has two digits.
        close(poisson(0), 0.0, 3.688_879);
        close(poisson(1), 0.025_317_81, 5.571_643);
        close(poisson(3), 0.618_672_1, 8.767_273);
        close(poisson(10), 4.795_389, 18.390_36);
        close(poisson(100), 81.363_5, 121.627);
    }

    proptest! {
        #[test]
        fn what_was_seen_lies_within(found in 0_u64..3_000, more in 0_u64..3_000) {
            let all = found + more;
            let share = clopper_pearson(found, all);
            if all > 0 {
                let seen = real(found) / real(all);
                prop_assert!(share.low <= seen && seen <= share.high);
            }
            prop_assert!(0.0 <= share.low && share.high <= 1.0);
            let rate = poisson(found);
            prop_assert!(rate.low <= real(found) && real(found) <= rate.high);
        }
    }
}
