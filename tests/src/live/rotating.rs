//! A rotation on a real disk: the old version and its states, who holds it, and what is none.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use monitor::control::life::{RotationView, TransitionView};
use monitor::model::{Alert, CredentialState, DetectionId, RegistryChange, Severity};

use super::daemon::{Daemon, Place, patiently};
use super::host::{Partner, SshKey, command, python, run};
use super::turn::shared;

const STALE: DetectionId = DetectionId::StaleHolder;

/// Reads what is named, each time that it is told, and then connects where it is told.
const SERVICE: &str = "import socket, sys\n\
    path, rounds, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])\n\
    for _ in range(rounds):\n\
    \x20   open(path).read()\n\
    \x20   print('read', flush=True)\n\
    \x20   sys.stdin.readline()\n\
    socket.create_connection(('127.0.0.1', port))\n\
    print('connected', flush=True)\n\
    sys.stdin.readline()\n";

fn service(key: &SshKey, rounds: u32, port: u16) -> Partner {
    let (rounds, port) = (rounds.to_string(), port.to_string());
    Partner::start(&mut python(SERVICE, &[&key.path, &rounds, &port]))
}

/// Makes a key beside another and puts it in its place, as deployment tools do.
fn rotate(key: &SshKey) -> SshKey {
    let new = SshKey::ed25519(key.path.with_extension("next"));
    fs::rename(&new.path, &key.path).unwrap();
    SshKey {
        path: key.path.clone(),
        ..new
    }
}

fn state_of(place: &Place, key: &SshKey) -> Option<CredentialState> {
    let all = place.credentials().into_iter();
    all.into_iter()
        .find(|of| of.fingerprint.as_str() == key.fingerprint)
        .map(|of| of.state)
}

fn history(place: &Place, of: &str) -> Vec<(CredentialState, String)> {
    let steps: Vec<TransitionView> = place.ask(&["history", of]);
    let steps = steps.into_iter();
    steps.map(|step| (step.state, step.by)).collect()
}

fn names(pid: u32) -> impl Fn(&Alert) -> bool {
    move |alert| alert.id == STALE && alert.process.as_ref().is_some_and(|of| of.pid == pid)
}

#[test]
fn who_keeps_the_old_version_is_named_and_the_old_version_ends() {
    let _host = shared();
    let window = patiently(Duration::from_secs(10)).as_secs();
    let place = Place::with(&format!("[life]\nrotation_window = \"{window}s\""));
    let old = SshKey::ed25519(place.root().join("deploy"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let daemon = Daemon::start(&place);
    let mut keeps = service(&old, 1, port);
    let mut renews = service(&old, 2, port);
    // What was read in the moment of the change may have been either version.
    std::thread::sleep(patiently(Duration::from_secs(3)));
    let new = rotate(&old);
    place.until("the old version rotates", || {
        state_of(&place, &old) == Some(CredentialState::Rotating)
    });
    renews.go_on();
    renews.listen();

    let report = || -> RotationView {
        let mut all: Vec<RotationView> = place.ask(&["report", "rotation", &old.fingerprint[..20]]);
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    };
    place.until("both are in the report", || {
        let report = report();
        let pids = |list: &[monitor::control::life::HolderView]| -> Vec<u32> {
            list.iter().map(|of| of.pid).collect()
        };
        pids(&report.stale) == [keeps.pid()] && pids(&report.renewed) == [renews.pid()]
    });
    let rotation = report();
    assert_eq!(rotation.new.as_str(), new.fingerprint);
    assert_eq!(rotation.path, old.path);
    assert_eq!(rotation.state, CredentialState::Rotating);

    std::thread::sleep(patiently(Duration::from_secs(4)));
    let named = place.wait("who keeps the old one", names(keeps.pid()));
    assert_eq!(named.severity, Severity::Medium);
    assert!(old.is_in(&named), "{named:#?}");
    assert!(named.summary.contains(&new.fingerprint), "{named:#?}");
    place.until("the old version is retired", || {
        state_of(&place, &old) == Some(CredentialState::Retired)
    });
    assert_eq!(state_of(&place, &new), Some(CredentialState::Active));
    keeps.go_on();
    keeps.listen();
    let connected = place.wait("where it connects", |alert| {
        names(keeps.pid())(alert) && alert.destination.is_some()
    });
    assert_eq!(connected.destination.as_ref().map(|to| to.port), Some(port));
    renews.go_on();
    renews.listen();
    place.silent("who has the new one", names(renews.pid()));

    let steps = [
        CredentialState::Active,
        CredentialState::Rotating,
        CredentialState::Retired,
    ]
    .map(|state| (state, RegistryChange::DERIVED.to_owned()));
    assert_eq!(history(&place, &old.fingerprint), steps);
    // Nothing is said twice by the next daemon, and it cannot tell what was read before it.
    daemon.stop();
    assert_eq!(history(&place, &old.fingerprint), steps, "at rest");
    let _daemon = Daemon::start(&place);
    place.known(&old.path);
    std::thread::sleep(patiently(Duration::from_secs(1)));
    assert_eq!(history(&place, &old.fingerprint), steps, "once more");
    assert_eq!(state_of(&place, &old), Some(CredentialState::Retired));
    let rotation = report();
    assert!(rotation.stale.is_empty() && rotation.renewed.is_empty());
    assert!(
        rotation.unknown.iter().any(|of| of.pid == keeps.pid()),
        "{rotation:#?}"
    );
    keeps.finish();
    renews.finish();
}

#[test]
fn a_rotation_while_no_daemon_runs_and_one_that_is_taken_back() {
    let _host = shared();
    let place = Place::new();
    let old = SshKey::ed25519(place.root().join("deploy"));
    let daemon = Daemon::start(&place);
    place.known(&old.path);
    daemon.stop();
    let aside = place.root().join("deploy.before");
    fs::rename(&old.path, &aside).unwrap();
    let new = SshKey::ed25519(old.path.clone());
    let _daemon = Daemon::start(&place);
    place.until("the old version rotates", || {
        state_of(&place, &old) == Some(CredentialState::Rotating)
    });
    // The old one is read from where it was put aside.
    let done = run(&mut command("cat", &[&aside]));
    let alert = place.wait("the backup is read", done.is(STALE));
    assert_eq!(alert.severity, Severity::Low);
    fs::rename(&aside, &old.path).unwrap();
    place.until("it is taken back", || {
        state_of(&place, &old) == Some(CredentialState::Active)
            && state_of(&place, &new) == Some(CredentialState::Rotating)
    });
    // The word of an operator holds.
    place.restore(&new.fingerprint);
    place.retire(&old.fingerprint);
    assert_eq!(state_of(&place, &new), Some(CredentialState::Active));
    assert_eq!(state_of(&place, &old), Some(CredentialState::Retired));
    let unknown = place
        .client(&["history", "SHA256:nobody"])
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    let says = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        says.contains("nothing is known of `SHA256:nobody`"),
        "{says}"
    );
}

/// What is done with keys every day, with a window that is over at once.
#[test]
fn moved_copied_linked_and_read_keys_are_no_rotation() {
    let _host = shared();
    let place = Place::with("[life]\nrotation_window = \"500ms\"");
    let keys: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|name| SshKey::ed25519(place.root().join(name)))
        .collect();
    let _daemon = Daemon::start(&place);
    for key in &keys {
        place.known(&key.path);
        run(&mut command("cat", &[&key.path]));
    }
    let [a, b, c] = [0, 1, 2].map(|of: usize| keys[of].path.clone());
    fs::copy(&a, place.root().join("a.bak")).unwrap();
    fs::rename(&b, place.root().join("b.moved")).unwrap();
    fs::hard_link(&c, place.root().join("c.link")).unwrap();
    fs::set_permissions(&c, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    let again = fs::read(&a).unwrap();
    fs::write(&a, again).unwrap();
    for name in ["a", "a.bak", "b.moved", "c.link"] {
        place.known(&place.root().join(name));
        run(&mut command("cat", &[&place.root().join(name)]));
    }
    place.silent("ordinary use", |alert| {
        alert.id == STALE && keys.iter().any(|key| key.is_in(alert))
    });
    for key in &keys {
        assert_eq!(state_of(&place, key), Some(CredentialState::Active));
    }
    let all: Vec<RotationView> = place.ask(&["report", "rotation"]);
    assert!(all.is_empty(), "{all:#?}");
}
