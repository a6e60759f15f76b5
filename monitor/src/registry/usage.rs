//! The usage map: credential × identity × executable × destination, with first use, last use and
//! count.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::model::{Fingerprint, Selector, Timestamp, Usage, UsageKey};

/// Most rows. Beyond it the row that was used longest ago makes room: a host with more distinct
/// users of credentials than this is being scanned, and that is an alert of its own.
const CAPACITY: usize = 100_000;

/// The usage map.
#[derive(Debug, Clone, Default)]
pub struct UsageMap {
    rows: BTreeMap<Fingerprint, BTreeMap<UsageKey, Usage>>,
    len: usize,
}

/// All uses of one credential.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UseSummary {
    /// The first that was seen.
    pub first: Option<Timestamp>,
    /// The latest.
    pub last: Option<Timestamp>,
    /// How many.
    pub count: u64,
    /// Whose the latest was.
    pub last_by: Option<Selector>,
    /// By what program; empty where it could not be known.
    pub last_exe: String,
    /// By how many identities.
    pub users: usize,
}

impl UsageMap {
    /// Notes a number of uses and returns their row.
    pub fn note(&mut self, key: UsageKey, uses: u64, now: Timestamp) -> &Usage {
        if self.len >= CAPACITY && !self.knows(&key) {
            self.make_room();
        }
        let of = self.rows.entry(key.fingerprint.clone()).or_default();
        let row = match of.entry(key) {
            Entry::Occupied(row) => row.into_mut(),
            Entry::Vacant(place) => {
                self.len += 1;
                let key = place.key().clone();
                place.insert(Usage {
                    key,
                    first: now,
                    last: now,
                    count: 0,
                    name: None,
                })
            }
        };
        row.first = row.first.min(now);
        row.last = row.last.max(now);
        row.count = row.count.saturating_add(uses);
        row
    }

    /// Whether somebody has done the same before.
    pub fn knows(&self, key: &UsageKey) -> bool {
        let of = self.rows.get(&key.fingerprint);
        of.is_some_and(|of| of.contains_key(key))
    }

    /// Whether an identity has used a credential with a program.
    pub fn has_used(&self, credential: &Fingerprint, identity: &Selector, exe: &str) -> bool {
        let mut keys = self
            .rows
            .get(credential)
            .into_iter()
            .flat_map(BTreeMap::keys);
        keys.any(|key| key.identity == *identity && key.exe == exe)
    }

    fn make_room(&mut self) {
        if self.len < CAPACITY {
            return;
        }
        let oldest = self
            .rows()
            .min_by_key(|row| row.last)
            .map(|row| row.key.clone());
        if let Some(key) = oldest
            && let Some(of) = self.rows.get_mut(&key.fingerprint)
            && of.remove(&key).is_some()
        {
            self.len -= 1;
        }
    }

    /// Takes back a stored row.
    pub fn restore(&mut self, row: Usage) {
        let of = self.rows.entry(row.key.fingerprint.clone()).or_default();
        if of.insert(row.key.clone(), row).is_none() {
            self.len += 1;
        }
    }

    /// All rows, by credential.
    pub fn rows(&self) -> impl Iterator<Item = &Usage> {
        self.rows.values().flat_map(BTreeMap::values)
    }

    /// The credential that an identity has read last with a program, of those that are wanted.
    pub fn latest_of(
        &self,
        identity: &Selector,
        exe: &str,
        is_wanted: impl Fn(&Fingerprint) -> bool,
    ) -> Option<&Fingerprint> {
        self.rows()
            .filter(|row| {
                let key = &row.key;
                key.identity == *identity
                    && key.exe == exe
                    && key.destination.is_empty()
                    && is_wanted(&key.fingerprint)
            })
            .max_by_key(|row| row.last)
            .map(|row| &row.key.fingerprint)
    }

    /// When a credential was last read, and how often.
    pub fn last_use(&self, credential: &Fingerprint) -> (Option<Timestamp>, u64) {
        let rows = self
            .rows
            .get(credential)
            .into_iter()
            .flat_map(BTreeMap::values);
        rows.filter(|row| row.key.destination.is_empty())
            .fold((None, 0), |(last, count), row| {
                (last.max(Some(row.last)), count.saturating_add(row.count))
            })
    }
}

impl UsageMap {
    /// All that is known of a credential's uses.
    pub fn summary(&self, credential: &Fingerprint) -> UseSummary {
        let rows = self.rows.get(credential);
        let rows = || {
            let all = rows.into_iter().flat_map(BTreeMap::values);
            all.filter(|row| row.key.destination.is_empty())
        };
        let latest = rows().max_by_key(|row| row.last);
        let users: std::collections::BTreeSet<_> = rows().map(|row| &row.key.identity).collect();
        UseSummary {
            first: rows().map(|row| row.first).min(),
            last: latest.map(|row| row.last),
            count: rows().fold(0, |sum, row| sum.saturating_add(row.count)),
            last_by: latest.map(|row| row.key.identity.clone()),
            last_exe: latest.map(|row| row.key.exe.clone()).unwrap_or_default(),
            users: users.len(),
        }
    }

    /// The credentials that an identity has used.
    pub fn used_by<'a>(&'a self, identity: &'a Selector) -> impl Iterator<Item = &'a Usage> {
        self.rows().filter(move |row| row.key.identity == *identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_uses_and_keeps_first_and_last() {
        let mut map = UsageMap::default();
        let key = |destination: &str| UsageKey {
            fingerprint: Fingerprint::new("x"),
            identity: Selector::unix_user("svc"),
            exe: "/bin/cat".into(),
            destination: destination.into(),
        };
        map.note(key(""), 1, Timestamp(5));
        map.note(key(""), 4, Timestamp(9));
        map.note(key("127.0.0.1:80"), 1, Timestamp(10));
        let row = map.note(key(""), 1, Timestamp(4)).clone();
        assert_eq!(
            (row.first, row.last, row.count),
            (Timestamp(4), Timestamp(9), 6)
        );
        let found = map.last_use(&Fingerprint::new("x"));
        assert_eq!(
            found,
            (Some(Timestamp(9)), 6),
            "connections are not uses of their own"
        );
        assert_eq!(map.rows().count(), 2);
    }
}
