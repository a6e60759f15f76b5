//! What outlives the daemon: its alerts and every word about a credential, however it ends.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use monitor::model::{CredentialState, DetectionId};

use super::daemon::{Daemon, Place, patiently};
use super::host::{Account, Partner, SshKey, act, command, python, run};
use super::turn::shared;

const READ: DetectionId = DetectionId::RetiredCredentialRead;

/// Holds the database's lock for writing until it is told to go.
const LOCK: &str = "import sqlite3, sys\n\
    lock = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n\
    lock.execute('BEGIN IMMEDIATE')\n\
    print('locked', flush=True)\n\
    sys.stdin.readline()\n\
    lock.execute('ROLLBACK')";

#[test]
fn a_database_that_does_not_answer_holds_up_no_alert() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    place.retire(&key.path);
    let database = place.state().join("credwatch.db");
    let lock = Partner::start(&mut python(LOCK, &[&database]));
    let readers = [
        "cat",
        "head",
        "tail",
        "md5sum",
        "sha256sum",
        "od",
        "wc",
        "sort",
    ];
    let mut shown = Vec::new();
    for reader in readers {
        let done = run(&mut command(reader, &[&key.path]));
        shown.push(place.wait(reader, done.is(READ)).alert_id);
    }
    drop(lock.finish());
    place.until("all are stored", || {
        let stored = place.stored_alerts();
        shown
            .iter()
            .all(|id| stored.iter().any(|of| of.alert_id == *id))
    });
}

#[test]
fn nothing_that_was_shown_is_lost_by_kill_9() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let account = Account::new();
    let mut daemon = Daemon::start(&place);
    place.retire(&key.path);
    place.retire(account.selector());
    let mut shown = Vec::new();
    for round in 0..3 {
        let done = run(&mut command("cat", &[&key.path]));
        let alert = place.wait(&format!("round {round}"), done.is(READ));
        // At once: what the sink has shown must be in the database by now.
        daemon.kill();
        shown.push(alert);
        // Without a daemon the client reads the database itself.
        let stored = place.stored_alerts();
        for alert in &shown {
            assert!(
                stored.iter().any(|of| of.alert_id == alert.alert_id),
                "round {round}: {} is lost: {stored:#?}",
                alert.alert_id
            );
        }
        daemon = Daemon::start(&place);
        let credential = place.known(&key.path);
        assert_eq!(credential.state, CredentialState::Retired);
        assert_eq!(credential.retired_by.as_deref(), Some("root"));
        assert_eq!(credential.reason.as_deref(), Some("moved to OIDC"));
        assert!(credential.last_used.is_some(), "{credential:#?}");
        let stored = place.stored_alerts();
        let mine = stored.iter().filter(|alert| key.is_in(alert)).count();
        assert_eq!(mine, shown.len(), "no alert is there twice: {stored:#?}");
    }
    let done = run(&mut account.runs("true", &[]));
    place.wait(
        "the retired account",
        done.is(DetectionId::RetiredIdentityActive),
    );
    place.restore(&key.path);
    daemon.kill();
    let _daemon = Daemon::start(&place);
    let done = run(&mut command("cat", &[&key.path]));
    place.silent("restored, and the daemon killed", done.is(READ));
    assert_eq!(place.known(&key.path).state, CredentialState::Active);
}

#[test]
fn a_word_said_while_no_daemon_runs_is_in_force_at_the_next_start() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let other = SshKey::new(place.root().join("other"), "ecdsa");
    let changed = place.retire(&key.path);
    assert_eq!(changed[0].target, key.fingerprint);
    place.retire(&other.path);
    place.restore(&other.fingerprint);
    let daemon = Daemon::start(&place);
    let done = run(&mut command("cat", &[&key.path]));
    let alert = place.wait("retired offline", done.is(READ));
    assert_eq!(alert.credential.unwrap().retired_by.unwrap(), "root");
    let done = run(&mut command("cat", &[&other.path]));
    place.silent("restored offline", done.is(READ));
    daemon.stop();
    place.restore(&key.path);
    let _daemon = Daemon::start(&place);
    let done = run(&mut command("cat", &[&key.path]));
    place.silent("restored between two daemons", done.is(READ));
}

#[test]
fn a_key_that_moved_while_no_daemon_ran_is_found_again() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let daemon = Daemon::start(&place);
    place.retire(&key.path);
    daemon.stop();
    let moved = place.root().join("renamed");
    std::fs::rename(&key.path, &moved).unwrap();
    let _daemon = Daemon::start(&place);
    let done = run(&mut command("cat", &[&moved]));
    let alert = place.wait("moved while nobody watched", done.is(READ));
    assert!(key.is_in(&alert));
    let credential = place.known(&moved);
    assert_eq!(credential.paths, [moved], "the old place is forgotten");
}

#[test]
fn sigterm_ends_it_well_and_soon() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let daemon = Daemon::start(&place);
    place.retire(&key.path);
    run(&mut command("cat", &[&key.path]));
    place.wait("an alert", |alert| key.is_in(alert));
    let asked = Instant::now();
    daemon.stop();
    assert!(asked.elapsed() < patiently(Duration::from_secs(5)));
    assert!(!place.state().join("control.sock").exists());
    assert!(!place.state().join("credwatch.db-wal").exists());
    assert!(place.log().contains("credwatch has stopped"));
    // Nothing is held any more.
    run(&mut command("cat", &[&key.path]));
    let mode = |name: &str| {
        let path = place.state().join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!((mode("."), mode("credwatch.db")), (0o700, 0o600));
    assert_eq!(mode("fingerprint.key"), 0o600);
}

#[test]
fn without_privileges_it_says_what_it_needs() {
    let _host = shared();
    let place = Place::new();
    let account = Account::new();
    let state = place.at("own-state");
    std::fs::create_dir(&state).unwrap();
    std::os::unix::fs::chown(&state, Some(account.uid), Some(account.gid)).unwrap();
    let config = place.at("plain.toml");
    std::fs::write(&config, "[discovery]\nroots = [\"/etc\"]\n").unwrap();
    let copy = place.at("credwatch");
    std::fs::copy(super::daemon::program(), &copy).unwrap();
    let mut run = command(
        "setpriv",
        &[
            &format!("--reuid={}", account.uid),
            &format!("--regid={}", account.gid),
            &"--clear-groups",
            &copy,
            &"run",
            &"--config",
            &config,
            &"--state-dir",
            &state,
        ],
    );
    let done = act(&mut run);
    let errors = String::from_utf8_lossy(&done.output.stderr);
    assert_eq!(done.output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("root"), "{errors}");
    assert!(errors.contains("CAP_SYS_ADMIN"), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}
