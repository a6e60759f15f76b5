//! What others of the same kind do: those that run the same program, and all of the host. A destination
//! that peers use is no surprise.

use hashlink::{LinkedHashMap, LruCache};
use serde::{Deserialize, Serialize};

use super::novelty::new_chance;

/// Most groups by program.
const GROUPS: usize = 1_024;
/// Most things that one group remembers, and the host.
const THINGS: usize = 512;
const THINGS_OF_HOST: usize = 8_192;
/// One more identity makes a thing known to a group only in the part of it that one attacker cannot be.
const PEERS: u32 = 2;
/// So many members make a group: what one alone does is known from itself.
const OTHERS: u32 = 3;

/// How new a thing is, by what is new of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing.
    Known,
    /// The address, in a network that is known.
    Destination,
    /// The network, at a service that is known.
    Network,
    /// The service.
    Service,
}

/// Which things a group's members have used, and how many of them each.
#[derive(Debug)]
struct Group {
    members: u32,
    things: LruCache<u64, u32>,
    /// By level: pairs of an identity and a thing, and things.
    pairs: [f64; 3],
    kinds: [f64; 3],
}

fn index(level: Level) -> Option<usize> {
    match level {
        Level::Known => None,
        Level::Destination => Some(0),
        Level::Network => Some(1),
        Level::Service => Some(2),
    }
}

impl Group {
    fn new(things: usize) -> Self {
        Self {
            members: 0,
            things: LruCache::new(things),
            pairs: [0.0; 3],
            kinds: [0.0; 3],
        }
    }

    /// How many members have used it.
    fn users(&mut self, thing: u64) -> u32 {
        self.things.get(&thing).copied().unwrap_or(0)
    }

    /// The chance that the next thing of a member that is new to the member is new to all.
    fn chance(&self, level: Level) -> f64 {
        let Some(index) = index(level).filter(|_| self.members >= OTHERS) else {
            return 1.0;
        };
        match (self.pairs.get(index), self.kinds.get(index)) {
            (Some(pairs), Some(kinds)) => new_chance(*pairs, *kinds),
            _ => 1.0,
        }
    }

    fn learn(&mut self, level: Level, thing: u64) {
        let Some(index) = index(level) else {
            return;
        };
        let users = self.things.remove(&thing).unwrap_or(0);
        self.things.insert(thing, users.saturating_add(1));
        if let Some(pairs) = self.pairs.get_mut(index) {
            *pairs += 1.0;
        }
        if users == 0
            && let Some(kinds) = self.kinds.get_mut(index)
        {
            *kinds += 1.0;
        }
    }
}

/// How a group takes a new thing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Told {
    /// The factor that it makes of the chance.
    pub(super) chance: f64,
    /// Members that have used it.
    pub(super) users: u32,
}

/// All groups.
#[derive(Debug)]
pub(super) struct Groups {
    by_program: LinkedHashMap<u64, Group>,
    host: Group,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            by_program: LinkedHashMap::new(),
            host: Group::new(THINGS_OF_HOST),
        }
    }
}

impl Groups {
    /// How a thing that is new to an identity looks to those that run the same program, and to the host.
    pub(super) fn tell(&mut self, program: u64, level: Level, thing: u64) -> Told {
        let mut chance = 1.0;
        if let Some(group) = self.by_program.get_mut(&program) {
            let users = group.users(thing);
            if users > 0 {
                return Told { chance: 1.0, users };
            }
            chance *= group.chance(level);
        }
        let users = self.host.users(thing);
        if users >= PEERS {
            return Told { chance, users };
        }
        chance *= self.host.chance(level);
        Told { chance, users }
    }

    /// An identity has come to those that run a program.
    pub(super) fn join(&mut self, program: u64) {
        self.host.members = self.host.members.saturating_add(1);
        let group = self.group(program);
        group.members = group.members.saturating_add(1);
    }

    /// An identity has used a thing for the first time.
    pub(super) fn learn(&mut self, program: u64, level: Level, thing: u64) {
        self.group(program).learn(level, thing);
        self.host.learn(level, thing);
    }

    fn group(&mut self, program: u64) -> &mut Group {
        if !self.by_program.contains_key(&program) && self.by_program.len() >= GROUPS {
            self.by_program.pop_front();
        }
        let of = self.by_program.entry(program);
        of.or_insert_with(|| Group::new(THINGS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_peers_use_is_no_surprise() {
        let mut groups = Groups::default();
        (1..=3).for_each(|program| groups.join(program));
        assert_eq!(groups.tell(1, Level::Destination, 7).users, 0);
        groups.learn(1, Level::Destination, 7);
        assert_eq!(
            groups.tell(1, Level::Destination, 7),
            Told {
                chance: 1.0,
                users: 1
            }
        );
        // One identity of another program is not enough.
        assert!(groups.tell(2, Level::Destination, 7).chance < 1.0);
        groups.learn(3, Level::Destination, 7);
        assert!((groups.tell(2, Level::Destination, 7).chance - 1.0).abs() < 1e-9);
    }

    #[test]
    fn where_all_do_the_same_something_else_is_a_surprise() {
        let mut groups = Groups::default();
        for _identity in 0..50 {
            groups.join(1);
            (0..5).for_each(|thing| groups.learn(1, Level::Destination, thing));
        }
        assert!(groups.tell(1, Level::Destination, 99).chance < 1e-3);
        let mut spread = Groups::default();
        (0..250).for_each(|thing| spread.learn(1, Level::Destination, thing));
        assert!(spread.tell(1, Level::Destination, 999).chance > 0.2);
    }

    #[test]
    fn groups_are_bounded() {
        let mut groups = Groups::default();
        for program in 0..3_000 {
            (0..20).for_each(|thing| groups.learn(program, Level::Network, thing));
        }
        assert_eq!(groups.by_program.len(), GROUPS);
    }
}
