//! What the registry holds of each: the credential, the identity, and what was said about them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::QUEUED;
use crate::model::{
    Credential, CredentialKind, CredentialState, FileId, Fingerprint, RegistryChange, Selector,
    Timestamp,
};

/// A word that was said about a credential, a path or an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The state.
    pub state: CredentialState,
    /// Since when.
    pub since: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// The declared owner.
    pub owner: Option<Selector>,
}

impl Declared {
    /// What a change says; `None` when it is as if nothing had been said. An owner stays an owner.
    pub(super) fn by(change: &RegistryChange, now: Timestamp) -> Option<Self> {
        (change.state != CredentialState::Active || change.owner.is_some()).then(|| Self {
            state: change.state,
            since: change.since.unwrap_or(now),
            by: change.by.clone(),
            reason: change.reason.clone(),
            owner: change.owner.clone(),
        })
    }

    /// Whether nobody said it: it follows from the facts, and gives way to every other word.
    pub fn is_derived(&self) -> bool {
        self.by == RegistryChange::DERIVED
    }

    /// Whether this was said just after `time`: an act of then may still wait in a queue while the
    /// word is taken in, and was none against it. Bounded, because a clock that is set back must
    /// not put words out of force.
    pub fn came_after(&self, time: Timestamp) -> bool {
        self.since > time && self.since.since(time) <= QUEUED
    }
}

/// A credential with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialEntry {
    /// What its content says.
    pub credential: Credential,
    /// What was said about it.
    pub declared: Option<Declared>,
    /// Where it lies.
    pub locations: BTreeSet<(PathBuf, FileId)>,
    /// When it was first found.
    pub first_seen: Timestamp,
    /// The oldest time at which a file that holds it was written.
    pub written: Option<Timestamp>,
}

impl CredentialEntry {
    pub(super) fn new(credential: Credential, first_seen: Timestamp) -> Self {
        Self {
            credential,
            declared: None,
            locations: BTreeSet::new(),
            first_seen,
            written: None,
        }
    }

    /// Spoken of, and not found yet.
    pub(super) fn unknown(fingerprint: Fingerprint, first_seen: Timestamp) -> Self {
        let credential = Credential {
            fingerprint,
            kind: CredentialKind::Opaque,
            label: None,
            subject: None,
            issued: None,
            expires: None,
            bound: None,
        };
        Self::new(credential, first_seen)
    }
}

/// An identity with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdentityEntry {
    /// What was said about it.
    pub declared: Option<Declared>,
    /// Its first act seen.
    pub first_seen: Option<Timestamp>,
    /// Its latest act seen.
    pub last_seen: Option<Timestamp>,
}

/// A credential's state at a moment, and whose word that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The state.
    pub state: CredentialState,
    /// Since when, by whom, why; `None` where nobody said anything.
    pub declared: Option<Declared>,
}

/// What lay in a file until its last path was forgotten.
#[derive(Debug, Clone)]
pub(super) struct Departed {
    pub(super) path: PathBuf,
    pub(super) fingerprints: Vec<Fingerprint>,
    pub(super) at: Timestamp,
}

impl Departed {
    /// Whether an event of `time` may be one of this file, taken in late.
    pub(super) fn held_at(&self, time: Timestamp) -> bool {
        time <= self.at && self.at.since(time) <= QUEUED
    }
}
