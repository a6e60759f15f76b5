//! The daemon's own children. The only ones are those of the self-test, whose acts prove that hooks
//! work and are events of nobody.

use std::collections::HashSet;

use crate::decode::Decoded;
use crate::model::Fact;

/// Most children that are remembered; the self-test has a few at a time.
const MOST: usize = 256;

/// The daemon's children and theirs.
pub(super) struct Family {
    daemon: u32,
    children: HashSet<u32>,
}

impl Family {
    pub(super) fn new(daemon: u32) -> Self {
        Self {
            daemon,
            children: HashSet::new(),
        }
    }

    /// Whether this is an act of one of them.
    pub(super) fn is_own(&mut self, decoded: &Decoded) -> bool {
        let Some(task) = decoded.task() else {
            return false;
        };
        let parent = task.ppid;
        let own = parent == self.daemon
            || self.children.contains(&parent)
            || self.children.contains(&task.pid);
        if !own {
            return false;
        }
        if matches!(decoded, Decoded::Fact(record) if matches!(record.fact, Fact::Exit { .. })) {
            self.children.remove(&task.pid);
        } else {
            if self.children.len() >= MOST {
                self.children.clear();
            }
            self.children.insert(task.pid);
        }
        true
    }
}
