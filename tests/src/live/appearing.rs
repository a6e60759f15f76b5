//! Credentials that were not there when the daemon started.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use monitor::control::protocol::CredentialView;
use monitor::model::{CredentialKind, CredentialState, DetectionId, Timestamp};

use super::daemon::{Daemon, Place};
use super::host::{SshKey, command, exe, run};
use super::turn::shared;

const READ: DetectionId = DetectionId::RetiredCredentialRead;

#[test]
fn a_new_key_is_known_wherever_it_appears() {
    let _host = shared();
    let place = Place::new();
    let root = place.root();
    let _daemon = Daemon::start(&place);
    let at_root = SshKey::ed25519(root.join("id_new"));
    fs::create_dir_all(root.join("a/new")).unwrap();
    let below = SshKey::new(root.join("a/new/id_below"), "ecdsa");
    fs::create_dir(root.join(".ssh")).unwrap();
    let home = SshKey::ed25519(root.join(".ssh/any name"));
    // A whole tree that is moved in.
    fs::create_dir_all(place.at("tree/of/many")).unwrap();
    let tree = SshKey::ed25519(place.at("tree/of/many/id_tree"));
    fs::rename(place.at("tree"), root.join("tree")).unwrap();
    let tree = SshKey {
        path: root.join("tree/of/many/id_tree"),
        ..tree
    };
    for key in [&at_root, &below, &home, &tree] {
        let known = place.known(&key.path);
        assert_eq!(known.fingerprint.as_str(), key.fingerprint);
        assert_eq!(known.kind, CredentialKind::SshPrivateKey);
        assert_eq!(known.state, CredentialState::Active);
        place.retire(&key.fingerprint);
        let done = run(&mut command("cat", &[&key.path]));
        assert!(key.is_in(&place.wait("a new key", done.is(READ))));
    }
}

#[test]
fn a_credential_that_nobody_has_seen_yet_is_known_by_its_first_read() {
    let _host = shared();
    let place = Place::new();
    // Outside all roots: only its name tells.
    let outside = place.at("somewhere/else");
    fs::create_dir_all(&outside).unwrap();
    let key = SshKey::ed25519(outside.join("id_ed25519"));
    let _daemon = Daemon::start(&place);
    // Others make keys on this host meanwhile.
    let is_it = |of: &CredentialView| of.fingerprint.as_str() == key.fingerprint;
    assert!(!place.credentials().iter().any(is_it));
    run(&mut command("cat", &[&key.path]));
    let known = place.known(&key.path);
    assert_eq!(known.fingerprint.as_str(), key.fingerprint);
    let used = place.usage();
    let by_cat: Vec<_> = used
        .iter()
        .filter(|row| row.key.exe == exe("cat"))
        .collect();
    assert_eq!(by_cat.len(), 1, "{used:#?}");
    assert_eq!(by_cat[0].count, 1, "that read is a use");
}

#[test]
fn after_a_rotation_the_new_key_is_free_and_the_old_one_is_not() {
    let _host = shared();
    let place = Place::new();
    let path = place.root().join("deploy");
    let old = SshKey::ed25519(path.clone());
    let _daemon = Daemon::start(&place);
    place.retire(&old.path);
    run(&mut command("cp", &[&old.path, &place.root().join("old")]));
    // Written beside and renamed over, as careful programs do.
    let new = SshKey::ed25519(place.root().join("deploy.new"));
    fs::rename(&new.path, &path).unwrap();
    let done = run(&mut command("cat", &[&path]));
    place.silent("the new key", done.is(READ));
    assert_eq!(place.known(&path).fingerprint.as_str(), new.fingerprint);
    // Written over in place.
    let next = SshKey::ed25519(place.at("next"));
    fs::write(&path, fs::read(&next.path).unwrap()).unwrap();
    place.until("the next key is known", || {
        place.known(&path).fingerprint.as_str() == next.fingerprint
    });
    place.retire(&next.fingerprint);
    let done = run(&mut command("head", &[&path]));
    assert!(next.is_in(&place.wait("the next key", done.is(READ))));
    let done = run(&mut command("tail", &[&place.root().join("old")]));
    assert!(old.is_in(&place.wait("the old key", done.is(READ))));
}

/// A token that is no secret of anybody.
fn token(subject: &str, expires: i64) -> String {
    let part = |text: &str| {
        let done = run(&mut command(
            "sh",
            &[&"-c", &"printf %s \"$1\" | base64 -w0", &"sh", &text],
        ));
        let text = String::from_utf8(done.output.stdout).unwrap();
        text.trim_end_matches('=')
            .replace('+', "-")
            .replace('/', "_")
    };
    let header = part(r#"{"alg":"RS256","kid":"k1"}"#);
    let body = part(&format!(
        "{{\"iss\":\"https://kubernetes.default.svc\",\"sub\":\"system:serviceaccount:prod:{subject}\",\
         \"exp\":{expires},\"kubernetes.io\":{{\"namespace\":\"prod\",\"serviceaccount\":{{\"name\":\
         \"{subject}\"}}}}}}"
    ));
    format!("{header}.{body}.c2lnbmF0dXJlLXRoYXQtaXMtbm9uZQ")
}

/// Puts a version of a projected volume in place as the kubelet does: a directory of its own, and
/// one link that all others lead through.
fn project(volume: &Path, version: &str, token: &str) {
    let directory = volume.join(version);
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("token"), token).unwrap();
    let next = volume.join("..data_tmp");
    symlink(version, &next).unwrap();
    fs::rename(next, volume.join("..data")).unwrap();
    if !volume.join("token").is_symlink() {
        symlink("..data/token", volume.join("token")).unwrap();
    }
}

#[test]
fn a_projected_token_is_followed_through_its_rotations() {
    let _host = shared();
    // On tmpfs, where Kubernetes keeps them and the page cache tells nothing.
    let volume = tempfile::Builder::new()
        .prefix("credwatch-live-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let place = Place::with("");
    let config = place.at("credwatch.toml");
    let text = fs::read_to_string(&config).unwrap();
    let roots = format!("roots = [{:?}, ", volume.path());
    fs::write(&config, text.replacen("roots = [", &roots, 1)).unwrap();
    let now = Timestamp::now().0 / 1_000_000_000;
    project(volume.path(), "..2026_01", &token("api", now + 3_600));
    let path = volume.path().join("token");
    let _daemon = Daemon::start(&place);
    let first = place.known(&path);
    assert_eq!(first.kind, CredentialKind::KubernetesServiceAccountToken);
    assert_eq!(first.state, CredentialState::Active);
    let done = run(&mut command("cat", &[&path]));
    place.silent("a token that is good", done.is(READ));

    project(volume.path(), "..2026_02", &token("expired", now - 60));
    place.until("the next version is known", || {
        place.known(&path).fingerprint != first.fingerprint
    });
    let next = place.known(&path);
    assert_eq!(next.state, CredentialState::Expired);
    let done = run(&mut command("cat", &[&path]));
    let alert = place.wait("an expired token", done.is(READ));
    let credential = alert.credential.unwrap();
    assert_eq!(credential.fingerprint, next.fingerprint);
    assert_eq!(credential.state, CredentialState::Expired);
    assert_eq!(
        credential.retired_at,
        Some(Timestamp((now - 60) * 1_000_000_000))
    );
    assert_eq!(alert.attack, ["T1528", "T1552.001"]);
}
