//! What was known before, as facts: from the database and from the registry's files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::kept;
use crate::config::{ConfigError, load_registry};
use crate::model::{CredentialState, Fact, Record, RegistryChange, Target, Timestamp};
use crate::storage::Snapshot;

/// A word of the registry's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declaration {
    /// The file: there and nowhere else the target is restored.
    pub(super) file: PathBuf,
    /// What it says.
    pub(super) change: RegistryChange,
}

/// What the registry's files declare.
pub(super) type DeclaredIn = HashMap<Target, Declaration>;

/// A database's content, in the order in which it came about.
pub(super) fn facts(snapshot: &Snapshot) -> Vec<Record> {
    let mut records = Vec::new();
    for (time, located) in &snapshot.files {
        records.push(Record {
            time: *time,
            fact: Fact::Located(located.clone()),
        });
    }
    for (time, credential) in &snapshot.gone {
        records.push(Record {
            time: *time,
            fact: Fact::Known(credential.clone()),
        });
    }
    // Before the word of the same moment that it led to.
    for succession in &snapshot.successions {
        records.push(Record {
            time: succession.began,
            fact: Fact::Succeeded(succession.clone()),
        });
    }
    for (time, change) in &snapshot.changes {
        records.push(Record {
            time: *time,
            fact: Fact::Registry(change.clone()),
        });
    }
    let now = records.iter().map(|record| record.time).max();
    let now = now.unwrap_or_default();
    let usage = snapshot.usage.iter().cloned().map(Fact::Usage);
    let identities = snapshot.identities.iter();
    let identities = identities.map(|(selector, first, last)| Fact::Identity {
        selector: selector.clone(),
        first: *first,
        last: *last,
    });
    let rhythms = snapshot.rhythms.iter().cloned().map(Fact::Rhythm);
    let found = snapshot.first_found.iter().cloned();
    let found = found.map(|(fingerprint, at)| Fact::FirstFound { fingerprint, at });
    let unwatched = snapshot.unwatched.iter();
    let unwatched = unwatched.map(|&(from, to)| Fact::Unwatched { from, to });
    let learning = snapshot.learning.iter().cloned().map(Fact::Learning);
    let users = snapshot.users.iter().cloned().map(Fact::User);
    let exceptions = snapshot.exceptions.iter().cloned().map(Fact::Allowed);
    records.extend(
        usage
            .chain(identities)
            .chain(rhythms)
            .chain(found)
            .chain(unwatched)
            .chain(learning)
            .chain(users)
            .chain(exceptions)
            .chain(kept::facts(snapshot))
            .map(|fact| Record { time: now, fact }),
    );
    records.sort_by_key(|record| record.time);
    records
}

/// What the registry's files say now, and what they said before and do not any more. Only what
/// differs from the latest word is a change: files are read at every start.
///
/// # Errors
/// All mistakes of all files.
pub(super) fn declared(
    directory: &Path,
    history: &[(Timestamp, RegistryChange)],
) -> Result<(Vec<RegistryChange>, DeclaredIn), ConfigError> {
    let mut latest: HashMap<&Target, &RegistryChange> = HashMap::new();
    // What follows from the facts is nobody's word, and takes none back.
    for (_, change) in history.iter().filter(|(_, of)| !of.is_derived()) {
        latest.insert(&change.target, change);
    }
    let mut declared_in = DeclaredIn::new();
    let mut changes = Vec::new();
    for (file, change) in load_registry(directory)? {
        if latest.get(&change.target) != Some(&&change) {
            changes.push(change.clone());
        }
        declared_in.insert(change.target.clone(), Declaration { file, change });
    }
    for (target, before) in latest {
        let was_a_files = RegistryChange::is_by_file(&before.by);
        if was_a_files
            && before.state != CredentialState::Active
            && !declared_in.contains_key(target)
        {
            changes.push(RegistryChange {
                state: CredentialState::Active,
                since: None,
                reason: Some("no longer declared".to_owned()),
                ..before.clone()
            });
        }
    }
    changes.sort_by(|a, b| a.target.cmp(&b.target));
    Ok((changes, declared_in))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(changes: &[RegistryChange]) -> Vec<(Timestamp, RegistryChange)> {
        let times = (0..).map(Timestamp);
        times.zip(changes.iter().cloned()).collect()
    }

    #[test]
    fn files_change_only_what_they_changed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("legacy.toml");
        let text = "[[identity]]\nselector = \"unix:user:svc\"\nstate = \"retired\"\n";
        std::fs::write(&file, text).unwrap();
        let (first, declared_in) = declared(dir.path(), &[]).unwrap();
        assert_eq!(first.len(), 1);
        let word = declared_in.get(&first[0].target).unwrap();
        assert_eq!((&word.file, &word.change), (&file, &first[0]));
        let (again, _) = declared(dir.path(), &history(&first)).unwrap();
        assert!(again.is_empty(), "{again:?}");
        std::fs::remove_file(&file).unwrap();
        let (gone, _) = declared(dir.path(), &history(&first)).unwrap();
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].state, CredentialState::Active);
    }
}
