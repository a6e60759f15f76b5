//! Objects that the cluster has no longer: what was bound to one of them is dead for good, because no
//! other object ever gets its uid.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Registry;
use crate::model::{
    Bound, ClusterRemoval, ClusterUid, CredentialState, Fingerprint, Selector, Timestamp,
};

/// Most accounts that are remembered after they went, and as many pods: nothing of one drives out
/// what is known of the other.
const REMEMBERED: usize = 16_384;

/// What pods are called.
const POD: &str = "k8s:pod:";

/// Service accounts of the cluster, and pods of this node, that are gone.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    removed: BTreeMap<ClusterUid, ClusterRemoval>,
    /// By age, accounts and pods apart.
    ages: [BTreeSet<(Timestamp, ClusterUid)>; 2],
    unsettled: BTreeSet<ClusterUid>,
    changed: BTreeSet<ClusterUid>,
}

impl Cluster {
    /// Whether this is the name of a pod.
    pub fn is_pod(selector: &Selector) -> bool {
        selector.as_str().starts_with(POD)
    }

    /// Takes back what was known before.
    pub fn restore(&mut self, removal: &ClusterRemoval) {
        self.insert(removal.clone());
    }

    /// The cluster has an object no longer.
    pub fn removed(&mut self, uid: &ClusterUid, selector: &Selector, now: Timestamp) {
        if self.removed.contains_key(uid) {
            return;
        }
        self.changed.insert(uid.clone());
        self.insert(ClusterRemoval {
            selector: selector.clone(),
            uid: uid.clone(),
            at: now,
            settled: false,
        });
    }

    fn insert(&mut self, removal: ClusterRemoval) {
        let uid = removal.uid.clone();
        let ages = &mut self.ages[usize::from(Self::is_pod(&removal.selector))];
        ages.insert((removal.at, uid.clone()));
        let oldest = if ages.len() > REMEMBERED {
            ages.pop_first()
        } else {
            None
        };
        if !removal.settled {
            self.unsettled.insert(uid.clone());
        }
        self.removed.insert(uid, removal);
        if let Some((_, oldest)) = oldest {
            self.removed.remove(&oldest);
            self.unsettled.remove(&oldest);
            self.changed.insert(oldest);
        }
    }

    /// Takes out those whose tokens are to be retired now: a pod's at once, an account's after
    /// `grace`. A clock that was set back makes them wait anew.
    pub fn due(&mut self, grace: Duration, now: Timestamp) -> Vec<ClusterRemoval> {
        let removed = &mut self.removed;
        let mut due = Vec::new();
        let changed = &mut self.changed;
        let ages = &mut self.ages;
        self.unsettled.retain(|uid| {
            let Some(removal) = removed.get_mut(uid) else {
                return false;
            };
            if removal.at > now {
                let ages = &mut ages[usize::from(Self::is_pod(&removal.selector))];
                ages.remove(&(removal.at, uid.clone()));
                ages.insert((now, uid.clone()));
                removal.at = now;
                changed.insert(uid.clone());
            }
            let is_due = is_due(removal, grace, now);
            if is_due {
                removal.settled = true;
                changed.insert(uid.clone());
                due.push(removal.clone());
            }
            !is_due
        });
        due
    }

    /// What a token ended with, where that is gone for long enough.
    pub fn ended(&self, bound: &Bound) -> Option<&ClusterRemoval> {
        let mut removals = bound.uids().filter_map(|uid| self.removed.get(uid));
        removals.find(|removal| removal.settled)
    }

    /// What has changed since it was last asked: what is gone, and what is of no interest any more.
    pub fn take_unstored(&mut self) -> Vec<(ClusterUid, Option<ClusterRemoval>)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed
            .map(|uid| {
                let removal = self.removed.get(&uid).cloned();
                (uid, removal)
            })
            .collect()
    }
}

fn is_due(removal: &ClusterRemoval, grace: Duration, now: Timestamp) -> bool {
    Cluster::is_pod(&removal.selector) || now.since(removal.at) >= grace
}

impl Registry {
    /// The credentials that are bound to an object and are not ended yet.
    pub fn bound_to(
        &self,
        uid: &ClusterUid,
        now: Timestamp,
    ) -> Vec<(Fingerprint, Option<Selector>)> {
        let bound = self.credentials().filter(|entry| {
            let bound = entry.credential.bound.as_deref();
            bound.is_some_and(|bound| bound.is_to(uid))
        });
        let live = bound.filter(|entry| {
            let state = self.standing(entry, None, now).state;
            matches!(state, CredentialState::Active | CredentialState::Rotating)
        });
        live.map(|entry| {
            let of = &entry.credential;
            (of.fingerprint.clone(), of.subject.clone())
        })
        .collect()
    }

    /// Whether a credential says by uid which service account it is of: then it ends with that one and
    /// with no other of the same name, in another cluster say.
    pub fn is_of_an_account(&self, fingerprint: &Fingerprint) -> bool {
        let entry = self.credential(fingerprint);
        let bound = entry.and_then(|entry| entry.credential.bound.as_deref());
        bound.is_some_and(|bound| bound.account.is_some())
    }

    /// Whether anything here is an identity's: it acted, or a credential names it.
    pub fn concerns(&self, identity: &Selector) -> bool {
        self.identity(identity).is_some()
            || self.credentials().any(|entry| {
                let said = entry.declared.as_ref().and_then(|said| said.owner.as_ref());
                said == Some(identity) || entry.credential.subject.as_ref() == Some(identity)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;
    const GRACE: Duration = Duration::from_secs(3_600);

    fn uid(text: &str) -> ClusterUid {
        text.parse().unwrap()
    }

    fn due(cluster: &mut Cluster, now: i64) -> Vec<String> {
        let due = cluster.due(GRACE, Timestamp(now)).into_iter();
        due.map(|of| of.uid.to_string()).collect()
    }

    #[test]
    fn accounts_wait_and_pods_do_not_and_each_is_due_once() {
        let mut cluster = Cluster::default();
        let account = Selector::kubernetes_account("prod", "api").unwrap();
        let pod = Selector::kubernetes_pod("prod", "api-1").unwrap();
        cluster.removed(&uid("a"), &account, Timestamp(HOUR));
        cluster.removed(&uid("p"), &pod, Timestamp(HOUR));
        let bound = Bound::of(Some(uid("a")), Some(uid("p"))).unwrap();
        assert_eq!(cluster.ended(&bound), None);
        assert_eq!(due(&mut cluster, HOUR), ["p"]);
        assert_eq!(cluster.ended(&bound).unwrap().uid, uid("p"));
        assert_eq!(due(&mut cluster, 2 * HOUR - 1), [""; 0]);
        assert_eq!(due(&mut cluster, 2 * HOUR), ["a"]);
        assert_eq!(due(&mut cluster, 9 * HOUR), [""; 0]);
        let stored = cluster.take_unstored();
        assert!(stored.iter().all(|(_, of)| of.as_ref().unwrap().settled));
        // A daemon that begins anew does not begin this anew.
        let mut next = Cluster::default();
        for (_, removal) in stored {
            next.restore(&removal.unwrap());
        }
        assert_eq!(due(&mut next, 9 * HOUR), [""; 0]);
        assert!(next.ended(&bound).is_some() && next.take_unstored().is_empty());
    }

    #[test]
    fn a_clock_that_is_set_back_ends_nothing_early() {
        let mut cluster = Cluster::default();
        let account = Selector::kubernetes_account("prod", "api").unwrap();
        cluster.removed(&uid("a"), &account, Timestamp(9 * HOUR));
        assert_eq!(due(&mut cluster, HOUR), [""; 0]);
        assert_eq!(due(&mut cluster, 2 * HOUR), ["a"]);
    }

    #[test]
    fn pods_that_come_and_go_drive_out_older_pods_and_no_account() {
        let mut cluster = Cluster::default();
        let account = Selector::kubernetes_account("prod", "api").unwrap();
        let pod = Selector::kubernetes_pod("prod", "job").unwrap();
        cluster.removed(&uid("a"), &account, Timestamp(0));
        for number in 0..=REMEMBERED {
            let at = i64::try_from(number).unwrap();
            cluster.removed(&uid(&format!("p{number}")), &pod, Timestamp(at));
        }
        cluster.due(GRACE, Timestamp(HOUR));
        let is_known = |name: &str| {
            let bound = Bound::of(None, Some(uid(name))).unwrap();
            cluster.ended(&bound).is_some()
        };
        assert!(is_known("a") && is_known("p1") && !is_known("p0"));
        let forgotten: Vec<_> = cluster
            .clone()
            .take_unstored()
            .into_iter()
            .filter(|(_, of)| of.is_none())
            .collect();
        assert_eq!(forgotten, [(uid("p0"), None)]);
    }
}
