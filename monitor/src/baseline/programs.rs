//! The programs that run under an identity.

use serde::{Deserialize, Serialize};

use super::novelty::new_chance;
use super::numbers::is_count;

/// Most that are kept; beyond, the one is forgotten that ran least.
const MOST: usize = 24;
/// Most programs of a day that are remembered as asked about: one that begins again and again is one
/// question, whatever came of it, and takes one part of the budget.
const ASKED: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Ran {
    program: u64,
    /// Hours in which it began, fading.
    hours: f32,
    /// The last of them, as hours of the epoch.
    last: u32,
}

/// By hash of their paths.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Programs {
    ran: Vec<Ran>,
    draws: f32,
    kinds: f32,
    asked: Vec<u64>,
}

impl Programs {
    /// A program began. Returns the chance of a new one where it is new, once a day.
    pub(super) fn began(&mut self, program: u64, hour: u32) -> Option<f64> {
        if let Some(of) = self.ran.iter_mut().find(|of| of.program == program) {
            if of.last != hour {
                of.last = hour;
                of.hours += 1.0;
                self.draws += 1.0;
            }
            return None;
        }
        if self.asked.contains(&program) {
            return None;
        }
        if self.asked.len() >= ASKED {
            self.asked.remove(0);
        }
        self.asked.push(program);
        Some(new_chance(self.draws.into(), self.kinds.into()))
    }

    /// It is ordinary from now on.
    pub(super) fn learn(&mut self, program: u64, hour: u32) {
        if self.ran.len() >= MOST {
            let least = self.ran.iter().enumerate();
            let least = least.min_by(|left, right| left.1.hours.total_cmp(&right.1.hours));
            let least = least.map_or(0, |(index, _)| index);
            self.ran.swap_remove(least);
        }
        self.ran.push(Ran {
            program,
            hours: 1.0,
            last: hour,
        });
        self.draws += 1.0;
        self.kinds += 1.0;
    }

    /// A day is over.
    pub(super) fn fade(&mut self, kept: f32) {
        self.asked.clear();
        self.draws *= kept;
        self.kinds *= kept;
        self.ran.iter_mut().for_each(|of| of.hours *= kept);
    }

    pub(super) fn heap(&self) -> usize {
        self.ran.capacity() * size_of::<Ran>() + self.asked.capacity() * size_of::<u64>()
    }

    /// Hashes of their paths.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.ran.iter().map(|of| of.program)
    }

    pub(super) fn is_sound(&self) -> bool {
        self.ran.len() <= MOST
            && self.asked.len() <= ASKED
            && is_count(self.draws)
            && is_count(self.kinds)
            && self.ran.iter().all(|of| is_count(of.hours))
    }

    pub(super) fn len(&self) -> usize {
        self.ran.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_begins_again_and_again_is_one_question_a_day() {
        let mut programs = Programs::default();
        assert!(programs.began(1, 10).is_some());
        assert!((0..100).all(|_| programs.began(1, 10).is_none()));
        (2..1_000).for_each(|program| {
            programs.began(program, 10);
        });
        assert_eq!(programs.asked.len(), ASKED);
        programs.fade(0.9);
        assert!(programs.began(1, 34).is_some(), "the next day");
        programs.learn(1, 34);
        programs.fade(0.9);
        assert!(programs.began(1, 58).is_none(), "it is ordinary");
    }
}
