//! What follows from service accounts and pods that the cluster has no longer: the API server takes
//! none of the tokens that were bound to them, so whoever still uses one got it elsewhere, or has not
//! heard of it.
//!
//! A pod's tokens are retired at once: its object goes when its containers have ended and its volumes
//! are gone, and its uid never comes back. An account is given `offboard.removal_grace`, as every
//! identity is: tools delete accounts and make them again, and the pods in between are in trouble
//! that their operators know of.

use super::health;
use super::{Detector, Outcome, fold::Finding};
use crate::model::{
    Bound, ClusterChange, ClusterRemoval, CredentialState, DetectionId, Fingerprint, LocatedFile,
    RegistryChange, Selector, Target, Timestamp,
};
use crate::registry::{Cluster, Removal};

impl Detector {
    /// An account or a pod came or went.
    pub(super) fn cluster(
        &mut self,
        change: &ClusterChange,
        now: Timestamp,
        outcome: &mut Outcome,
    ) {
        let is_account = !Cluster::is_pod(&change.selector);
        if change.present {
            if is_account {
                self.returned(&change.selector, now, outcome);
            }
            return;
        }
        let registry = &mut self.state.registry;
        registry.cluster.removed(&change.uid, &change.selector, now);
        // A cluster has many accounts that nobody has seen on this host.
        if is_account && registry.concerns(&change.selector) {
            let removal = Removal { at: now, uid: None };
            registry.offboarding.removed(&change.selector, removal);
        }
        self.settle_cluster(now, outcome);
    }

    /// Retires what was bound to objects that have been gone for long enough.
    pub(super) fn settle_cluster(&mut self, now: Timestamp, outcome: &mut Outcome) {
        let grace = self.settings.offboard.removal_grace;
        for removal in self.state.registry.cluster.due(grace, now) {
            let bound = self.state.registry.bound_to(&removal.uid, now);
            for (fingerprint, subject) in bound {
                self.end_bound(fingerprint, subject, &removal, None, now, outcome);
            }
        }
    }

    /// Tokens of a file that nobody knew until now, and that were dead before.
    pub(super) fn found_bound(
        &self,
        located: &LocatedFile,
        now: Timestamp,
    ) -> Vec<(Fingerprint, Option<Selector>, ClusterRemoval)> {
        let registry = &self.state.registry;
        let news = located.credentials.iter();
        let news = news.filter(|of| registry.credential(&of.fingerprint).is_none());
        let ended = news.filter_map(|of| {
            let bound: &Bound = of.bound.as_deref()?;
            let removal = registry.cluster.ended(bound)?;
            let is_past = removal.at <= now;
            is_past.then(|| (of.fingerprint.clone(), of.subject.clone(), removal.clone()))
        });
        ended.collect()
    }

    /// Retires one token that was bound to what is gone.
    pub(super) fn end_bound(
        &mut self,
        fingerprint: Fingerprint,
        subject: Option<Selector>,
        removal: &ClusterRemoval,
        since: Option<Timestamp>,
        now: Timestamp,
        outcome: &mut Outcome,
    ) {
        let (what, owner) = if Cluster::is_pod(&removal.selector) {
            // The account that owns it is still there, and may be given back what is its own.
            ("its pod", None)
        } else {
            ("its service account", subject)
        };
        let change = RegistryChange {
            target: Target::Credential(fingerprint),
            state: CredentialState::Retired,
            since,
            by: RegistryChange::DERIVED.to_owned(),
            reason: Some(format!("{what} {} was deleted", removal.selector)),
            owner,
        };
        self.derive(change, now, outcome);
    }

    /// The API of the cluster is out of reach, or no longer.
    pub(super) fn cluster_api(
        &mut self,
        away: Option<&str>,
        now: Timestamp,
        findings: &mut Vec<Finding>,
        outcome: &mut Outcome,
    ) {
        if let Some(reason) = away {
            findings.push(health::api_away(reason, now));
        } else {
            let ended = self.folds.end_of(DetectionId::HookFailed, health::API);
            outcome.take_ended(ended);
        }
    }
}

#[cfg(test)]
mod tests;
