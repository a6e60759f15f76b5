//! A memory of what has left a table: a Bloom filter of two generations (Bloom, 1970), so that it
//! forgets what was not seen for long and never fills.

use serde::{Deserialize, Serialize};

/// Bits of a generation.
const BITS: u32 = 2_048;
/// Words of it.
const WORDS: usize = (BITS / 64) as usize;
/// Bits that one entry sets. With [`MOST`] entries 1 in 100 is taken for one that is there.
const HASHES: u32 = 4;
/// Entries of a generation.
const MOST: u16 = 192;

/// The filter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Tail {
    /// Empty, or [`WORDS`] words: most identities never fill their table.
    young: Vec<u64>,
    old: Vec<u64>,
    entries: u16,
}

fn bits(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    // Two hashes make all (Kirsch and Mitzenmacher, 2006).
    #[expect(clippy::cast_possible_truncation, reason = "both halves are meant")]
    let (first, second) = (hash as u32, (hash >> 32) as u32 | 1);
    (0..HASHES).map(move |at| {
        let bit = first.wrapping_add(at.wrapping_mul(second)) % BITS;
        ((bit / 64) as usize, 1 << (bit % 64))
    })
}

fn holds(words: &[u64], hash: u64) -> bool {
    !words.is_empty()
        && bits(hash).all(|(word, bit)| words.get(word).is_some_and(|of| of & bit != 0))
}

impl Tail {
    pub(super) fn heap(&self) -> usize {
        (self.young.capacity() + self.old.capacity()) * size_of::<u64>()
    }

    pub(super) fn is_sound(&self) -> bool {
        [&self.young, &self.old]
            .iter()
            .all(|words| words.is_empty() || words.len() == WORDS)
    }

    pub(super) fn has(&self, hash: u64) -> bool {
        holds(&self.young, hash) || holds(&self.old, hash)
    }

    pub(super) fn add(&mut self, hash: u64) {
        if holds(&self.young, hash) {
            return;
        }
        if self.entries >= MOST {
            self.old = std::mem::take(&mut self.young);
            self.entries = 0;
        }
        self.young.resize(WORDS, 0);
        for (word, bit) in bits(hash) {
            if let Some(of) = self.young.get_mut(word) {
                *of |= bit;
            }
        }
        self.entries += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::hash;

    #[test]
    fn what_was_put_in_is_there_and_little_else() {
        let mut tail = Tail::default();
        assert!(!tail.has(0) && !tail.has(u64::MAX));
        (0..MOST).for_each(|at| tail.add(hash(&at)));
        assert!((0..MOST).all(|at| tail.has(hash(&at))));
        let wrong = (10_000_u32..20_000).filter(|at| tail.has(hash(at))).count();
        assert!(wrong < 200, "{wrong} of 10,000");
    }

    #[test]
    fn the_oldest_are_forgotten_and_it_never_fills() {
        let mut tail = Tail::default();
        for at in 0..10_000_u32 {
            tail.add(hash(&at));
            assert!(tail.has(hash(&at)));
        }
        assert!(tail.has(hash(&9_800_u32)));
        let kept = (0..1_000_u32).filter(|at| tail.has(hash(at))).count();
        assert!(kept < 60, "{kept}");
    }
}
