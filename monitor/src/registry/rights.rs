//! What the programs of each identity were given, and what they used of it. Pure, and bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{CapabilitySet, ProgramRights, Selector, Timestamp};

/// Most programs of all identities. Beyond it the one that has not run for longest goes, and is
/// observed anew when it runs again.
const PROGRAMS: usize = 16_384;
/// A start that comes no later after the one before is no news: what runs every minute would be
/// stored every minute.
const NEWS: Duration = Duration::from_secs(3_600);

/// A program of an identity.
type Key = (Selector, String);

/// A program that begins, or is there already.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Who runs it.
    pub identity: &'a Selector,
    /// Its path.
    pub exe: &'a str,
    /// The real uid.
    pub uid: u32,
    /// The real gid.
    pub gid: u32,
    /// The capabilities that it has.
    pub given: CapabilitySet,
    /// Whether its start was seen.
    pub is_start: bool,
}

/// The rights of all programs.
#[derive(Debug, Clone, Default)]
pub struct Rights {
    programs: BTreeMap<Key, ProgramRights>,
    changed: BTreeSet<Key>,
    is_exact: bool,
}

impl Rights {
    /// Takes back what was stored.
    pub fn restore(&mut self, program: ProgramRights) {
        let key = (program.identity.clone(), program.exe.clone());
        self.make_room(&key);
        self.programs.insert(key, program);
    }

    /// A program began, or is found to run.
    pub fn runs(&mut self, run: &Run<'_>, now: Timestamp) {
        let given = run.given.known();
        let key = (run.identity.clone(), run.exe.to_owned());
        self.make_room(&key);
        let Some(program) = self.programs.get_mut(&key) else {
            let program = ProgramRights {
                identity: key.0.clone(),
                exe: key.1.clone(),
                uid: run.uid,
                gid: run.gid,
                given,
                ever_given: given,
                used: CapabilitySet::default(),
                since: now,
                started: run.is_start.then_some(now),
                last: now,
            };
            self.programs.insert(key.clone(), program);
            self.changed.insert(key);
            return;
        };
        let before = program.clone();
        if !given.without(program.ever_given).is_empty() {
            // What is new has been there for no time yet.
            program.since = now;
            program.started = None;
        }
        (program.uid, program.gid, program.given) = (run.uid, run.gid, given);
        program.ever_given = program.ever_given.and(given);
        if run.is_start && program.started.is_none_or(|at| is_news(at, now)) {
            program.started = Some(now);
        }
        if is_news(program.last, now) {
            program.last = now;
        }
        if *program != before {
            self.changed.insert(key);
        }
    }

    /// A program of somebody who is called any of these names used a capability. `exact` says whether
    /// uses are told from mere questions here.
    pub fn uses<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a Selector>,
        exe: &str,
        capability: CapabilitySet,
        exact: bool,
    ) {
        self.is_exact = exact;
        for name in names {
            let key = (name.clone(), exe.to_owned());
            if let Some(program) = self.programs.get_mut(&key)
                && !capability.without(program.used).is_empty()
            {
                program.used = program.used.and(capability);
                self.changed.insert(key);
            }
        }
    }

    /// A program is known to run still.
    pub fn lives(&mut self, identity: &Selector, exe: &str, now: Timestamp) {
        let key = (identity.clone(), exe.to_owned());
        if let Some(program) = self.programs.get_mut(&key)
            && is_news(program.last, now)
        {
            program.last = now;
            self.changed.insert(key);
        }
    }

    /// Forgets what has not run for so long: it is given nothing any more.
    pub fn forget(&mut self, after: Duration, now: Timestamp) {
        let old: Vec<_> = self
            .programs
            .iter()
            .filter(|(_, program)| now.since(program.last) > after)
            .map(|(key, _)| key.clone())
            .collect();
        for key in old {
            self.programs.remove(&key);
            self.changed.insert(key);
        }
    }

    /// The programs of an identity, by their paths.
    pub fn of<'a>(&'a self, identity: &'a Selector) -> impl Iterator<Item = &'a ProgramRights> {
        let from = (identity.clone(), String::new());
        self.programs
            .range(from..)
            .take_while(move |((of, _), _)| of == identity)
            .map(|(_, program)| program)
    }

    /// Everybody whose programs are known.
    pub fn identities(&self) -> BTreeSet<&Selector> {
        self.programs.keys().map(|(identity, _)| identity).collect()
    }

    /// Whether uses are told from questions that the kernel asks for its own purposes.
    pub fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// What has changed since it was last asked; `None` where it was forgotten.
    pub fn take_unstored(&mut self) -> Vec<(Selector, String, Option<ProgramRights>)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed
            .map(|key| {
                let program = self.programs.get(&key).cloned();
                (key.0, key.1, program)
            })
            .collect()
    }

    fn make_room(&mut self, key: &Key) {
        if self.programs.len() < PROGRAMS || self.programs.contains_key(key) {
            return;
        }
        let oldest = self.programs.iter().min_by_key(|(_, of)| of.last);
        if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
            self.programs.remove(&oldest);
            self.changed.insert(oldest);
        }
    }
}

/// A clock that was set back makes everything news.
fn is_news(last: Timestamp, now: Timestamp) -> bool {
    now < last || now.since(last) >= NEWS
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_unix_seconds(hours * HOUR)
    }

    fn run(rights: &mut Rights, exe: &str, given: u64, is_start: bool, hours: i64) {
        let identity = Selector::systemd_unit("a.service");
        let run = Run {
            identity: &identity,
            exe,
            uid: 7,
            gid: 7,
            given: CapabilitySet(given),
            is_start,
        };
        rights.runs(&run, at(hours));
    }

    fn only(rights: &Rights) -> ProgramRights {
        let identity = Selector::systemd_unit("a.service");
        let mut all = rights.of(&identity);
        let one = all.next().unwrap().clone();
        assert!(all.next().is_none());
        one
    }

    #[test]
    fn what_is_new_begins_anew_and_what_is_taken_away_does_not() {
        let mut rights = Rights::default();
        run(&mut rights, "/a", 0b011, false, 0);
        assert_eq!(only(&rights).started, None, "it ran already");
        run(&mut rights, "/a", 0b001, true, 2);
        let less = only(&rights);
        assert_eq!((less.given.0, less.since), (0b001, at(0)));
        assert_eq!((less.started, less.last), (Some(at(2)), at(2)));
        run(&mut rights, "/a", 0b111, true, 3);
        let more = only(&rights);
        assert_eq!((more.since, more.started), (at(3), Some(at(3))));
        run(&mut rights, "/a", 0b011, false, 9);
        assert_eq!(only(&rights).started, Some(at(3)));
    }

    #[test]
    fn uses_are_those_of_known_programs_and_stored_once() {
        let mut rights = Rights::default();
        let names = [
            Selector::unix_user("x"),
            Selector::systemd_unit("a.service"),
        ];
        rights.uses(&names, "/a", CapabilitySet(1), true);
        assert!(rights.identities().is_empty() && rights.is_exact());
        run(&mut rights, "/a", 0b11, true, 0);
        assert_eq!(rights.take_unstored().len(), 1);
        for _ in 0..3 {
            rights.uses(&names, "/a", CapabilitySet(1), false);
        }
        rights.uses(&names, "/b", CapabilitySet(2), false);
        assert_eq!(only(&rights).used, CapabilitySet(1));
        assert_eq!(rights.take_unstored().len(), 1);
        run(&mut rights, "/a", 0b11, true, 0);
        assert!(rights.take_unstored().is_empty(), "no news");
        assert!(!rights.is_exact());
    }

    #[test]
    fn what_runs_no_more_is_forgotten_and_the_table_is_bounded() {
        let mut rights = Rights::default();
        run(&mut rights, "/old", 1, true, 0);
        run(&mut rights, "/alive", 1, true, 0);
        rights.lives(&Selector::systemd_unit("a.service"), "/alive", at(50));
        rights.forget(Duration::from_secs(24 * 3_600), at(60));
        assert_eq!(only(&rights).exe, "/alive");
        let forgotten = rights.take_unstored();
        let gone = forgotten.iter().filter(|(_, _, of)| of.is_none()).count();
        assert_eq!((forgotten.len(), gone), (2, 1));
        for number in 0..PROGRAMS + 3 {
            let hours = i64::try_from(number).unwrap() + 100;
            run(&mut rights, &format!("/{number}"), 1, true, hours);
        }
        assert_eq!(rights.programs.len(), PROGRAMS);
        let identity = Selector::systemd_unit("a.service");
        assert!(rights.of(&identity).all(|of| of.exe != "/alive"));
    }
}
