//! Objects of one kind that the cluster has: what differs from what was known before. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{ClusterChange, ClusterUid, Fact, Selector};
use crate::storage::Keep;

/// Longest name of an object or a namespace, in bytes: a DNS subdomain.
const LONGEST_NAME: usize = 253;

/// What the objects are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Service accounts of the whole cluster.
    Account,
    /// Pods of this node.
    Pod,
}

impl Kind {
    /// As the API server calls them.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Account => "serviceaccounts",
            Self::Pod => "pods",
        }
    }

    /// Most that are known at once. A cluster of this size is beyond what Kubernetes is tested for,
    /// and a node's pods are a few hundred.
    fn most(self) -> usize {
        match self {
            Self::Account => 65_536,
            Self::Pod => 4_096,
        }
    }
}

/// One object, as far as it is of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) uid: ClusterUid,
    pub(super) selector: Selector,
}

impl Object {
    /// What the API server says of one; `None` where that is no name or no uid.
    pub(super) fn new(kind: Kind, namespace: &str, name: &str, uid: &str) -> Option<Self> {
        let is_plain =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        let is_name = |of: &str| (1..=LONGEST_NAME).contains(&of.len()) && of.chars().all(is_plain);
        if !is_name(namespace) || !is_name(name) {
            return None;
        }
        let selector = match kind {
            Kind::Account => Selector::kubernetes_account(namespace, name),
            Kind::Pod => Selector::kubernetes_pod(namespace, name),
        };
        Some(Self {
            uid: uid.parse().ok()?,
            selector: selector?,
        })
    }
}

/// What was heard of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// All of them follow.
    Listing,
    /// One is there.
    There(Object),
    /// One is no longer there.
    Gone(Object),
    /// These were all.
    Listed,
    /// Something that is no object.
    Odd,
}

/// What follows from it.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// For the pipeline.
    pub(super) facts: Vec<Fact>,
    /// For the database.
    pub(super) keep: Vec<Keep>,
    /// Nothing is left of what was known: this is another cluster, or one that was made anew, and
    /// what was known says nothing about it.
    pub(super) another_cluster: bool,
}

/// A list that has begun.
#[derive(Debug, Default)]
struct Listing {
    /// Of what was known.
    still: BTreeSet<ClusterUid>,
    news: BTreeMap<ClusterUid, Selector>,
}

/// The objects as they were last heard of.
#[derive(Debug)]
pub(super) struct Objects {
    kind: Kind,
    known: BTreeMap<ClusterUid, Selector>,
    /// No daemon has heard of any before: there is nothing to compare with.
    is_first: bool,
    listing: Option<Listing>,
    left_out: u64,
}

impl Objects {
    /// Goes on from what was stored.
    pub(super) fn new(kind: Kind, stored: impl IntoIterator<Item = Object>) -> Self {
        let stored = stored.into_iter().take(kind.most());
        let known: BTreeMap<_, _> = stored.map(|of| (of.uid, of.selector)).collect();
        Self {
            kind,
            is_first: known.is_empty(),
            known,
            listing: None,
            left_out: 0,
        }
    }

    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// How many were passed over: beyond the most, or no objects.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Takes in what was heard.
    pub(super) fn take(&mut self, heard: Heard) -> Changes {
        let mut changes = Changes::default();
        match heard {
            // A list that did not come to its end says nothing of what is gone.
            Heard::Listing => self.listing = Some(Listing::default()),
            Heard::There(of) => match &mut self.listing {
                Some(listing) if self.known.contains_key(&of.uid) => {
                    listing.still.insert(of.uid);
                }
                Some(listing) if listing.news.len() < self.kind.most() => {
                    listing.news.insert(of.uid, of.selector);
                }
                Some(_) => self.left_out += 1,
                None => self.came(of, true, &mut changes),
            },
            Heard::Gone(of) => {
                self.known.remove(&of.uid);
                changes.facts.push(fact(of, false));
            }
            Heard::Listed => self.listed(&mut changes),
            Heard::Odd => self.left_out += 1,
        }
        changes
    }

    fn came(&mut self, of: Object, is_told: bool, changes: &mut Changes) {
        if self.known.contains_key(&of.uid) {
            return;
        }
        if self.known.len() >= self.kind.most() {
            self.left_out += 1;
            return;
        }
        self.known.insert(of.uid.clone(), of.selector.clone());
        let keep = Keep::ClusterObject(of.uid.clone(), of.selector.clone());
        changes.keep.push(keep);
        // Nothing follows from a pod that is there.
        if is_told && self.kind == Kind::Account {
            changes.facts.push(fact(of, true));
        }
    }

    fn listed(&mut self, changes: &mut Changes) {
        let Some(listing) = self.listing.take() else {
            return;
        };
        let is_first = std::mem::replace(&mut self.is_first, false);
        let gone = self
            .known
            .keys()
            .filter(|uid| !listing.still.contains(*uid));
        let gone: Vec<_> = gone.cloned().collect();
        // Each namespace has an account, so that a cluster never loses all of them. A node can lose
        // all of its pods.
        changes.another_cluster =
            self.kind == Kind::Account && !gone.is_empty() && listing.still.is_empty();
        for uid in gone {
            let Some(selector) = self.known.remove(&uid) else {
                continue;
            };
            if changes.another_cluster {
                changes.keep.push(Keep::ClusterForgotten(uid));
            } else {
                changes.facts.push(fact(Object { uid, selector }, false));
            }
        }
        let is_told = !is_first && !changes.another_cluster;
        for (uid, selector) in listing.news {
            self.came(Object { uid, selector }, is_told, changes);
        }
    }
}

fn fact(of: Object, present: bool) -> Fact {
    Fact::Cluster(ClusterChange {
        selector: of.selector,
        uid: of.uid,
        present,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(kind: Kind, number: u8) -> Object {
        let name = format!("name-{number}");
        Object::new(kind, "prod", &name, &format!("uid-{number}")).unwrap()
    }

    fn told(changes: &Changes) -> Vec<(String, bool)> {
        let facts = changes.facts.iter().map(|fact| match fact {
            Fact::Cluster(of) => (of.uid.to_string(), of.present),
            other => panic!("{other:?}"),
        });
        facts.collect()
    }

    fn list(objects: &mut Objects, numbers: &[u8]) -> Changes {
        objects.take(Heard::Listing);
        for number in numbers {
            let heard = Heard::There(object(objects.kind, *number));
            assert!(objects.take(heard).facts.is_empty());
        }
        objects.take(Heard::Listed)
    }

    fn gone(number: u8) -> (String, bool) {
        (format!("uid-{number}"), false)
    }

    #[test]
    fn a_first_list_tells_nothing_and_a_later_one_what_went() {
        let mut objects = Objects::new(Kind::Account, []);
        let first = list(&mut objects, &[1, 2]);
        assert_eq!((told(&first).len(), first.keep.len()), (0, 2));
        let stored = [1, 2].map(|number| object(Kind::Account, number));
        let mut next = Objects::new(Kind::Account, stored);
        // A list that breaks off is none.
        next.take(Heard::Listing);
        next.take(Heard::There(object(Kind::Account, 2)));
        let second = list(&mut next, &[2, 3]);
        assert_eq!(told(&second), [gone(1), ("uid-3".to_owned(), true)]);
        assert!(!second.another_cluster);
        let last = next.take(Heard::Gone(object(Kind::Account, 3)));
        assert_eq!((told(&last), next.len()), (vec![gone(3)], 1));
    }

    #[test]
    fn a_cluster_that_knows_no_account_of_before_is_another_one() {
        let stored = [1, 2].map(|number| object(Kind::Account, number));
        let mut objects = Objects::new(Kind::Account, stored);
        for none in [&[3, 4][..], &[]] {
            let other = list(&mut objects, none);
            assert!(other.another_cluster && other.facts.is_empty());
            assert_eq!(objects.len(), none.len());
        }
        // The first list of an empty one is nothing special.
        assert!(!list(&mut objects, &[]).another_cluster);
    }

    #[test]
    fn a_node_can_lose_all_of_its_pods() {
        let stored = [1, 2].map(|number| object(Kind::Pod, number));
        let mut objects = Objects::new(Kind::Pod, stored);
        let after = list(&mut objects, &[3]);
        assert_eq!(told(&after), [gone(1), gone(2)]);
        assert!(!after.another_cluster);
    }

    #[test]
    fn more_than_can_be_known_are_counted_and_never_called_gone() {
        let most = Kind::Pod.most();
        let all = |range: std::ops::Range<usize>| {
            range.map(|number| {
                let (name, uid) = (format!("n{number}"), format!("u{number}"));
                Object::new(Kind::Pod, "prod", &name, &uid).unwrap()
            })
        };
        let mut objects = Objects::new(Kind::Pod, all(0..most));
        objects.take(Heard::Listing);
        for of in all(0..most + 7) {
            objects.take(Heard::There(of));
        }
        let changes = objects.take(Heard::Listed);
        assert!(changes.facts.is_empty() && changes.keep.is_empty());
        assert_eq!((objects.len(), objects.left_out()), (most, 7));
    }

    #[test]
    fn what_is_no_name_is_no_object() {
        for (namespace, name, uid) in [
            ("", "a", "u"),
            ("a/b", "a", "u"),
            ("a", "b c", "u"),
            ("a", "\u{1b}[2J", "u"),
            ("a", "b", ""),
            ("a", "b", "u u"),
            ("a", &"b".repeat(254), "u"),
        ] {
            assert_eq!(Object::new(Kind::Account, namespace, name, uid), None);
        }
        for (kind, plural) in [(Kind::Account, "serviceaccounts"), (Kind::Pod, "pods")] {
            assert_eq!(kind.plural(), plural);
            let mut objects = Objects::new(kind, []);
            assert!(objects.take(Heard::Odd).facts.is_empty());
            assert_eq!(objects.left_out(), 1);
        }
    }

    proptest! {
        /// Whatever lists and changes come: what was told gone is what is not there any more of what
        /// was there, each once.
        #[test]
        fn what_is_told_adds_up(
            stored in prop::collection::btree_set(0..8u8, 1..8),
            lists in prop::collection::vec(prop::collection::btree_set(0..8u8, 1..8), 1..6),
        ) {
            let mut objects = Objects::new(Kind::Pod, stored.iter().map(|of| object(Kind::Pod, *of)));
            let mut there = stored;
            for now in lists {
                let numbers: Vec<_> = now.iter().copied().collect();
                let changes = list(&mut objects, &numbers);
                let expected: Vec<_> = there.difference(&now).map(|of| gone(*of)).collect();
                prop_assert_eq!(told(&changes), expected);
                prop_assert_eq!(changes.keep.len(), now.difference(&there).count());
                prop_assert_eq!(objects.len(), now.len());
                there = now;
            }
        }
    }
}
