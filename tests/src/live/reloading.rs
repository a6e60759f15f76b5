//! Configuration and registry files are taken in while the daemon runs: by a signal, and because they
//! have changed. What is wrong changes nothing, and nothing that is on its way is lost.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use monitor::model::{Alert, CredentialState, DetectionId, Severity};
use rustix::process::Signal;

use super::daemon::{Daemon, Place};
use super::guarding::{tampered, wait_long};
use super::host::{Account, SshKey, act, command, run, signal};
use super::turn::shared;

const READ: DetectionId = DetectionId::RetiredCredentialRead;

/// Writes the configuration anew, with more.
fn configure(place: &Place, before: &str, more: &str) {
    // As editors do: whoever reads sees the old text or the new one.
    let next = place.at("credwatch.toml.new");
    fs::write(&next, format!("{before}{more}")).unwrap();
    fs::rename(next, place.at("credwatch.toml")).unwrap();
}

fn configuration(place: &Place) -> String {
    fs::read_to_string(place.at("credwatch.toml")).unwrap()
}

fn lines(path: &Path) -> Vec<Alert> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[test]
fn a_file_that_is_changed_holds_and_is_told() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let before = configuration(&place);
    let daemon = Daemon::start(&place);
    place.known(&key.path);
    place.retire(&key.path);
    let waiting = "[detection]\ndisabled = [\"CW-101\"]\n[sensor]\nrate_cap = 4000\n";
    configure(&place, &before, waiting);
    let alert = wait_long(
        &place,
        "a change without a signal",
        tampered("and holds: detection.disabled; after a restart: sensor.rate_cap"),
    );
    let path = place.at("credwatch.toml");
    let what = format!(
        "The configuration {} was changed (owner root",
        path.display()
    );
    assert!(alert.summary.starts_with(&what), "{}", alert.summary);
    assert_eq!(alert.severity, Severity::Medium);
    let said = place.status().configuration;
    assert_eq!(
        (said.file, said.waiting),
        (path, vec!["sensor.rate_cap".to_owned()])
    );
    let unseen = run(&mut command("cat", &[&key.path]));
    place.silent("CW-101 is switched off", unseen.is(READ));
    configure(&place, &before, "");
    signal(daemon.pid(), Signal::HUP);
    let back = "and holds: detection.disabled";
    place.until("the change back", || {
        place.status().configuration.waiting.is_empty()
    });
    let seen = run(&mut command("cat", &[&key.path]));
    place.wait("CW-101 is back", seen.is(READ));
    assert_eq!(place.all(tampered(back)).len(), 2);
    daemon.stop();
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_is_told() {
    let _host = shared();
    let place = Place::new();
    let before = configuration(&place);
    // One each: the same again would be a repeat.
    let keys = ["a", "b", "c", "d"].map(|name| SshKey::ed25519(place.root().join(name)));
    let daemon = Daemon::start(&place);
    for key in &keys {
        place.known(&key.path);
        place.retire(&key.path);
    }
    let mut keys = keys.iter();
    for (more, says) in [
        ("[detection]\ndisabled = \"CW-101\"\n", "is wrong"),
        ("nonsense", "is wrong"),
        (
            "[[sinks]]\ntype = \"json\"\npath = \"/nowhere/a/b.jsonl\"\n",
            "/nowhere/a/b.jsonl",
        ),
    ] {
        configure(&place, &before, more);
        signal(daemon.pid(), Signal::HUP);
        place.until(more, || {
            let wrong = place.status().configuration.wrong;
            wrong.first().is_some_and(|wrong| !wrong.is_empty())
        });
        place.wait(more, |alert| {
            tampered("the former one holds")(alert) && alert.summary.contains(says)
        });
        let key = keys.next().unwrap();
        let seen = run(&mut command("cat", &[&key.path]));
        place.wait("what held before holds", seen.is(READ));
        configure(&place, &before, "");
        signal(daemon.pid(), Signal::HUP);
        place.until("it is right again", || {
            place.status().configuration.wrong.is_empty()
        });
    }
    // A mistake in one of the two does not hold up the other.
    configure(&place, &before, "nonsense");
    let key = keys.next().unwrap();
    let word = format!("[[credential]]\npath = {:?}\nstate = \"decoy\"\n", key.path);
    place.restore(&key.path);
    fs::write(place.at("registry.d/a.toml"), word).unwrap();
    signal(daemon.pid(), Signal::HUP);
    place.until("the decoy", || {
        place.known(&key.path).state == CredentialState::Decoy
    });
    fs::write(place.at("registry.d/b.toml"), "[[credential]]\nstate = 7\n").unwrap();
    signal(daemon.pid(), Signal::HUP);
    place.wait(
        "the registry",
        tampered("or is wrong, and the former words hold"),
    );
    assert_eq!(place.known(&key.path).state, CredentialState::Decoy);
    daemon.stop();
}

#[test]
fn what_a_registry_file_gives_back_is_told() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let file = place.at("registry.d/legacy.toml");
    let declare = |state: &str| {
        let text = format!(
            "[[credential]]\npath = {:?}\nstate = \"{state}\"\n",
            key.path
        );
        fs::write(&file, text).unwrap();
    };
    declare("retired");
    let daemon = Daemon::start(&place);
    place.until("retired", || {
        place.known(&key.path).state == CredentialState::Retired
    });
    // What makes more be told holds without a word, and without a signal.
    declare("decoy");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(25);
    while place.known(&key.path).state != CredentialState::Decoy {
        assert!(std::time::Instant::now() < deadline, "it is not taken in");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(place.all(tampered("")), []);
    fs::remove_file(&file).unwrap();
    let alert = wait_long(
        &place,
        "given back",
        tampered("nobody is told any more who uses"),
    );
    assert!(
        alert.summary.contains(key.path.to_str().unwrap()),
        "{}",
        alert.summary
    );
    assert_eq!(place.known(&key.path).state, CredentialState::Active);
    daemon.stop();
}

#[test]
fn a_retired_owner_takes_its_credentials_along() {
    let _host = shared();
    let place = Place::new();
    let account = Account::new();
    let own = SshKey::ed25519(place.root().join("own"));
    let kept = SshKey::ed25519(place.root().join("kept"));
    let other = SshKey::ed25519(place.root().join("other"));
    for key in [&own, &kept] {
        std::os::unix::fs::chown(&key.path, Some(account.uid), None).unwrap();
    }
    let identity = format!(
        "[[identity]]\nselector = \"unix:user:{}\"\nstate = \"retired\"\n",
        account.name
    );
    let file = place.at("registry.d/legacy.toml");
    fs::write(&file, &identity).unwrap();
    let daemon = Daemon::start(&place);
    let state = |key: &SshKey| place.known(&key.path).state;
    place.until("its keys", || {
        [&own, &kept].map(state) == [CredentialState::Retired; 2]
    });
    assert_eq!(state(&other), CredentialState::Active);
    let done = run(&mut command("cat", &[&own.path]));
    let alert = place.wait("its key is read", done.is(READ));
    assert_eq!(
        alert.credential.unwrap().retired_by.as_deref(),
        Some("credwatch")
    );
    // What somebody says of a key itself holds, also after the next search.
    let given = act(&mut place.client(&["restore", kept.path.to_str().unwrap()]));
    assert!(given.output.status.success());
    daemon.stop();
    let daemon = Daemon::start(&place);
    assert_eq!(
        [&own, &kept].map(state),
        [CredentialState::Retired, CredentialState::Active]
    );
    fs::remove_file(&file).unwrap();
    signal(daemon.pid(), Signal::HUP);
    place.until("the owner is back", || {
        state(&own) == CredentialState::Active
    });
    let done = run(&mut command("cat", &[&own.path]));
    place.silent("it is nobody's retired key", done.is(READ));
    daemon.stop();
}

#[test]
fn other_directories_are_searched() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let another = place.at("another");
    fs::create_dir(&another).unwrap();
    let later = SshKey::ed25519(another.join("later"));
    let daemon = Daemon::start(&place);
    place.known(&key.path);
    let text = configuration(&place);
    let roots = format!("roots = [{:?}]", place.root());
    let both = format!("roots = [{:?}, {another:?}]", place.root());
    assert!(text.contains(&roots));
    configure(&place, &text.replace(&roots, &both), "");
    signal(daemon.pid(), Signal::HUP);
    place.known(&later.path);
    // The new search also goes on watching what the former one had found.
    let copy = place.root().join("copy");
    fs::copy(&key.path, &copy).unwrap();
    place.until("the copy", || place.known(&key.path).paths.contains(&copy));
    daemon.stop();
}

#[test]
fn alerts_that_are_on_their_way_arrive_while_sinks_change() {
    const KEYS: usize = 40;
    let _host = shared();
    let place = Place::new();
    let before = configuration(&place);
    let keys: Vec<_> = (0..KEYS)
        .map(|number| SshKey::ed25519(place.root().join(format!("key{number}"))))
        .collect();
    let daemon = Daemon::start(&place);
    for key in &keys {
        place.known(&key.path);
        place.retire(&key.path);
    }
    for (number, key) in keys.iter().enumerate() {
        run(&mut command("cat", &[&key.path]));
        if number % 8 == 4 {
            let path = place.at(&format!("alerts.{number}.jsonl"));
            let sink = format!("[[sinks]]\ntype = \"json\"\npath = {path:?}\n");
            configure(&place, &before, &sink);
            signal(daemon.pid(), Signal::HUP);
            // What was read before is on its way. A busy host would take in the next one only.
            place.until("the sink has been opened", || path.exists());
        }
    }
    let wanted: BTreeSet<_> = keys.iter().map(|key| key.fingerprint.clone()).collect();
    let told = |alerts: Vec<Alert>| -> BTreeSet<String> {
        let read = alerts.into_iter().filter(|alert| alert.id == READ);
        let of = read.filter_map(|alert| alert.credential);
        of.map(|of| of.fingerprint.to_string()).collect()
    };
    // This one has been in the configuration all the time.
    place.until("every alert in the sink that stays", || {
        told(place.alerts()) == wanted
    });
    let stored: Vec<_> = place.stored_alerts();
    assert_eq!(told(stored), wanted);
    let first = told(lines(&place.at("alerts.4.jsonl")));
    assert!(!first.is_empty() && first.len() < KEYS, "{}", first.len());
    let failed: u64 = place.status().sinks.iter().map(|sink| sink.failed).sum();
    assert_eq!(failed, 0);
    daemon.stop();
}
