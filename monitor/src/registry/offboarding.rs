//! What belongs to an identity, and which identities are gone from the host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Registry;
use super::watched::watched;
use crate::model::{
    CredentialKind, CredentialState, Fingerprint, LocatedFile, Selector, Target, Timestamp,
};

/// Most identities whose removal waits: there are as many accounts and units.
const REMOVALS: usize = 16_384;

/// Why something belongs to an identity; the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Belonging {
    /// Somebody declared it so.
    Declared,
    /// Its own content names the identity.
    Named,
    /// All its files are owned by the account.
    Files,
    /// It was used, and by nobody else.
    Used,
}

impl Belonging {
    /// As a table says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared owner",
            Self::Named => "named in it",
            Self::Files => "owns its files",
            Self::Used => "used it",
        }
    }
}

/// A credential of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Which.
    pub fingerprint: Fingerprint,
    /// What it is.
    pub kind: CredentialKind,
    /// Its state.
    pub state: CredentialState,
    /// Why.
    pub why: Belonging,
    /// Who else uses it, or owns it.
    pub shared_with: BTreeSet<Selector>,
    /// Where it lies.
    pub paths: Vec<PathBuf>,
    /// Its last use by anybody.
    pub last_used: Option<Timestamp>,
}

/// An identity that is gone from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    /// Since when.
    pub at: Timestamp,
    /// The uid of its account, unless another account has it too.
    pub uid: Option<u32>,
}

/// Owners of files, and removals that wait.
#[derive(Debug, Clone, Default)]
pub struct Offboarding {
    owners: BTreeMap<PathBuf, u32>,
    removed: BTreeMap<Selector, Removal>,
    changed: BTreeSet<Selector>,
}

impl Offboarding {
    /// Takes in who owns a file.
    pub fn locate(&mut self, located: &LocatedFile) {
        if located.credentials.is_empty() {
            self.owners.remove(&located.path);
        } else {
            self.owners.insert(located.path.clone(), located.uid);
        }
    }

    /// A file is gone.
    pub fn unlocate(&mut self, path: &Path) {
        self.owners.remove(path);
    }

    /// The uid that owns a file of credentials.
    pub fn owner(&self, path: &Path) -> Option<u32> {
        self.owners.get(path).copied()
    }

    /// An identity is gone from the host: an account was removed, or a unit's file.
    pub fn removed(&mut self, selector: &Selector, removal: Removal) {
        if self.removed.len() < REMOVALS && !self.removed.contains_key(selector) {
            self.removed.insert(selector.clone(), removal);
            self.changed.insert(selector.clone());
        }
    }

    /// It is there again.
    pub fn returned(&mut self, selector: &Selector) {
        if self.removed.remove(selector).is_some() {
            self.changed.insert(selector.clone());
        }
    }

    /// Takes out those that have been gone for `grace`. A clock that was set back makes them wait
    /// anew.
    pub fn due(&mut self, grace: Duration, now: Timestamp) -> Vec<(Selector, Option<u32>)> {
        if self.removed.is_empty() {
            return Vec::new();
        }
        for (selector, of) in &mut self.removed {
            if of.at > now {
                of.at = now;
                self.changed.insert(selector.clone());
            }
        }
        let due: Vec<_> = self
            .removed
            .iter()
            .filter(|(_, of)| now.since(of.at) >= grace)
            .map(|(selector, of)| (selector.clone(), of.uid))
            .collect();
        for (selector, _) in &due {
            self.removed.remove(selector);
            self.changed.insert(selector.clone());
        }
        due
    }

    /// What has changed since it was last asked: since when each waits, or that it does not.
    pub fn take_unstored(&mut self) -> Vec<(Selector, Option<Removal>)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed
            .map(|selector| {
                let removal = self.removed.get(&selector).copied();
                (selector, removal)
            })
            .collect()
    }
}

impl Registry {
    /// The credentials that an identity owns or has used. `uid` is its account's, where it is one.
    pub fn owned_by(&self, identity: &Selector, uid: Option<u32>, now: Timestamp) -> Vec<Owned> {
        let mut users: BTreeMap<&Fingerprint, BTreeSet<&Selector>> = BTreeMap::new();
        for row in self.usage.rows() {
            let of = users.entry(&row.key.fingerprint).or_default();
            of.insert(&row.key.identity);
        }
        let owned = self.credentials().filter_map(|entry| {
            let credential = &entry.credential;
            let users = users.get(&credential.fingerprint);
            let declared = entry.declared.as_ref().and_then(|said| said.owner.as_ref());
            let mut owners = entry.locations.iter().map(|(path, _)| {
                let owner = self.offboarding.owner(path);
                owner.is_some() && owner == uid
            });
            let has_files = !entry.locations.is_empty() && owners.all(|is_its| is_its);
            let uses = users.is_some_and(|users| users.contains(identity));
            let why = if declared == Some(identity) {
                Belonging::Declared
            } else if credential.subject.as_ref() == Some(identity) {
                Belonging::Named
            } else if has_files {
                Belonging::Files
            } else if uses {
                Belonging::Used
            } else {
                return None;
            };
            // sshd reads the list of keys of every account that somebody logs in to.
            let is_read_for_it = credential.kind == CredentialKind::SshAuthorizedKey;
            let others = users.into_iter().flatten().copied();
            let mut shared_with: BTreeSet<_> = others
                .filter(|user| *user != identity && !is_read_for_it)
                .cloned()
                .collect();
            let owners = [declared, credential.subject.as_ref()]
                .into_iter()
                .flatten();
            shared_with.extend(owners.filter(|owner| *owner != identity).cloned());
            let mut paths: Vec<_> = entry.locations.iter().map(|of| of.0.clone()).collect();
            paths.dedup();
            Some(Owned {
                fingerprint: credential.fingerprint.clone(),
                kind: credential.kind,
                state: self.standing(entry, None, now).state,
                why,
                shared_with,
                paths,
                last_used: self.usage.last_use(&credential.fingerprint).0,
            })
        });
        owned.collect()
    }

    /// The credentials that were retired together with an identity: those that name it as owner.
    pub fn retired_with<'a>(
        &'a self,
        identity: &'a Selector,
    ) -> impl Iterator<Item = Target> + use<'a> {
        self.credentials().filter_map(move |entry| {
            let said = entry.declared.as_ref()?;
            let is_its = said.owner.as_ref() == Some(identity) && is_ended(said.state);
            is_its.then(|| Target::Credential(entry.credential.fingerprint.clone()))
        })
    }
}

/// How something has been since it was retired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// Its latest use since then.
    pub used: Option<Timestamp>,
    /// Who used it.
    pub by: Option<Selector>,
    /// With which program.
    pub with: Option<String>,
    /// For how long it was quiet while it was watched.
    pub quiet: Duration,
    /// For how long of that time a use could not be seen.
    pub unwatched: Duration,
}

impl Registry {
    /// How something has been since a moment: used, or quiet for how long.
    pub fn since(&self, subject: &Target, moment: Timestamp, now: Timestamp) -> Since {
        let rows = self.usage.rows().filter(|row| match subject {
            Target::Credential(of) => row.key.fingerprint == *of,
            Target::Identity(of) => row.key.identity == *of,
            Target::Path(_) => false,
        });
        let row = rows.max_by_key(|row| row.last);
        let row = row.filter(|row| row.last > moment);
        let followed = self.observed.pattern(subject).and_then(|of| of.last);
        let seen = match subject {
            Target::Identity(of) => self.identity(of).and_then(|entry| entry.last_seen),
            _ => None,
        };
        let used = row.map(|row| row.last).max(followed).max(seen);
        let used = used.filter(|used| *used > moment);
        let from = used.unwrap_or(moment);
        let all = now.since(from);
        let quiet = self.observed.ledger().map_or(Duration::ZERO, |ledger| {
            let from = from.max(ledger.since);
            let unseen = ledger.unseen(subject, now);
            watched(&unseen, from, now)
        });
        let exe = row.map(|row| row.key.exe.clone());
        Since {
            used,
            by: row.map(|row| row.key.identity.clone()),
            with: exe.filter(|exe| !exe.is_empty()),
            quiet,
            unwatched: all.saturating_sub(quiet),
        }
    }
}

/// Whether nobody should use it any more.
pub fn is_ended(state: CredentialState) -> bool {
    matches!(state, CredentialState::Retired | CredentialState::Revoked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn gone(at: i64) -> Removal {
        Removal {
            at: Timestamp(at),
            uid: Some(998),
        }
    }

    #[test]
    fn a_removal_is_due_after_its_time_and_a_return_takes_it_back() {
        let mut offboarding = Offboarding::default();
        let grace = Duration::from_secs(3_600);
        let (a, b) = (Selector::unix_user("a"), Selector::unix_user("b"));
        offboarding.removed(&a, gone(HOUR));
        offboarding.removed(&b, gone(HOUR));
        offboarding.removed(&a, gone(HOUR * 3 / 2));
        offboarding.returned(&b);
        assert_eq!(offboarding.take_unstored().len(), 2);
        assert!(offboarding.due(grace, Timestamp(HOUR * 2 - 1)).is_empty());
        assert_eq!(
            offboarding.due(grace, Timestamp(HOUR * 2)),
            [(a.clone(), Some(998))]
        );
        assert!(offboarding.due(grace, Timestamp(HOUR * 9)).is_empty());
        assert_eq!(offboarding.take_unstored(), [(a.clone(), None)]);
        // A clock that is set back ends nothing early.
        offboarding.removed(&a, gone(HOUR * 9));
        assert!(offboarding.due(grace, Timestamp(HOUR)).is_empty());
        assert_eq!(
            offboarding.due(grace, Timestamp(HOUR * 2)),
            [(a, Some(998))]
        );
    }
}
