//! Credentials that processes hold in their environment and arguments, those that were seen in
//! logs, and the kernel's own keys. Nothing of it is stored: it ends with the process, or is found
//! anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::model::{Fingerprint, HeldIn, KernelKey, ProcessKey, Selector, Timestamp};

/// Most processes of which it is known what they hold, most places of one of them, and most logs.
const PROCESSES: usize = 8_192;
const PLACES: usize = 64;
const LOGS: usize = 4_096;

/// One process that holds a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAt {
    /// The process.
    pub process: ProcessKey,
    /// Who it is.
    pub identity: Selector,
    /// Its executable's path.
    pub exe: Option<String>,
    /// Where in it.
    pub place: HeldIn,
    /// Since when that is known.
    pub since: Timestamp,
}

/// What is held where.
#[derive(Debug, Clone, Default)]
pub struct Held {
    processes: BTreeMap<ProcessKey, Vec<(Fingerprint, HeldAt)>>,
    by: BTreeMap<Fingerprint, BTreeSet<ProcessKey>>,
    logs: BTreeMap<(Fingerprint, PathBuf), Timestamp>,
    keys: Vec<KernelKey>,
    forgotten: u64,
}

impl Held {
    /// Notes that a process holds a credential; `false` when that was known.
    pub fn hold(&mut self, fingerprint: &Fingerprint, at: HeldAt) -> bool {
        let process = at.process;
        if self.processes.len() >= PROCESSES && !self.processes.contains_key(&process) {
            // Which one goes is of no matter: that there are so many is the finding.
            if let Some(first) = self.processes.keys().next().copied() {
                self.forgotten += 1;
                self.release(first);
            }
        }
        let places = self.processes.entry(process).or_default();
        let known =
            |(of, known): &(Fingerprint, HeldAt)| of == fingerprint && known.place == at.place;
        if places.iter().any(known) {
            return false;
        }
        if places.len() >= PLACES {
            self.forgotten += 1;
            return false;
        }
        places.push((fingerprint.clone(), at));
        self.by
            .entry(fingerprint.clone())
            .or_default()
            .insert(process);
        true
    }

    /// A process ended, or runs another program: what it was given before is gone.
    pub fn release(&mut self, process: ProcessKey) {
        for (fingerprint, _) in self.processes.remove(&process).unwrap_or_default() {
            if let Some(by) = self.by.get_mut(&fingerprint) {
                by.remove(&process);
                if by.is_empty() {
                    self.by.remove(&fingerprint);
                }
            }
        }
    }

    /// Notes that a log holds a credential; `false` when that was known.
    pub fn logged(&mut self, fingerprint: &Fingerprint, path: &Path, now: Timestamp) -> bool {
        let key = (fingerprint.clone(), path.to_owned());
        if self.logs.contains_key(&key) {
            return false;
        }
        if self.logs.len() >= LOGS {
            let oldest = self.logs.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.forgotten += 1;
                self.logs.remove(&oldest);
            }
        }
        self.logs.insert(key, now);
        true
    }

    /// Takes in the kernel's keys, in place of those known before.
    pub fn set_keys(&mut self, keys: &[KernelKey]) {
        self.keys = keys.to_vec();
    }

    /// The kernel's keys.
    pub fn keys(&self) -> &[KernelKey] {
        &self.keys
    }

    /// The processes that hold a credential, oldest first.
    pub fn processes<'a>(
        &'a self,
        fingerprint: &'a Fingerprint,
    ) -> impl Iterator<Item = &'a HeldAt> {
        let by = self.by.get(fingerprint).into_iter().flatten();
        by.filter_map(|process| self.processes.get(process))
            .flatten()
            .filter(move |(of, _)| of == fingerprint)
            .map(|(_, at)| at)
    }

    /// The logs in which a credential was seen, and since when.
    pub fn logs<'a>(
        &'a self,
        fingerprint: &'a Fingerprint,
    ) -> impl Iterator<Item = (&'a Path, Timestamp)> {
        let from = (fingerprint.clone(), PathBuf::new());
        self.logs
            .range(from..)
            .take_while(move |((of, _), _)| of == fingerprint)
            .map(|((_, path), at)| (path.as_path(), *at))
    }

    /// How many places were forgotten because there are too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pid: u32, variable: &str) -> HeldAt {
        HeldAt {
            process: ProcessKey {
                pid,
                start: Timestamp(1),
            },
            identity: Selector::unix_user("svc"),
            exe: None,
            place: HeldIn::Environment {
                variable: variable.to_owned(),
            },
            since: Timestamp(2),
        }
    }

    #[test]
    fn what_a_process_holds_ends_with_it() {
        let (mut held, name) = (Held::default(), Fingerprint::new("x"));
        assert!(held.hold(&name, at(1, "A")));
        assert!(!held.hold(&name, at(1, "A")), "known");
        assert!(held.hold(&name, at(1, "B")));
        assert!(held.hold(&name, at(2, "A")));
        assert_eq!(held.processes(&name).count(), 3);
        held.release(at(1, "").process);
        assert_eq!(held.processes(&name).count(), 1);
        held.release(at(2, "").process);
        assert_eq!(held.processes(&name).count(), 0);
        assert!(held.by.is_empty() && held.processes.is_empty());
    }

    #[test]
    fn all_tables_are_bounded_and_say_what_they_forgot() {
        let (mut held, name) = (Held::default(), Fingerprint::new("x"));
        for pid in 0..u32::try_from(PROCESSES).unwrap() + 5 {
            held.hold(&name, at(pid, "A"));
        }
        assert_eq!(held.processes(&name).count(), PROCESSES);
        for n in 0..PLACES + 3 {
            held.hold(&name, at(9_000_000, &n.to_string()));
        }
        for n in 0..LOGS + 2 {
            let path = PathBuf::from(n.to_string());
            assert!(held.logged(&name, &path, Timestamp(n as i64)));
        }
        assert!(!held.logged(&name, Path::new("100"), Timestamp(1)));
        assert_eq!(held.logs(&name).count(), LOGS);
        assert_eq!(held.forgotten(), 5 + 1 + 3 + 2);
    }
}
