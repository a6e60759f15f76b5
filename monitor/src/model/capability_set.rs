//! A set of the kernel's capabilities (capabilities(7)).

use serde::{Deserialize, Serialize};

/// Capabilities as the kernel keeps them: bit N is capability N.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    /// The one that stands for most of what root may do.
    pub const SYS_ADMIN: Self = Self(1 << 21);

    /// The set of one; empty for a number that no set has room for.
    pub fn of(number: u8) -> Self {
        Self(1u64.checked_shl(u32::from(number)).unwrap_or(0))
    }

    /// Those of this set that have a name. Kernels before 6.3 set bits for capabilities that they
    /// do not have.
    #[must_use]
    pub fn known(self) -> Self {
        let known = caps::all();
        Self(known.iter().fold(0, |set, of| set | of.bitmask()) & self.0)
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of this set that are not in another.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those that are in both.
    #[must_use]
    pub fn shared_with(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each as a set of its own, in the order of their numbers.
    pub fn each(self) -> impl Iterator<Item = Self> {
        (0..64)
            .map(|number| Self(1 << number))
            .filter(move |one| self.0 & one.0 != 0)
    }

    /// Their names in the order of their numbers: `CAP_NET_BIND_SERVICE`.
    pub fn names(self) -> Vec<String> {
        let mut named: Vec<_> = caps::all()
            .into_iter()
            .filter(|of| self.0 & of.bitmask() != 0)
            .collect();
        named.sort_by_key(caps::Capability::index);
        named.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_the_order_of_numbers_and_unknown_ones_have_none() {
        let set = CapabilitySet(1 << 10 | 1 << 0 | 1 << 63);
        assert_eq!(set.names(), ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"]);
        assert_eq!(set.known(), CapabilitySet(1 << 10 | 1));
        assert_eq!(set.each().count(), 3);
        assert_eq!(CapabilitySet::SYS_ADMIN.names(), ["CAP_SYS_ADMIN"]);
        assert!(CapabilitySet::of(64).is_empty());
        assert!(CapabilitySet::of(63).known().is_empty());
        assert_eq!(CapabilitySet(u64::MAX).known().names().len(), 41);
    }
}
