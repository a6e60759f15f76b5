//! Writes that wait for their transaction, rows of the same key merged.

use std::collections::HashMap;

use super::Write;
use crate::model::{Selector, UsageKey};

/// Writes in the order in which they came, except that a later row of the usage map or of the
/// identities takes part in the one that waits already.
#[derive(Debug, Default)]
pub(super) struct Pending {
    writes: Vec<Write>,
    usage: HashMap<UsageKey, usize>,
    identities: HashMap<Selector, usize>,
}

impl Pending {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// All that wait.
    pub(super) fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Takes all out.
    pub(super) fn take(&mut self) -> Vec<Write> {
        self.usage.clear();
        self.identities.clear();
        std::mem::take(&mut self.writes)
    }

    /// Adds one, unless it needs a place of its own and `capacity` are taken. Says whether it did.
    pub(super) fn add(&mut self, write: Write, capacity: usize) -> bool {
        let write = match self.merge(write) {
            Some(write) => write,
            None => return true,
        };
        if self.writes.len() >= capacity {
            return false;
        }
        let place = self.writes.len();
        match &write {
            Write::Usage(usage) => {
                self.usage.insert(usage.key.clone(), place);
            }
            Write::IdentitySeen { selector, .. } => {
                self.identities.insert(selector.clone(), place);
            }
            _ => {}
        }
        self.writes.push(write);
        true
    }

    /// Gives back what has nothing to be merged with. Merges as the database itself would.
    fn merge(&mut self, write: Write) -> Option<Write> {
        let place = match &write {
            Write::Usage(usage) => self.usage.get(&usage.key),
            Write::IdentitySeen { selector, .. } => self.identities.get(selector),
            _ => None,
        };
        let waiting = place.and_then(|place| self.writes.get_mut(*place));
        match (waiting, write) {
            (Some(Write::Usage(old)), Write::Usage(new)) => {
                old.first = old.first.min(new.first);
                old.last = old.last.max(new.last);
                old.count = old.count.max(new.count);
                None
            }
            (
                Some(Write::IdentitySeen {
                    first: old_first,
                    last: old_last,
                    ..
                }),
                Write::IdentitySeen { first, last, .. },
            ) => {
                *old_first = first.min(*old_first);
                *old_last = last.max(*old_last);
                None
            }
            (_, write) => Some(write),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Mode, Store, samples};
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn merging_changes_nothing_that_is_stored(writes in samples::writes(40)) {
            let plain = tempfile::tempdir().unwrap();
            let merged = tempfile::tempdir().unwrap();
            let mut plain = Store::open(plain.path(), Mode::ReadWrite).unwrap();
            let mut merged = Store::open(merged.path(), Mode::ReadWrite).unwrap();
            let mut pending = Pending::default();
            for write in &writes {
                prop_assert!(pending.add(write.clone(), usize::MAX));
            }
            prop_assert!(pending.len() <= writes.len());
            plain.write(&writes).unwrap();
            merged.write(&pending.take()).unwrap();
            prop_assert_eq!(plain.load().unwrap(), merged.load().unwrap());
            prop_assert!(pending.is_empty());
        }
    }

    #[test]
    fn a_full_list_still_takes_what_merges() {
        let mut pending = Pending::default();
        let seen = |name: &str, last| Write::IdentitySeen {
            selector: Selector::unix_user(name),
            first: crate::model::Timestamp(1),
            last: crate::model::Timestamp(last),
        };
        assert!(pending.add(seen("a", 2), 1));
        assert!(!pending.add(seen("b", 2), 1));
        assert!(pending.add(seen("a", 9), 1));
        assert_eq!(pending.writes(), [seen("a", 9)]);
    }
}
