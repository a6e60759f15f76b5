//! What holds of credentials that are moved, rotated, retired and restored.

use super::*;

const NOW: Timestamp = Timestamp(1_000_000_000);

fn located(path: &str, ino: u64, fingerprints: &[&str]) -> LocatedFile {
    LocatedFile {
        file: FileId { dev: 1, ino },
        path: path.into(),
        uid: 0,
        gid: 0,
        mode: 0o600,
        modified: NOW,
        credentials: fingerprints
            .iter()
            .map(|fingerprint| Credential {
                fingerprint: Fingerprint::new(*fingerprint),
                kind: CredentialKind::SshPrivateKey,
                label: None,
                subject: None,
                issued: None,
                expires: None,
                bound: None,
            })
            .collect(),
    }
}

fn retire(target: Target) -> RegistryChange {
    RegistryChange {
        target,
        state: CredentialState::Retired,
        since: None,
        by: "root".into(),
        reason: Some("moved".into()),
        owner: None,
    }
}

fn state_at(registry: &Registry, ino: u64) -> Vec<CredentialState> {
    let file = FileId { dev: 1, ino };
    let entries = registry
        .credentials_at(file)
        .iter()
        .filter_map(|at| registry.credential(at));
    entries
        .map(|entry| registry.standing(entry, Some(file), NOW).state)
        .collect()
}

#[test]
fn a_retired_credential_stays_so_when_moved_linked_or_copied() {
    let mut registry = Registry::default();
    registry.locate(&located("/a", 1, &["x"]), NOW);
    registry.change(&retire(Target::Credential(Fingerprint::new("x"))), NOW);
    registry.locate(&located("/hard", 1, &["x"]), NOW);
    registry.locate(&located("/copy", 2, &["x"]), NOW);
    assert_eq!(
        registry.unlocate(Path::new("/a"), NOW),
        None,
        "the hard link still has the inode"
    );
    assert_eq!(state_at(&registry, 1), [CredentialState::Retired]);
    assert_eq!(state_at(&registry, 2), [CredentialState::Retired]);
    assert_eq!(
        registry.unlocate(Path::new("/hard"), NOW),
        Some(FileId { dev: 1, ino: 1 })
    );
    registry.locate(&located("/moved", 3, &["x"]), NOW);
    assert_eq!(state_at(&registry, 3), [CredentialState::Retired]);
}

#[test]
fn a_rotated_file_holds_the_new_credential_only() {
    let mut registry = Registry::default();
    registry.locate(&located("/a", 1, &["old"]), NOW);
    registry.change(&retire(Target::Credential(Fingerprint::new("old"))), NOW);
    registry.locate(&located("/a", 2, &["new"]), NOW);
    assert!(
        registry
            .credentials_at(FileId { dev: 1, ino: 1 })
            .is_empty()
    );
    assert_eq!(state_at(&registry, 2), [CredentialState::Active]);
}

#[test]
fn what_was_read_just_before_it_went_is_known() {
    let file = FileId { dev: 1, ino: 1 };
    let mut registry = Registry::default();
    registry.locate(&located("/a", 1, &["x"]), NOW);
    registry.change(&retire(Target::Path("/a".into())), Timestamp(0));
    let at = |nanoseconds: i64| Timestamp(NOW.0 + nanoseconds);
    registry.unlocate(Path::new("/a"), at(10));
    assert!(registry.credentials_at(file).is_empty());
    assert!(registry.credentials_then(file, at(11)).is_empty());
    assert!(
        registry
            .credentials_then(file, at(-5_000_000_000))
            .is_empty()
    );
    let then = registry.credentials_then(file, at(10)).to_vec();
    assert_eq!(then, [Fingerprint::new("x")]);
    let entry = registry.credential(&then[0]).unwrap();
    let standing = |time| registry.standing(entry, Some(file), time).state;
    assert_eq!(standing(at(9)), CredentialState::Retired);
    assert_eq!(standing(at(11)), CredentialState::Active);
}

#[test]
fn the_systems_own_files_are_guarded_whatever_they_hold() {
    let file = |ino| FileId { dev: 1, ino };
    let mut registry = Registry::default();
    registry.locate(&located("/etc/sudoers", 1, &[]), NOW);
    registry.locate(&located("/etc/hosts", 2, &[]), NOW);
    assert!(registry.is_watched(file(1)) && !registry.is_watched(file(2)));
    assert!(registry.credentials().next().is_none(), "they are none");
    // visudo puts another file in its place.
    let later = Timestamp(NOW.0 + 10);
    registry.locate(&located("/etc/sudoers", 3, &[]), later);
    assert!(registry.is_watched(file(3)) && !registry.is_watched(file(1)));
    let kind = |ino, at| Some(registry.guarded_then(file(ino), at)?.kind);
    assert_eq!(kind(3, later), Some(crate::model::SystemFile::Sudoers));
    assert_eq!(kind(1, NOW), Some(crate::model::SystemFile::Sudoers));
    assert_eq!(kind(1, Timestamp(later.0 + 1)), None);
}

#[test]
fn restore_takes_back_and_a_declared_path_covers_what_lies_there() {
    let mut registry = Registry::default();
    registry.change(&retire(Target::Path("/a".into())), NOW);
    registry.locate(&located("/a", 1, &["x"]), NOW);
    assert_eq!(state_at(&registry, 1), [CredentialState::Retired]);
    let back = RegistryChange {
        state: CredentialState::Active,
        ..retire(Target::Path("/a".into()))
    };
    registry.change(&back, NOW);
    assert_eq!(state_at(&registry, 1), [CredentialState::Active]);
}

#[test]
fn an_end_date_expires_a_credential_and_a_word_goes_before_it() {
    let mut registry = Registry::default();
    let mut token = located("/t", 1, &["x"]);
    token.credentials[0].expires = Some(NOW);
    registry.locate(&token, NOW);
    assert_eq!(state_at(&registry, 1), [CredentialState::Expired]);
    registry.change(&retire(Target::Credential(Fingerprint::new("x"))), NOW);
    assert_eq!(state_at(&registry, 1), [CredentialState::Retired]);
}
