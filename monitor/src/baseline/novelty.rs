//! How likely something new is, by how often something new came before: the Pitman-Yor process (Pitman and
//! Yor, 1997), whose chance of a new thing after `n` draws of `k` things is (θ + d·k) / (θ + n). An identity
//! that speaks to three hosts for a month is surprised by a fourth; one that crawls is not.

use serde::{Deserialize, Serialize};

use super::contact::Service;
use super::groups::Level;
use super::numbers::is_count;

/// Concentration: what is new at the very beginning.
const THETA: f64 = 1.0;
/// Discount: how much having met many makes another likely.
const DISCOUNT: f64 = 0.5;
/// Most services of one identity. Beyond these a service is forgotten that was used least.
const MOST: usize = 28;

/// The chance that the next of `draws` is none of the `kinds` so far.
pub(super) fn new_chance(draws: f64, kinds: f64) -> f64 {
    ((THETA + DISCOUNT * kinds.min(draws)) / (THETA + draws)).min(1.0)
}

/// One service as an identity uses it. A draw is an hour with contact: many connections in a row are one
/// habit and not many.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Used {
    pub(super) service: Service,
    draws: f32,
    networks: f32,
    destinations: f32,
}

/// The services of an identity.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Services {
    used: Vec<Used>,
    draws: f32,
}

impl Services {
    pub(super) fn has(&self, service: Service) -> bool {
        self.used.iter().any(|of| of.service == service)
    }

    /// The chance that the next contact is new in this way.
    pub(super) fn chance(&self, service: Service, level: Level) -> f64 {
        let used = self.used.iter().find(|of| of.service == service);
        #[expect(clippy::cast_precision_loss, reason = "there are few")]
        match (level, used) {
            (Level::Known, _) => 1.0,
            (Level::Service, _) | (_, None) => {
                new_chance(self.draws.into(), self.used.len() as f64)
            }
            (Level::Network, Some(of)) => new_chance(of.draws.into(), of.networks.into()),
            (Level::Destination, Some(of)) => new_chance(of.draws.into(), of.destinations.into()),
        }
    }

    /// An hour with contact, and what was new in it.
    pub(super) fn learn(&mut self, service: Service, level: Level) {
        self.draws += 1.0;
        let index = match self.used.iter().position(|of| of.service == service) {
            Some(index) => index,
            None => {
                if self.used.len() >= MOST {
                    let least = self.used.iter().enumerate();
                    let least = least.min_by(|left, right| left.1.draws.total_cmp(&right.1.draws));
                    let least = least.map_or(0, |(index, _)| index);
                    self.used.swap_remove(least);
                }
                // One at a time: most identities have a few, and there are many identities.
                self.used.reserve_exact(1);
                self.used.push(Used {
                    service,
                    draws: 0.0,
                    networks: 0.0,
                    destinations: 0.0,
                });
                self.used.len() - 1
            }
        };
        if let Some(of) = self.used.get_mut(index) {
            of.draws += 1.0;
            of.networks += f32::from(u8::from(level >= Level::Network));
            of.destinations += f32::from(u8::from(level >= Level::Destination));
        }
    }

    /// What was long ago counts less: `kept` of all that was before.
    pub(super) fn fade(&mut self, kept: f32) {
        self.draws *= kept;
        for of in &mut self.used {
            of.draws *= kept;
            of.networks *= kept;
            of.destinations *= kept;
        }
    }

    pub(super) fn heap(&self) -> usize {
        self.used.capacity() * size_of::<Used>()
    }

    pub(super) fn is_sound(&self) -> bool {
        let mut used = self.used.iter();
        self.used.len() <= MOST
            && is_count(self.draws)
            && used.all(|of| {
                [of.draws, of.networks, of.destinations]
                    .into_iter()
                    .all(is_count)
            })
    }

    pub(super) fn len(&self) -> usize {
        self.used.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_chance_and_falls_with_what_was_seen(draws in 0.0_f64..1e6, kinds in 0.0_f64..1e6) {
            let chance = new_chance(draws, kinds);
            prop_assert!(chance > 0.0 && chance <= 1.0);
            prop_assert!(new_chance(draws + 1.0, kinds.min(draws)) <= chance + 1e-12);
        }
    }

    #[test]
    fn habits_differ() {
        assert!((new_chance(0.0, 0.0) - 1.0).abs() < 1e-12);
        assert!(new_chance(720.0, 3.0) < 0.004);
        assert!(new_chance(720.0, 600.0) > 0.4);
    }
}
