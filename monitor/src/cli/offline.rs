//! What the database holds, as a daemon would show it: for clients where no daemon runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::control::protocol::{CredentialView, IdentityView};
use crate::model::{
    Credential, CredentialKind, CredentialState, Fingerprint, RegistryChange, Selector, Target,
    Timestamp,
};
use crate::storage::Snapshot;

/// The latest word about something, and the latest owner that was named.
#[derive(Default)]
struct Words<'a> {
    latest: Option<(Timestamp, &'a RegistryChange)>,
    owner: Option<&'a Selector>,
}

impl<'a> Words<'a> {
    /// From the history, oldest first.
    fn about(snapshot: &'a Snapshot, concerns: impl Fn(&Target) -> bool) -> Self {
        let mut words = Self::default();
        for (time, change) in &snapshot.changes {
            if concerns(&change.target) {
                words.latest = Some((*time, change));
                words.owner = change.owner.as_ref().or(words.owner);
            }
        }
        words
    }

    fn state(&self) -> CredentialState {
        self.latest
            .map_or(CredentialState::Active, |(_, change)| change.state)
    }

    /// Since when, by whom and why; nothing of that where it is active.
    fn retirement(&self) -> (Option<Timestamp>, Option<String>, Option<String>) {
        match self.latest {
            Some((time, change)) if change.state != CredentialState::Active => (
                Some(change.since.unwrap_or(time)),
                Some(change.by.clone()),
                change.reason.clone(),
            ),
            _ => (None, None, None),
        }
    }
}

/// One row a credential and kind, with the state that it has at `now`.
pub(super) fn credentials(snapshot: &Snapshot, now: Timestamp) -> Vec<CredentialView> {
    let mut known: BTreeMap<(Fingerprint, CredentialKind), (Option<Credential>, Vec<PathBuf>)> =
        BTreeMap::new();
    for (_, file) in &snapshot.files {
        for credential in &file.credentials {
            let key = (credential.fingerprint.clone(), credential.kind);
            let (held, paths) = known.entry(key).or_default();
            *held = Some(credential.clone());
            paths.push(file.path.clone());
        }
    }
    for (_, credential) in &snapshot.gone {
        let key = (credential.fingerprint.clone(), credential.kind);
        known.insert(key, (Some(credential.clone()), Vec::new()));
    }
    // Declared by fingerprint, and never found: nothing else is known of it.
    for (_, change) in &snapshot.changes {
        if let Target::Credential(fingerprint) = &change.target
            && !known.keys().any(|(found, _)| found == fingerprint)
        {
            known.insert(
                (fingerprint.clone(), CredentialKind::Opaque),
                (None, Vec::new()),
            );
        }
    }
    known
        .into_iter()
        .map(|((fingerprint, kind), (credential, paths))| {
            let words = Words::about(snapshot, |target| match target {
                Target::Credential(of) => *of == fingerprint,
                Target::Path(path) => paths.contains(path),
                Target::Identity(_) => false,
            });
            let expires = credential.as_ref().and_then(|held| held.expires);
            let state = match words.state() {
                CredentialState::Active if expires.is_some_and(|end| end <= now) => {
                    CredentialState::Expired
                }
                state => state,
            };
            let (retired_at, retired_by, reason) = words.retirement();
            let used = || {
                snapshot
                    .usage
                    .iter()
                    .filter(|row| row.key.fingerprint == fingerprint)
            };
            CredentialView {
                kind,
                label: credential.as_ref().and_then(|held| held.label.clone()),
                state,
                retired_at,
                retired_by,
                reason,
                owner: words
                    .owner
                    .or(credential.as_ref().and_then(|held| held.subject.as_ref()))
                    .cloned(),
                issued: credential.as_ref().and_then(|held| held.issued),
                expires,
                last_used: used().map(|row| row.last).max(),
                // A connection after a read is part of the use that the read is.
                uses: used()
                    .filter(|row| row.key.destination.is_empty())
                    .fold(0, |sum, row| sum.saturating_add(row.count)),
                paths,
                fingerprint,
            }
        })
        .collect()
}

/// One row an identity that was seen, that used something or that was spoken of.
pub(super) fn identities(snapshot: &Snapshot) -> Vec<IdentityView> {
    let seen: BTreeMap<_, _> = snapshot
        .identities
        .iter()
        .map(|(selector, first, last)| (selector, (*first, *last)))
        .collect();
    let mut used: BTreeMap<&Selector, BTreeSet<&Fingerprint>> = BTreeMap::new();
    for row in &snapshot.usage {
        used.entry(&row.key.identity)
            .or_default()
            .insert(&row.key.fingerprint);
    }
    let declared = snapshot
        .changes
        .iter()
        .filter_map(|(_, change)| match &change.target {
            Target::Identity(selector) => Some(selector),
            _ => None,
        });
    let all: BTreeSet<&Selector> = declared
        .chain(seen.keys().copied())
        .chain(used.keys().copied())
        .collect();
    all.into_iter()
        .map(|selector| {
            let words = Words::about(
                snapshot,
                |target| matches!(target, Target::Identity(of) if of == selector),
            );
            let (retired_at, retired_by, reason) = words.retirement();
            IdentityView {
                selector: selector.clone(),
                state: words.state(),
                retired_at,
                retired_by,
                reason,
                first_seen: seen.get(selector).map(|(first, _)| *first),
                last_seen: seen.get(selector).map(|(_, last)| *last),
                credentials_used: used
                    .get(selector)
                    .map_or(0, |fingerprints| fingerprints.len() as u64),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FileId, LocatedFile, Usage, UsageKey};

    fn word(target: Target, state: CredentialState) -> RegistryChange {
        RegistryChange {
            target,
            state,
            since: None,
            by: "ana".to_owned(),
            reason: Some("why".to_owned()),
            owner: None,
        }
    }

    fn located(path: &str, fingerprint: &str, expires: Option<i64>) -> LocatedFile {
        LocatedFile {
            file: FileId::default(),
            path: path.into(),
            uid: 0,
            gid: 0,
            mode: 0o600,
            modified: Timestamp(0),
            credentials: vec![Credential {
                fingerprint: Fingerprint::new(fingerprint),
                kind: CredentialKind::SshPrivateKey,
                label: None,
                subject: None,
                issued: None,
                expires: expires.map(Timestamp),
            }],
        }
    }

    #[test]
    fn states_follow_the_latest_word_the_path_and_the_end_date() {
        let by_fingerprint = |name| Target::Credential(Fingerprint::new(name));
        let used = |identity: &str, destination: &str, last, count| Usage {
            key: UsageKey {
                fingerprint: Fingerprint::new("a"),
                identity: identity.parse().unwrap(),
                exe: String::new(),
                destination: destination.to_owned(),
            },
            first: Timestamp(1),
            last: Timestamp(last),
            count,
        };
        let snapshot = Snapshot {
            changes: [
                word(by_fingerprint("a"), CredentialState::Retired),
                word(by_fingerprint("back"), CredentialState::Retired),
                word(by_fingerprint("back"), CredentialState::Active),
                word(Target::Path("/bait".into()), CredentialState::Decoy),
                word(by_fingerprint("unseen"), CredentialState::Revoked),
                word(
                    Target::Identity("unix:user:old".parse().unwrap()),
                    CredentialState::Retired,
                ),
            ]
            .into_iter()
            .map(|change| (Timestamp(5), change))
            .collect(),
            files: [
                located("/1", "a", None),
                located("/2", "a", None),
                located("/back", "back", None),
                located("/bait", "bait", None),
                located("/late", "late", Some(10)),
                located("/soon", "soon", Some(11)),
            ]
            .into_iter()
            .map(|file| (Timestamp(1), file))
            .collect(),
            usage: vec![
                used("unix:user:ana", "", 7, 3),
                used("unix:user:ana", "192.0.2.1:22", 8, 1),
            ],
            ..Snapshot::default()
        };
        let views = credentials(&snapshot, Timestamp(10));
        let states: Vec<_> = views
            .iter()
            .map(|view| (view.fingerprint.as_str(), view.state.as_str()))
            .collect();
        assert_eq!(
            states,
            [
                ("a", "retired"),
                ("back", "active"),
                ("bait", "decoy"),
                ("late", "expired"),
                ("soon", "active"),
                ("unseen", "revoked"),
            ]
        );
        assert_eq!(views[0].paths.len(), 2);
        assert_eq!(views[0].retired_by.as_deref(), Some("ana"));
        assert_eq!(views[0].last_used, Some(Timestamp(8)));
        assert_eq!(views[0].uses, 3);
        assert_eq!(views[1].reason, None);

        let rows = identities(&snapshot);
        let rows: Vec<_> = rows
            .iter()
            .map(|row| (row.selector.as_str(), row.state, row.credentials_used))
            .collect();
        assert_eq!(
            rows,
            [
                ("unix:user:ana", CredentialState::Active, 1),
                ("unix:user:old", CredentialState::Retired, 0),
            ]
        );
    }
}
