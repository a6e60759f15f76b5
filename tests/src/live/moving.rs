//! A retired credential that is moved, linked or copied is the same credential.

use std::fs;
use std::path::{Path, PathBuf};

use monitor::model::{Alert, CredentialKind, CredentialState, DetectionId};

use super::daemon::{Daemon, Place, is_own};
use super::host::{SshKey, command, exe, python, run};
use super::turn::{alone, shared};

const READ: DetectionId = DetectionId::RetiredCredentialRead;

/// Reads with a program and expects the alert about it.
fn assert_seen(place: &Place, name: &str, path: &Path, fingerprint: &str) {
    let done = run(&mut command(name, &[&path]));
    let what = format!("{name} {}", path.display());
    let alert = place.wait(&what, done.is(READ));
    done.assert_time(&alert);
    let credential = alert.credential.unwrap();
    assert_eq!(credential.fingerprint.as_str(), fingerprint, "{what}");
    assert_eq!(credential.path.as_deref(), path.to_str());
    assert_eq!(credential.state, CredentialState::Retired);
    assert_eq!(alert.process.unwrap().exe, Some(exe(name)));
}

/// A file that is removed at the end, in a place that others share.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // It may have been moved on.
        let _ = fs::remove_file(&self.0);
    }
}

fn in_shared_place(directory: &str, place: &Place) -> Removed {
    let own = place.at("");
    let name = own.file_name().unwrap().to_str().unwrap();
    Removed(Path::new(directory).join(format!("{name}.moved")))
}

/// Each of these reads as another cause, so that no alert is folded into one before.
const READERS: [&str; 8] = [
    "cat",
    "head",
    "tail",
    "md5sum",
    "sha256sum",
    "od",
    "wc",
    "sort",
];

/// Moves, links and copies a retired secret about; every new place is seen.
fn follow(place: &Place, first: &Path, fingerprint: &str) {
    let (root, elsewhere) = (place.root(), place.at("elsewhere/deep/down"));
    fs::create_dir_all(root.join("other")).unwrap();
    fs::create_dir_all(&elsewhere).unwrap();
    let step = |program: &str, from: &Path, to: &Path| {
        run(&mut command(program, &[&from, &to]));
    };
    let mut readers = READERS.into_iter();
    let mut seen = |path: &Path| {
        // What a copier writes is looked at while and after it writes, which takes a moment.
        place.known(path);
        assert_seen(place, readers.next().unwrap(), path, fingerprint);
    };

    let renamed = root.join("renamed");
    step("mv", first, &renamed);
    seen(&renamed);
    let across = root.join("other/across");
    step("mv", &renamed, &across);
    seen(&across);
    let linked = root.join("linked");
    step("ln", &across, &linked);
    seen(&linked);
    let copied = root.join("copied");
    step("cp", &across, &copied);
    seen(&copied);
    // Where discovery does not look.
    let out = elsewhere.join("out");
    step("cp", &copied, &out);
    seen(&out);
    let moved_out = elsewhere.join("moved");
    step("mv", &across, &moved_out);
    seen(&moved_out);
    let temporary = in_shared_place("/tmp", place);
    step("cp", &linked, &temporary.0);
    seen(&temporary.0);
    let memory = in_shared_place("/dev/shm", place);
    step("cp", &linked, &memory.0);
    seen(&memory.0);
}

#[test]
fn a_retired_key_is_followed() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    place.retire(&key.path);
    follow(&place, &key.path, &key.fingerprint);
}

#[test]
fn a_retired_secret_without_a_shape_is_followed() {
    let _host = shared();
    let place = Place::new();
    let path = place.root().join("legacy.conf");
    fs::write(
        &path,
        "nothing about this text says that it is a secret 7a83\n",
    )
    .unwrap();
    let _daemon = Daemon::start(&place);
    let changed = place.retire(&path);
    assert_eq!(changed[0].kind, Some(CredentialKind::Opaque));
    let fingerprint = changed[0].target.clone();
    assert!(fingerprint.starts_with("hmac:"), "{fingerprint}");
    follow(&place, &path, &fingerprint);
}

#[test]
fn a_copy_made_before_the_retirement_is_seen_after_it() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    let copy = place.root().join("backup-of-deploy");
    run(&mut command("cp", &[&key.path, &copy]));
    place.known(&copy);
    place.retire(&key.path);
    assert_seen(&place, "cat", &copy, &key.fingerprint);
}

#[test]
fn the_inode_of_a_deleted_key_is_no_key() {
    // Any alert at all would be wrong, so nothing else may act here.
    let _host = alone();
    let place = Place::new();
    let _daemon = Daemon::start(&place);
    let mut reused = 0;
    for round in 0..20 {
        let key = SshKey::ed25519(place.root().join(format!("deploy{round}")));
        place.known(&key.path);
        place.retire(&key.path);
        let other = place.root().join(format!("notes{round}"));
        // One shell does it all, as fast as can be: the file system gives the number out again.
        let line = "stat -c %i \"$1\"; rm \"$1\"; echo text >\"$2\"; cat \"$2\" >/dev/null; \
                    stat -c %i \"$2\"";
        let done = run(&mut command(
            "sh",
            &[&"-c", &line, &"sh", &key.path, &other],
        ));
        let inodes = String::from_utf8(done.output.stdout).unwrap();
        let mut inodes = inodes.lines();
        reused += usize::from(inodes.next() == inodes.next());
    }
    assert!(
        reused > 0,
        "no number was given out again: this proves nothing"
    );
    // Where the kernel passed a program over it says so, whatever file that was about.
    let is_told = |alert: &Alert| is_own(alert) && alert.id != DetectionId::EventsLost;
    place.silent("an ordinary file", is_told);
}

/// As `git credential-store` keeps a login: each time it is used, all is written anew beside it, and
/// renamed over it.
const STORE: &str = "import os, sys\n\
    path, times = sys.argv[1], int(sys.argv[2])\n\
    for _ in range(times):\n\
    \x20   login = open(path).read()\n\
    \x20   with open(path + '.lock', 'w') as lock: lock.write(login)\n\
    \x20   os.rename(path + '.lock', path)";

#[test]
fn a_file_that_is_replaced_again_and_again_lies_at_its_path_only() {
    let _host = shared();
    let place = Place::new();
    let path = place.root().join(".git-credentials");
    fs::write(&path, "https://runner:correct-horse-7@git.example.org\n").unwrap();
    let _daemon = Daemon::start(&place);
    let known = place.known(&path);
    let lies_at = || -> Vec<PathBuf> {
        let all = place.credentials().into_iter();
        let mut all = all.filter(|of| of.fingerprint == known.fingerprint);
        all.next().map(|of| of.paths).unwrap_or_default()
    };
    for _ in 0..20 {
        run(&mut python(STORE, &[&path, &"20"]));
        place.until("it lies there only", || lies_at() == [path.clone()]);
    }
}
