//! Seeded random numbers that are the same on every machine.
//!
//! Each thing that is drawn has a stream of its own, named by words: a role that is added to the
//! parameters changes nothing that others draw. Logarithms and powers come from `libm`, which computes
//! them in Rust; those of the standard library are the platform's.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

/// One stream.
#[derive(Debug, Clone)]
pub struct Random(ChaCha8Rng);

/// Where streams come from: a seed, and the words that were said so far.
#[derive(Debug, Clone)]
pub struct Source(Sha256);

impl Source {
    /// All streams of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Sha256::new().chain_update(seed.to_le_bytes()))
    }

    /// Those of one thing.
    #[must_use]
    pub fn of(&self, word: &str) -> Self {
        let length = (word.len() as u64).to_le_bytes();
        Self(self.0.clone().chain_update(length).chain_update(word))
    }

    /// Those of one of many.
    #[must_use]
    pub fn at(&self, number: u64) -> Self {
        let marked = self.0.clone().chain_update(u64::MAX.to_le_bytes());
        Self(marked.chain_update(number.to_le_bytes()))
    }

    /// The stream itself.
    pub fn stream(&self) -> Random {
        Random(ChaCha8Rng::from_seed(self.0.clone().finalize().into()))
    }

    /// The first number of the stream, where one is enough.
    pub fn number(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest
            .iter()
            .take(8)
            .fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }
}

impl Random {
    /// From 0 to below 1, in steps of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / 9_007_199_254_740_992.0;
        (self.0.next_u64() >> 11) as f64 * STEP
    }

    /// Above 0, so that it has a logarithm.
    fn positive(&mut self) -> f64 {
        1.0 - self.unit()
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, of: f64) -> bool {
        self.unit() < of
    }

    /// Evenly between two numbers.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Evenly in orders of magnitude between two positive numbers.
    pub fn between_magnitudes(&mut self, low: f64, high: f64) -> f64 {
        libm::exp(self.between(libm::log(low), libm::log(high)))
    }

    /// A whole number below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = end.max(1) as u64;
        // The high half of the product (Lemire 2019, without rejection: the bias is below 2⁻⁴⁰).
        let product = u128::from(self.0.next_u64()) * u128::from(end);
        (product >> 64) as usize
    }

    /// One of these.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// Puts these in any order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, of: &mut [T]) {
        for last in (1..of.len()).rev() {
            of.swap(last, self.below(last + 1));
        }
    }

    /// The wait for the next event of a Poisson process, in the unit in which `mean` is.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(self.positive())
    }

    /// The standard normal distribution (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(self.positive())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// A log-normal distribution by its median and the standard deviation of its logarithm.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * libm::exp(sigma * self.normal())
    }

    /// How many trials there are up to and with the first success, for a mean of 1 or more.
    pub fn geometric(&mut self, mean: f64) -> usize {
        if mean <= 1.0 {
            return 1;
        }
        let failure = libm::log(1.0 - 1.0 / mean);
        1 + (libm::log(self.positive()) / failure) as usize
    }

    /// A rank from 1 on, the higher the rarer, without end: the discrete Pareto distribution, where
    /// rank r or more has the probability r^-exponent.
    pub fn rank(&mut self, exponent: f64) -> u64 {
        libm::pow(self.positive(), -1.0 / exponent).min(1e12) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_the_same_everywhere_and_apart_from_each_other() {
        let source = Source::new(7).of("role").of("web");
        let drawn: Vec<u64> = (0..3).map(|day| source.at(day).number()).collect();
        assert_eq!(drawn[0], Source::new(7).of("role").of("web").at(0).number());
        assert_ne!(drawn[0], drawn[1]);
        assert_ne!(drawn[0], Source::new(8).of("role").of("web").at(0).number());
        // Words do not run into each other.
        let one = Source::new(7).of("ab").of("c").number();
        assert_ne!(one, Source::new(7).of("a").of("bc").number());
        // Written down, so that a change of the generator is seen.
        let mut stream = Source::new(1).of("known").stream();
        let drawn: Vec<u64> = (0..4).map(|_| (stream.unit() * 1e6) as u64).collect();
        assert_eq!(drawn, KNOWN);
    }

    const KNOWN: [u64; 4] = [883_092, 320_205, 700_475, 717_023];

    #[test]
    fn distributions_have_the_moments_that_they_should() {
        let mut stream = Source::new(3).stream();
        let n = 40_000;
        let mut mean = |draw: &mut dyn FnMut(&mut Random) -> f64| {
            (0..n).map(|_| draw(&mut stream)).sum::<f64>() / f64::from(n)
        };
        assert!((mean(&mut |of| of.exponential(5.0)) - 5.0).abs() < 0.1);
        assert!(mean(&mut |of| of.normal()).abs() < 0.02);
        assert!((mean(&mut |of| of.normal().powi(2)) - 1.0).abs() < 0.03);
        assert!((mean(&mut |of| of.geometric(3.0) as f64) - 3.0).abs() < 0.05);
        assert!((mean(&mut |of| of.below(11) as f64) - 5.0).abs() < 0.06);
        // Half of all are above the median; a quarter has rank 4 or more at exponent 1.
        let above = mean(&mut |of| f64::from(u8::from(of.log_normal(100.0, 2.0) > 100.0)));
        assert!((above - 0.5).abs() < 0.01, "{above}");
        let rare = mean(&mut |of| f64::from(u8::from(of.rank(1.0) >= 4)));
        assert!((rare - 0.25).abs() < 0.01, "{rare}");
    }
}
