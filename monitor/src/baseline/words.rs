//! What operators say of baselines.

use serde::{Deserialize, Serialize};

use super::identity::Baseline;
use super::{Baselines, IDENTITIES, seconds};
use crate::model::time::rfc3339;
use crate::model::{BaselineWord, Selector, Timestamp, Word};

/// Most baselines that are frozen at once: each takes three times its memory, and never has to leave for
/// another.
const FROZEN: usize = 1_024;
/// Names are alike that so many changes of a letter make the same.
const ALIKE: usize = 4;

/// That a baseline is frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenView {
    /// Since when.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// Who said so.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What a word has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordView {
    /// Of whom.
    pub identity: Selector,
    /// What was said.
    pub word: Word,
    /// Destinations that are ordinary now and were not.
    pub destinations: u64,
    /// Programs that are ordinary now and were not.
    pub programs: u64,
    /// Alerts that were open, and are not any more.
    pub alerts: u64,
    /// Since when it is frozen, where it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<FrozenView>,
}

/// Why a word cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// Nobody is known by that name.
    #[error("nothing was learned of {identity}{}", likely(nearest.as_ref()))]
    Unknown {
        /// The name.
        identity: Selector,
        /// The name that is most like it, of those that are known.
        nearest: Option<Selector>,
    },
    /// It is frozen already.
    #[error(
        "{identity} is frozen since {} by {}: `credwatch baseline unfreeze` lets it be learned again, and \
         `credwatch baseline approve` makes what it did since ordinary",
        frozen.since,
        frozen.by
    )]
    Frozen {
        /// Who.
        identity: Selector,
        /// Since when.
        frozen: Box<FrozenView>,
    },
    /// It is not frozen.
    #[error("{0} is not frozen: it is learned of all the time")]
    NotFrozen(Selector),
    /// Too many are frozen.
    #[error("{FROZEN} baselines are frozen, and no more can be: unfreeze or forget one first")]
    Full,
}

fn likely(nearest: Option<&Selector>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean {nearest}?"),
        None => "; `credwatch baseline list` says of whom something was".to_owned(),
    }
}

impl Baselines {
    /// Whether a word can be taken.
    ///
    /// # Errors
    /// When nothing is known of the identity, or it is as the word says already.
    pub fn may_say(&self, identity: &Selector, word: Word) -> Result<(), WordError> {
        let Some(baseline) = self.identities.get(identity) else {
            return Err(WordError::Unknown {
                identity: identity.clone(),
                nearest: self.nearest(identity).cloned(),
            });
        };
        match (word, frozen(baseline)) {
            (Word::Freeze, Some(frozen)) => Err(WordError::Frozen {
                identity: identity.clone(),
                frozen: Box::new(frozen),
            }),
            (Word::Freeze, None) if self.has_frozen_most() => Err(WordError::Full),
            (Word::Unfreeze, None) => Err(WordError::NotFrozen(identity.clone())),
            _ => Ok(()),
        }
    }

    /// Takes in a word. One that cannot be taken changes nothing.
    pub fn say(&mut self, said: &BaselineWord, time: Timestamp) -> WordView {
        let mut view = WordView {
            identity: said.identity.clone(),
            word: said.word,
            destinations: 0,
            programs: 0,
            alerts: 0,
            frozen: None,
        };
        self.ledger.said(said.identity.clone());
        if self.may_say(&said.identity, said.word).is_err() {
            return view;
        }
        if said.word == Word::Forget {
            self.identities.remove(&said.identity);
            self.ledger.forget(said.identity.clone());
            return view;
        }
        let Some(baseline) = self.identities.get_mut(&said.identity) else {
            return view;
        };
        match said.word {
            Word::Freeze => baseline.freeze(seconds(time), &said.by, &said.reason),
            Word::Unfreeze => baseline.unfreeze(),
            Word::Approve => {
                let ordinary = baseline.approve(&mut self.host.groups);
                (view.destinations, view.programs) = (ordinary.destinations, ordinary.programs);
            }
            Word::Forget => {}
        }
        // To be stored at once.
        (baseline.is_unstored, baseline.stored_at) = (true, 0);
        view.frozen = frozen(baseline);
        view
    }

    /// Of those that are known, the one whose name is most like this one.
    pub fn nearest(&self, identity: &Selector) -> Option<&Selector> {
        let known = self.identities.iter().map(|(of, _)| {
            let changes = strsim::osa_distance(of.as_str(), identity.as_str());
            (changes, of)
        });
        let nearest = known.filter(|(changes, _)| *changes <= ALIKE).min();
        nearest.map(|(_, of)| of)
    }

    /// Makes room for one more. What is frozen stays.
    pub(super) fn make_room(&mut self) {
        if self.identities.len() < IDENTITIES {
            return;
        }
        let mut all = self.identities.iter();
        let oldest = all.find(|(_, of)| of.spoken.frozen.is_none());
        if let Some(forgotten) = oldest.map(|(of, _)| of.clone()) {
            self.identities.remove(&forgotten);
            self.ledger.forget(forgotten);
            self.forgotten += 1;
        }
    }

    fn has_frozen_most(&self) -> bool {
        let all = self.identities.iter();
        all.filter(|(_, of)| of.spoken.frozen.is_some()).count() >= FROZEN
    }
}

/// Since when, by whom and why it is frozen, where it is.
pub(super) fn frozen(baseline: &Baseline) -> Option<FrozenView> {
    let frozen = baseline.spoken.frozen.as_ref()?;
    Some(FrozenView {
        since: Timestamp::from_unix_seconds(frozen.since.into()),
        by: frozen.by.clone(),
        reason: frozen.reason.clone(),
    })
}
