//! How many events were lost. The kernel tells it in two ways: each socket counts what found no
//! room in it, and each CPU numbers its events, also those for which there was no memory. The
//! numbers say nothing where the kernel sorts events out: those have numbers too.

use std::collections::HashMap;

/// Numbers further ahead than this are behind.
const AHEAD: u32 = 1 << 31;

/// What was lost, of one socket.
#[derive(Debug, Default)]
pub(super) struct Losses {
    expected: HashMap<u32, u32>,
    last_drops: u32,
    /// Since the stream was last whole or sorted out.
    drops: u64,
    gaps: u64,
    /// Before that.
    earlier: u64,
}

impl Losses {
    /// With the socket's count of this moment.
    pub(super) fn new(drops: u32) -> Self {
        Self {
            last_drops: drops,
            ..Self::default()
        }
    }

    /// The stream begins, or ceases, to hold all events of all CPUs.
    pub(super) fn begin(&mut self) {
        self.earlier = self.total();
        (self.drops, self.gaps) = (0, 0);
        self.expected.clear();
    }

    /// A message of a whole stream.
    pub(super) fn message(&mut self, cpu: u32, sequence: u32) {
        let next = sequence.wrapping_add(1);
        if let Some(expected) = self.expected.insert(cpu, next) {
            let gap = sequence.wrapping_sub(expected);
            if gap < AHEAD {
                self.gaps += u64::from(gap);
            }
        }
    }

    /// The socket's count.
    pub(super) fn socket(&mut self, drops: u32) {
        self.drops += u64::from(drops.wrapping_sub(self.last_drops));
        self.last_drops = drops;
    }

    /// All that were lost. The socket's count is there at once; a gap is seen with the next event
    /// of the same CPU, and holds what the socket counted.
    pub(super) fn total(&self) -> u64 {
        self.earlier + self.drops.max(self.gaps)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gap_is_what_is_missing_between_two_numbers() {
        let mut losses = Losses::new(7);
        for sequence in [u32::MAX - 1, u32::MAX, 2, 3] {
            losses.message(0, sequence);
        }
        losses.message(1, 900);
        losses.message(1, 901);
        assert_eq!(losses.total(), 2);
        losses.socket(8);
        assert_eq!(losses.total(), 2, "one of them is the socket's");
        losses.socket(12);
        assert_eq!(losses.total(), 5);
        losses.begin();
        losses.message(0, 4_000);
        losses.socket(13);
        assert_eq!(losses.total(), 6);
    }

    proptest! {
        #[test]
        fn gaps_and_messages_add_up(
            first in any::<u32>(),
            kept in proptest::collection::vec((0u32..4, any::<bool>()), 0..300),
        ) {
            let mut losses = Losses::new(0);
            let mut next = [first; 4];
            let (mut lost, mut pending) = (0u64, [None::<u64>; 4]);
            for (cpu, kept) in kept {
                let at = cpu as usize;
                if kept {
                    losses.message(cpu, next[at]);
                    lost += pending[at].replace(0).unwrap_or(0);
                } else if let Some(pending) = &mut pending[at] {
                    *pending += 1;
                }
                next[at] = next[at].wrapping_add(1);
            }
            prop_assert_eq!(losses.total(), lost);
        }
    }
}
