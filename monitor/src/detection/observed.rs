//! Keeps the ledger: when the host was watched, and how things were used.

use super::Detector;
use crate::attribution::unix_selectors;
use crate::model::{Fact, Fingerprint, Gap, Record};

impl Detector {
    /// The credentials at the path of which a fact speaks, before it is taken in.
    pub(super) fn held_before(&self, fact: &Fact) -> Vec<Fingerprint> {
        let path = match fact {
            Fact::Located(located) => &located.path,
            Fact::Unlocated { path, .. } => path,
            _ => return Vec::new(),
        };
        let registry = &self.state.registry;
        let file = registry.file_at(path);
        file.map_or_else(Vec::new, |file| registry.credentials_at(file).to_vec())
    }

    /// Takes in what a fact says about the observation itself, once it has been taken in.
    pub(super) fn observe(&mut self, record: &Record, mut held: Vec<Fingerprint>) {
        let now = record.time;
        let registry = &mut self.state.registry;
        let observed = &mut registry.observed;
        match &record.fact {
            Fact::Watching { since, rebooted } => observed.begin(*since, *rebooted, now),
            Fact::Observed(ledger) => observed.restore_ledger(ledger),
            Fact::Pattern(pattern) => observed.restore_pattern(pattern),
            Fact::Gap { gap } => match gap {
                Gap::Held { lasted } => observed.held(*lasted, now),
                Gap::ClockSet { from, to } => observed.clock_set(*from, *to),
                // The beginning of this run says it.
                Gap::Unsaid { .. } => {}
            },
            Fact::Lost { hook, count, .. } if *count > 0 => observed.lost(hook, now),
            // What is capped concerns no credential, and its process is known.
            Fact::HookFailed { hook, .. } => observed.hook_failed(hook, now),
            Fact::HookWorks { hook, .. } => observed.hook_works(hook, now),
            Fact::IdentityChange { uid, .. } => {
                for selector in unix_selectors(*uid, &self.state.host) {
                    observed.acted(&selector, now);
                }
            }
            Fact::Located(located) => {
                registry.offboarding.locate(located);
                let found = located.credentials.iter();
                held.extend(found.map(|of| of.fingerprint.clone()));
            }
            Fact::Unlocated { path, .. } => registry.offboarding.unlocate(path),
            _ => {}
        }
        for fingerprint in held {
            let entry = registry.credential(&fingerprint);
            let is_present = entry.is_some_and(|entry| !entry.locations.is_empty());
            registry.observed.present(&fingerprint, is_present, now);
        }
        registry.observed.pass(now);
    }
}
