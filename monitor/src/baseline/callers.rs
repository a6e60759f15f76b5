//! The programs by which an identity connects. Most have one or two for years: who uses an identity's
//! credentials by another program is told by that, also where it goes is known.

use serde::{Deserialize, Serialize};

use super::novelty::new_chance;
use super::numbers::is_count;

/// Most that are kept; beyond, the one is forgotten that connected longest ago.
const MOST: usize = 12;
/// For so many hours one that was told of is not told of again.
const TOLD_HOURS: u32 = 7 * 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Caller {
    /// Half of the hash of its path.
    program: u32,
    /// The last hour with a contact, as hours of the epoch.
    last: u32,
    is_told: bool,
}

/// Them, and the hours in which each connected, fading.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Callers {
    of: Vec<Caller>,
    draws: f32,
    kinds: f32,
}

fn half(program: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "half is enough for a few")]
    let half = program as u32;
    half
}

impl Callers {
    /// A program connects. Returns the chance of a new one where it is new.
    pub(super) fn called(&mut self, program: u64, hour: u32) -> Option<f64> {
        let program = half(program);
        self.of
            .retain(|of| !of.is_told || hour.saturating_sub(of.last) < TOLD_HOURS);
        if let Some(of) = self.of.iter_mut().find(|of| of.program == program) {
            if of.last != hour && !of.is_told {
                of.last = hour;
                self.draws += 1.0;
            }
            return None;
        }
        let chance = new_chance(self.draws.into(), self.kinds.into());
        if self.of.len() >= MOST {
            let oldest = self.of.iter().enumerate().min_by_key(|(_, of)| of.last);
            let oldest = oldest.map_or(0, |(index, _)| index);
            self.of.swap_remove(oldest);
        } else {
            // One at a time: most identities have one.
            self.of.reserve_exact(1);
        }
        self.of.push(Caller {
            program,
            last: hour,
            is_told: false,
        });
        Some(chance)
    }

    /// It is ordinary from now on.
    pub(super) fn learn(&mut self) {
        self.draws += 1.0;
        self.kinds += 1.0;
    }

    /// It was told of.
    pub(super) fn told(&mut self, program: u64) {
        let program = half(program);
        if let Some(of) = self.of.iter_mut().find(|of| of.program == program) {
            of.is_told = true;
        }
    }

    /// What was long ago counts less: `kept` of all that was before.
    pub(super) fn fade(&mut self, kept: f32) {
        self.draws *= kept;
        self.kinds *= kept;
    }

    /// Goes on from `now`, in which more was called since, without having learned it: what is new is as
    /// if it was told.
    pub(super) fn go_on(&mut self, now: &Self) {
        for other in &now.of {
            if let Some(of) = self.of.iter_mut().find(|of| of.program == other.program) {
                of.last = other.last;
            } else if self.of.len() < MOST {
                self.of.push(Caller {
                    is_told: true,
                    ..*other
                });
            }
        }
    }

    /// All of them are ordinary, by an operator's word. Returns how many were told.
    pub(super) fn approve(&mut self) -> u64 {
        let mut approved = 0;
        for of in self.of.iter_mut().filter(|of| of.is_told) {
            of.is_told = false;
            approved += 1;
            self.draws += 1.0;
            self.kinds += 1.0;
        }
        approved
    }

    pub(super) fn heap(&self) -> usize {
        self.of.capacity() * size_of::<Caller>()
    }

    pub(super) fn is_sound(&self) -> bool {
        self.of.len() <= MOST && is_count(self.draws) && is_count(self.kinds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_is_a_surprise_where_there_was_one_for_weeks() {
        let mut callers = Callers::default();
        assert_eq!(callers.called(1, 1), Some(1.0));
        callers.learn();
        assert!((2..400).all(|hour| callers.called(1, hour).is_none()));
        let chance = callers.called(2, 400);
        assert!(chance.is_some_and(|p| p < 0.01), "{chance:?}");
        callers.told(2);
        assert_eq!(callers.called(2, 401), None, "once");
        let again = callers.called(2, 401 + TOLD_HOURS);
        assert!(
            again.is_some_and(|p| p < 0.01),
            "it was not learned: {again:?}"
        );
    }

    #[test]
    fn a_job_of_many_programs_is_surprised_by_none() {
        let mut callers = Callers::default();
        for program in 0..1_000 {
            let chance = callers.called(program, u32::try_from(program).unwrap_or(0));
            assert!(chance.is_some_and(|p| p >= 0.5), "{program} {chance:?}");
            callers.learn();
        }
        assert!(callers.is_sound() && callers.of.len() == MOST);
    }
}
