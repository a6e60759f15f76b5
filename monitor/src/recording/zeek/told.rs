//! Connections one after another in the order of time, though each is told of twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::connection::Connection;
use crate::model::{Flow, Timestamp};

/// Flows in the order of time. What ends in the moment in which another begins comes first.
pub(super) struct Told {
    /// By their beginnings.
    connections: Vec<Connection>,
    /// How many have begun.
    begun: usize,
    /// Those of them that go on, by their ends.
    open: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

impl Told {
    pub(super) fn new(mut connections: Vec<Connection>) -> Self {
        connections.sort_by_key(|of| of.begin);
        Self {
            connections,
            begun: 0,
            open: BinaryHeap::new(),
        }
    }

    /// When the next flow is told.
    pub(super) fn next_time(&self) -> Option<Timestamp> {
        let begins = self.connections.get(self.begun).map(|of| of.begin);
        let ends = self.open.peek().map(|Reverse((end, _))| *end);
        match (begins, ends) {
            (Some(begins), Some(ends)) => Some(begins.min(ends)),
            (one, other) => one.or(other),
        }
    }
}

impl Iterator for Told {
    type Item = (Timestamp, Flow);

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_time()?;
        if let Some(Reverse((end, index))) = self.open.peek()
            && *end == next
        {
            let ended = self.connections.get(*index)?.ended();
            self.open.pop();
            return ended;
        }
        let index = self.begun;
        let of = self.connections.get(index)?;
        self.begun += 1;
        if let Some(rest) = of.rest {
            self.open.push(Reverse((rest.end, index)));
        }
        Some((of.begin, of.flow.clone()))
    }
}
