//! Tells of accounts that are not as they were: since the last look, or since the last daemon ran.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::credential::{AccountFiles, accounts};
use crate::model::{AccountChange, AccountState, Fact};
use crate::storage::Keep;

/// What a file looks like from outside. A change of content cannot leave all of it as it was.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// The accounts as they were last seen.
pub(super) struct Accounts {
    known: BTreeMap<String, AccountState>,
    stamps: [Stamp; 2],
}

impl Accounts {
    /// Goes on from what was stored. The first look ever has nothing to compare with.
    pub(super) fn new(stored: &[(String, AccountState)]) -> Self {
        Self {
            known: stored.iter().cloned().collect(),
            stamps: [None; 2],
        }
    }

    /// What has changed, with what is to be stored. A stat of two files where nothing has.
    pub(super) fn look(&mut self) -> Vec<(Fact, Keep)> {
        let files = AccountFiles::of_host();
        let stamps = [files.passwd, files.shadow].map(stamp);
        if stamps == self.stamps {
            return Vec::new();
        }
        let is_first = self.stamps == [None; 2];
        match accounts(files) {
            Ok(now) => {
                self.stamps = stamps;
                let before = std::mem::replace(&mut self.known, now);
                changes(&before, &self.known, is_first)
            }
            // Between two renames a file may be missing. It is looked at again.
            Err(error) => {
                tracing::debug!(%error, "the accounts of this host cannot be read now");
                Vec::new()
            }
        }
    }

    /// All of them, for the first look ever.
    pub(super) fn all(&self) -> Vec<Keep> {
        let known = self.known.iter();
        known
            .map(|(name, state)| Keep::Account(name.clone(), Some(state.clone())))
            .collect()
    }
}

fn changes(
    before: &BTreeMap<String, AccountState>,
    now: &BTreeMap<String, AccountState>,
    while_unwatched: bool,
) -> Vec<(Fact, Keep)> {
    let names: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let changed = names.into_iter().filter_map(|name| {
        let (was, is) = (before.get(name), now.get(name));
        (was != is).then(|| {
            let uid_is_free = was.is_some_and(|was| now.values().all(|other| other.uid != was.uid));
            let change = AccountChange {
                name: name.clone(),
                before: was.cloned(),
                after: is.cloned(),
                uid_is_free,
                while_unwatched,
            };
            (
                Fact::Account(change),
                Keep::Account(name.clone(), is.cloned()),
            )
        })
    });
    changed.collect()
}

fn stamp(path: &Path) -> Stamp {
    let of = fs::metadata(path).ok()?;
    Some((of.dev(), of.ino(), of.len(), of.ctime(), of.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PasswordField, ShellClass};

    fn state(uid: u32, password: PasswordField) -> AccountState {
        AccountState {
            uid,
            password,
            shell: ShellClass::None,
            expires: None,
            is_system: true,
        }
    }

    #[test]
    fn what_differs_is_told_with_both_and_a_uid_that_others_have_is_not_free() {
        let all = |of: &[(&str, AccountState)]| {
            let named = of.iter().map(|(name, of)| ((*name).to_owned(), of.clone()));
            named.collect::<BTreeMap<_, _>>()
        };
        let (locked, set) = (PasswordField::Locked, PasswordField::Set);
        let before = all(&[
            ("a", state(901, locked)),
            ("gone", state(902, locked)),
            ("twin", state(903, locked)),
            ("other", state(903, locked)),
        ]);
        let now = all(&[("a", state(901, set)), ("other", state(903, locked))]);
        let told = changes(&before, &now, true);
        let told: Vec<_> = told
            .iter()
            .map(|(fact, _)| match fact {
                Fact::Account(of) => (&*of.name, of.after.is_some(), of.uid_is_free),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            told,
            [
                ("a", true, false),
                ("gone", false, true),
                ("twin", false, false)
            ]
        );
        assert!(changes(&now, &now, false).is_empty());
    }
}
