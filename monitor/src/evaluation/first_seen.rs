//! The rule that everybody has: what an identity never connected to before is an alert. It is what a
//! detector has to beat.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::event::Event;
use crate::model::{Protocol, Selector};

/// Most of what is remembered.
const MOST: usize = 2_000_000;

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct FirstSeen {
    seen: BTreeSet<(Selector, SocketAddr, Protocol)>,
}

impl FirstSeen {
    /// Whether an event is the first of its kind. Where there is no room to remember it, it is, again and
    /// again: that is what the rule costs then.
    pub(super) fn is_new(&mut self, event: &Event) -> bool {
        let key = (event.identity.clone(), event.destination, event.protocol);
        if self.seen.len() < MOST {
            self.seen.insert(key)
        } else {
            !self.seen.contains(&key)
        }
    }
}
