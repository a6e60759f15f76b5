//! Which identity is spoken for when, so that what is found can be told apart.

use monitor::model::Timestamp;

/// What each player of a host is taken for.
#[derive(Debug, Default)]
pub(crate) struct Busy(Vec<(usize, Timestamp, Timestamp)>);

impl Busy {
    /// Takes a player for a time, unless it is taken.
    pub(crate) fn take(&mut self, player: usize, from: Timestamp, to: Timestamp) -> bool {
        let mut taken = self.0.iter();
        let is_free = !taken.any(|(of, begin, end)| *of == player && from < *end && *begin < to);
        if is_free {
            self.hold(player, from, to);
        }
        is_free
    }

    /// Takes a player for a time, whatever else it is taken for.
    pub(crate) fn hold(&mut self, player: usize, from: Timestamp, to: Timestamp) {
        self.0.push((player, from, to));
    }
}
