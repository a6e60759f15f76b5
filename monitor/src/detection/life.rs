//! The states that follow from the facts themselves: a version that was followed by another is
//! `rotating` for a while, then `retired`. Every word of an operator goes before.

use std::path::Path;
use std::time::Duration;

use super::guard::span;
use super::{Detector, Finding, Outcome};
use crate::model::{
    Credential, CredentialKind, CredentialState, Fingerprint, LocatedFile, RegistryChange,
    Succession, Target, Timestamp,
};
use crate::registry::{Declared, Successor};

impl Detector {
    /// Takes in what discovery found in a file, and what follows something else there.
    pub(super) fn located(&mut self, file: &LocatedFile, now: Timestamp, outcome: &mut Outcome) {
        for Successor {
            succession,
            came_back,
        } in self.state.registry.locate(file, now)
        {
            let is_back = came_back && self.came_back(&succession, now, outcome);
            if came_back && !is_back {
                continue;
            }
            self.succeeded(succession, now, outcome);
        }
    }

    /// A version that was followed is in force again. Says whether it took the place of what had
    /// followed it: two files that are swapped follow nothing.
    fn came_back(
        &mut self,
        succession: &Succession,
        now: Timestamp,
        outcome: &mut Outcome,
    ) -> bool {
        let Succession { old, new, path, .. } = succession;
        let registry = &self.state.registry;
        let before = registry.rotations.get(new).map(|of| &of.succession.path);
        let same_place = before == Some(path);
        if !self.is_unspoken(new) || registry.is_path_declared(path) {
            return false;
        }
        let reason = format!("came back to {} in place of {old}", path.display());
        self.turn(new, CredentialState::Active, reason, now, outcome);
        same_place
    }

    fn succeeded(&mut self, succession: Succession, now: Timestamp, outcome: &mut Outcome) {
        let registry = &self.state.registry;
        let Some(entry) = registry.credential(&succession.old) else {
            return;
        };
        if !self.is_unspoken(&succession.old)
            || registry.is_path_declared(&succession.path)
            || self.ends_by_itself(&entry.credential, now)
        {
            return;
        }
        let window = self.settings.life.rotation_window;
        let old = succession.old.clone();
        let reason = succeeded_by(&succession);
        let rotations = &mut self.state.registry.rotations;
        if rotations.is_busy(&succession.path, window, now) || !rotations.insert(succession.clone())
        {
            return;
        }
        outcome.successions.push(succession);
        self.turn(&old, CredentialState::Rotating, reason, now, outcome);
    }

    /// Lets the windows end that are over, and retires what they were for.
    pub(super) fn end_windows(
        &mut self,
        now: Timestamp,
        findings: &mut Vec<Finding>,
        outcome: &mut Outcome,
    ) {
        let window = self.settings.life.rotation_window;
        for succession in self.state.registry.rotations.take_due(window, now) {
            let entry = self.state.registry.credential(&succession.old);
            let declared = entry.and_then(|entry| entry.declared.as_ref());
            let is_rotating =
                |said: &Declared| said.is_derived() && said.state == CredentialState::Rotating;
            if !declared.is_some_and(is_rotating) {
                continue;
            }
            self.stale_holders(&succession, now, findings);
            if self.settings.life.retire_rotated {
                let reason = format!(
                    "{}, and its window of {} is over",
                    succeeded_by(&succession),
                    span(nanoseconds(window))
                );
                let old = &succession.old;
                self.turn(old, CredentialState::Retired, reason, now, outcome);
            }
        }
    }

    /// Whether a credential was retired because another followed it, and not by anybody's word.
    pub(super) fn is_superseded(&self, fingerprint: &Fingerprint) -> bool {
        let registry = &self.state.registry;
        let entry = registry.credential(fingerprint);
        let declared = entry.and_then(|entry| entry.declared.as_ref());
        registry.rotations.get(fingerprint).is_some()
            && declared.is_some_and(|declared| declared.is_derived())
    }

    fn turn(
        &mut self,
        of: &Fingerprint,
        state: CredentialState,
        reason: String,
        now: Timestamp,
        outcome: &mut Outcome,
    ) {
        let entry = self.state.registry.credential(of);
        let declared = entry.and_then(|entry| entry.declared.as_ref());
        let change = RegistryChange {
            target: Target::Credential(of.clone()),
            state,
            since: None,
            by: RegistryChange::DERIVED.to_owned(),
            reason: Some(reason),
            owner: declared.and_then(|said| said.owner.clone()),
        };
        self.derive(change, now, outcome);
    }

    /// Whether nobody has put a credential, or a path at which it lies, into a state.
    fn is_unspoken(&self, fingerprint: &Fingerprint) -> bool {
        let registry = &self.state.registry;
        let Some(entry) = registry.credential(fingerprint) else {
            // It is being found for the first time.
            return true;
        };
        let own = entry.declared.as_ref();
        let free =
            own.is_none_or(|said| said.is_derived() || said.state == CredentialState::Active);
        free && !registry.is_declared_by_path(entry)
    }

    /// What ends of itself before a window would: tokens that a platform gives out anew every
    /// hour. Kubernetes' have an end, and no other version is worth a word.
    fn ends_by_itself(&self, credential: &Credential, now: Timestamp) -> bool {
        let window = self.settings.life.rotation_window;
        credential.expires.is_some_and(|end| {
            credential.kind == CredentialKind::KubernetesServiceAccountToken
                || end <= now.after(window)
        })
    }
}

fn succeeded_by(succession: &Succession) -> String {
    let path: &Path = &succession.path;
    format!("succeeded by {} at {}", succession.new, path.display())
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
