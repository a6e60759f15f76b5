//! `retire` and `restore` where no daemon runs: the word goes into the database, for a daemon to
//! find.

use std::path::Path;

use anyhow::anyhow;

use super::exposure;
use super::offboard;
use super::restore;
use super::target;
use crate::cli::CommandError;
use crate::config::OffboardConfig;
use crate::control::Request;
use crate::control::protocol::ChangeView;
use crate::credential::FingerprintKey;
use crate::detection::Detector;
use crate::model::{CredentialState, Timestamp};
use crate::registry::{Assessment, Living, Registry, assess};
use crate::storage::{Mode, Snapshot, Store, Write};

/// Makes the change that `request` asks for, in the name of `by`.
///
/// # Errors
/// When the target is unknown, or the database cannot be written.
pub fn change_offline(
    state_dir: &Path,
    request: &Request,
    by: &str,
) -> Result<Vec<ChangeView>, CommandError> {
    let (given, state, reason) = match request {
        Request::Retire { target, reason } => (target, CredentialState::Retired, reason.clone()),
        Request::Restore { target } => (target, CredentialState::Active, None),
        _ => {
            return Err(CommandError::Runtime(anyhow!(
                "this needs a running daemon"
            )));
        }
    };
    let mut store = Store::open(state_dir, Mode::ReadWrite)?;
    let key = FingerprintKey::load_or_create(state_dir).map_err(anyhow::Error::from)?;
    let mut registry = registry(&store.load()?);
    let resolved = target::resolve(given, &registry, &key).map_err(anyhow::Error::from)?;
    let now = Timestamp::now();
    if let Some(located) = &resolved.located {
        registry.locate(located, now);
    }
    let views = resolved
        .targets
        .iter()
        .map(|of| target::view(of, state, &registry, now))
        .collect();
    let mut writes = Vec::new();
    if let Some(located) = resolved.located {
        writes.push(Write::Located(now, located));
    }
    for of in resolved.targets {
        let change = target::change(of, state, by, reason.clone(), &registry);
        writes.push(Write::Change(now, change));
    }
    store.write(&writes)?;
    store.close()?;
    Ok(views)
}

/// Whether something can be deleted, from a database alone: what lives now is not known, and since
/// the daemon ended nothing was watched.
///
/// # Errors
/// When the target is unknown.
pub fn assess_offline(
    state_dir: &Path,
    snapshot: &Snapshot,
    given: Option<&str>,
) -> Result<Vec<Assessment>, CommandError> {
    let key = FingerprintKey::load_or_create(state_dir).map_err(anyhow::Error::from)?;
    let mut registry = registry(snapshot);
    let requirements = offboard::requirements(OffboardConfig::default());
    let now = Timestamp::now();
    let subjects = match given {
        None => offboard::candidates(&registry, requirements, now),
        Some(given) => {
            let resolved = target::resolve(given, &registry, &key).map_err(anyhow::Error::from)?;
            if let Some(located) = &resolved.located {
                registry.locate(located, now);
            }
            resolved.targets
        }
    };
    let living = Living::default();
    let subjects = subjects.iter();
    Ok(subjects
        .map(|subject| assess(&registry, subject, &living, requirements, now))
        .collect())
}

/// The registry that a database holds: by the same facts and rules as a daemon's.
pub fn registry(snapshot: &Snapshot) -> Registry {
    let mut detector = Detector::new(crate::config::DetectionConfig::default());
    for record in restore::facts(snapshot) {
        detector.step(&record);
    }
    let mut registry = detector.state.registry;
    for (_, located) in &snapshot.files {
        if exposure::is_exposed(located) {
            registry.expose(located.file);
        }
    }
    registry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::views;
    use crate::model::{
        Credential, CredentialKind, FileId, Fingerprint, LocatedFile, RegistryChange, Target,
        Usage, UsageKey,
    };

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
                bound: None,
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
            name: None,
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
        let registry = registry(&snapshot);
        let views = views::credentials(&registry, Timestamp(10));
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
        assert_eq!(views[0].last_used, Some(Timestamp(7)));
        assert_eq!(
            views[0].uses, 3,
            "a connection is part of the use that the read is"
        );
        assert_eq!(views[1].reason, None);

        let rows = views::identities(&registry, |_| None);
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
