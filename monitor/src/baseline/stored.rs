//! Baselines as they are stored, and taken back after a restart. What was learned of an identity is one
//! body of bytes, and what holds for the host another; what peers do is made anew of the identities.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::digest::Digest;
use super::host::Kept;
use super::identity::Baseline;
use super::{Baselines, NAME, seconds};
use crate::model::{Selector, StoredBaseline, Timestamp};

/// The form of what is stored. Another one is refused, and what it holds is learned anew.
pub const VERSION: u16 = 3;
/// The form before operators could say anything: the same, with neither words nor a digest behind it.
const UNSPOKEN: u16 = 2;

/// Most identities that are handed out at once: so many bodies of some KiB wait for the database.
const AT_ONCE: usize = 256;
/// Refusals that are kept to be told; more of them say the same.
const REFUSED: usize = 16;

/// Why something that was stored is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// Another version of Credwatch wrote it.
    #[error(
        "what was learned of {of} has the form {found}, and this version of Credwatch reads the \
         form {VERSION} only: it is learned anew"
    )]
    Version {
        /// Of whom.
        of: String,
        /// The form that it has.
        found: u16,
    },
    /// It is not what was written.
    #[error("what was learned of {of} cannot be read ({detail}): it is learned anew")]
    Damaged {
        /// Of whom.
        of: String,
        /// What is wrong.
        detail: String,
    },
}

/// What holds for the host. Peers are not in it: they are made of the identities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct HostBody {
    kept: Kept,
    budget: Budget,
    until: u32,
    /// Paths of programs, those last that were used last.
    names: Vec<(u64, String)>,
}

/// What the database does not know yet.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    forgotten: BTreeSet<Selector>,
    /// Of whom operators have said something.
    said: BTreeSet<Selector>,
    /// The latest moment that anything is known of, in seconds of the epoch.
    pub(super) until: u32,
    stored_until: u32,
    refused: Vec<StoredError>,
}

impl Ledger {
    pub(super) fn forget(&mut self, identity: Selector) {
        self.forgotten.insert(identity);
    }

    pub(super) fn said(&mut self, identity: Selector) {
        self.said.insert(identity);
    }
}

/// What is to be stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unstored {
    /// As they are now.
    pub changed: Vec<StoredBaseline>,
    /// Identities that have none any more.
    pub forgotten: Vec<Selector>,
    /// Identities of which all that operators have said is in what is stored now.
    pub said: Vec<Selector>,
}

impl Unstored {
    /// Whether all is stored.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.forgotten.is_empty() && self.said.is_empty()
    }
}

impl Baselines {
    /// What has changed since it was stored, of identities that were not stored for `every` seconds: a
    /// bounded part of it, so that it is asked for until nothing comes.
    pub fn take_unstored(&mut self, now: Timestamp, every: u32) -> Unstored {
        let now = seconds(now);
        let is_due = |at: u32| every == 0 || at == 0 || now.abs_diff(at) >= every;
        let mut changed = Vec::new();
        let due = self.identities.iter_mut();
        let due = due.filter(|(_, of)| of.is_unstored && is_due(of.stored_at));
        for (identity, baseline) in due.take(AT_ONCE) {
            (baseline.is_unstored, baseline.stored_at) = (false, now);
            changed.extend(stored(Some(identity), baseline.as_ref(), &baseline.spoken));
        }
        let forgotten = std::mem::take(&mut self.ledger.forgotten);
        let mut forgotten = Vec::from_iter(forgotten);
        // It may have come back meanwhile, and be among those that are stored.
        forgotten.retain(|of| !self.identities.contains_key(of));
        if !changed.is_empty() || !forgotten.is_empty() || self.ledger.stored_until == 0 {
            self.ledger.stored_until = self.ledger.until;
            if self.ledger.until > 0 {
                changed.extend(self.stored_host());
            }
        }
        let said = std::mem::take(&mut self.ledger.said);
        let is_stored = |of: &Selector| !self.identities.get(of).is_some_and(|of| of.is_unstored);
        let (said, later) = said.into_iter().partition(is_stored);
        self.ledger.said = later;
        Unstored {
            changed,
            forgotten,
            said: Vec::from_iter::<BTreeSet<_>>(said),
        }
    }

    fn stored_host(&self) -> Option<StoredBaseline> {
        let body = HostBody {
            kept: self.host.kept.clone(),
            budget: self.host.budget.clone(),
            until: self.ledger.until,
            names: self
                .names
                .iter()
                .map(|(of, name)| (*of, name.clone()))
                .collect(),
        };
        stored(None, &body, &self.digest)
    }

    /// Takes back what was stored. What cannot be taken is noted, and learned anew.
    pub fn restore(&mut self, of: &StoredBaseline) {
        if let Err(refused) = self.try_restore(of)
            && self.ledger.refused.len() < REFUSED
        {
            self.ledger.refused.push(refused);
        }
    }

    /// The latest moment that anything is known of.
    pub fn until(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.ledger.until.into())
    }

    /// What could not be taken back since this was asked for, the first few.
    pub fn take_refused(&mut self) -> Vec<StoredError> {
        std::mem::take(&mut self.ledger.refused)
    }

    fn try_restore(&mut self, of: &StoredBaseline) -> Result<(), StoredError> {
        if ![UNSPOKEN, VERSION].contains(&of.version) {
            return Err(StoredError::Version {
                of: of.of().to_owned(),
                found: of.version,
            });
        }
        let damaged = |detail: String| StoredError::Damaged {
            of: of.of().to_owned(),
            detail,
        };
        let impossible = || damaged("it holds numbers that no act leads to".to_owned());
        let read = |error: postcard::Error| damaged(error.to_string());
        match &of.identity {
            None => {
                let (body, behind): (HostBody, _) =
                    postcard::take_from_bytes(&of.body).map_err(read)?;
                let mut digest = Digest::default();
                if of.version != UNSPOKEN {
                    digest = postcard::from_bytes(behind).map_err(read)?;
                }
                if !body.kept.is_sound() || !body.budget.is_sound() || !digest.is_sound() {
                    return Err(impossible());
                }
                self.digest = digest;
                let per_day = self.host.budget.per_day();
                (self.host.kept, self.host.budget) = (body.kept, body.budget);
                self.host.budget.set(per_day);
                self.ledger.until = self.ledger.until.max(body.until);
                for (program, name) in body.names {
                    if name.len() <= NAME {
                        self.names.insert(program, name);
                    }
                }
            }
            Some(identity) => {
                let (mut baseline, behind): (Baseline, _) =
                    postcard::take_from_bytes(&of.body).map_err(read)?;
                if of.version != UNSPOKEN {
                    baseline.spoken = postcard::from_bytes(behind).map_err(read)?;
                }
                if !baseline.is_sound() {
                    return Err(impossible());
                }
                self.ledger.until = self.ledger.until.max(baseline.last);
                // One identity is one peer, however often it is taken back.
                if !self.identities.contains_key(identity) {
                    self.make_room();
                    baseline.teach_again(&mut self.host.groups);
                }
                let identity = identity.clone();
                self.identities.insert(identity, Box::new(baseline));
            }
        }
        Ok(())
    }
}

/// `None` never comes: bodies are plain numbers.
fn stored(
    identity: Option<&Selector>,
    body: &impl Serialize,
    behind: &impl Serialize,
) -> Option<StoredBaseline> {
    let body = postcard::to_stdvec(body).ok()?;
    Some(StoredBaseline {
        identity: identity.cloned(),
        version: VERSION,
        body: postcard::to_extend(behind, body).ok()?,
    })
}

#[cfg(test)]
mod tests;
