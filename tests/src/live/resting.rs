//! Credentials that rest and wake up, that live too long, and that end.

use std::fs::File;
use std::time::{Duration, SystemTime};

use monitor::control::life::TransitionView;
use monitor::model::{CredentialState, DetectionId, Severity};

use super::daemon::{Daemon, Place, patiently};
use super::host::{Partner, SshKey, act, command, python, run};
use super::turn::shared;

const WAKES: DetectionId = DetectionId::DormantUsed;
const LONG: DetectionId = DetectionId::LongLived;

/// Reads a file and keeps it.
const KEEP: &str = "import sys\n\
    kept = open(sys.argv[1]).read()\n\
    print('read', flush=True)\n\
    sys.stdin.readline()\n";

#[test]
fn a_credential_that_rested_is_told_and_one_that_is_held_is_not() {
    let _host = shared();
    let place = Place::with("[life]\ndormancy = \"3s\"");
    let rests = SshKey::ed25519(place.root().join("rests"));
    let held = SshKey::ed25519(place.root().join("held"));
    let _daemon = Daemon::start(&place);
    place.known(&rests.path);
    place.known(&held.path);
    let holder = Partner::start(&mut python(KEEP, &[&held.path]));
    let early = run(&mut command("cat", &[&rests.path]));
    std::thread::sleep(patiently(Duration::from_secs(4)));
    let again = run(&mut command("cat", &[&rests.path]));
    let alert = place.wait("it wakes", again.is(WAKES));
    assert!(rests.is_in(&alert), "{alert:#?}");
    assert_eq!(alert.severity, Severity::Low, "cat has read it before");
    again.assert_time(&alert);
    let at_once = run(&mut command("cat", &[&rests.path]));
    let other = run(&mut command("cat", &[&held.path]));
    holder.finish();
    place.silent("what is used, or held", |alert| {
        [&early, &at_once, &other]
            .iter()
            .any(|done| done.is(WAKES)(alert))
    });
}

#[test]
fn what_lives_too_long_is_one_alert_a_kind_and_told_once() {
    let _host = shared();
    let place = Place::with("[life]\nreview = \"2s\"\n[life.longest]\nssh-private-key = \"365d\"");
    let years = Duration::from_secs(3 * 365 * 86_400);
    let keys: Vec<_> = (0..3)
        .map(|number| {
            let key = SshKey::ed25519(place.root().join(format!("old{number}")));
            let file = File::options().write(true).open(&key.path).unwrap();
            file.set_modified(SystemTime::now() - years).unwrap();
            key
        })
        .collect();
    let young = SshKey::ed25519(place.root().join("young"));
    let daemon = Daemon::start(&place);
    let alert = place.wait("they are told", |alert| alert.id == LONG);
    assert_eq!(alert.severity, Severity::Low);
    let summary = &alert.summary;
    let starts = "3 credentials of the kind SSH private key live longer than the 365 d";
    assert!(summary.starts_with(starts), "{summary}");
    assert!(
        keys.iter().all(|key| summary.contains(&key.fingerprint)),
        "{summary}"
    );
    assert!(!summary.contains(&young.fingerprint), "{summary}");
    daemon.stop();
    let _daemon = Daemon::start(&place);
    std::thread::sleep(patiently(Duration::from_secs(4)));
    let all = place.all(|alert| alert.id == LONG);
    assert_eq!(all.len(), 1, "{all:#?}");
}

#[test]
fn a_fresh_installation_with_old_keys_and_logins_is_quiet() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("old"));
    let logins = place.root().join(".git-credentials");
    std::fs::write(&logins, "https://bob:fake-password@git.example\n").unwrap();
    for path in [&key.path, &logins] {
        let file = File::options().write(true).open(path).unwrap();
        let age = Duration::from_secs(9 * 365 * 86_400);
        file.set_modified(SystemTime::now() - age).unwrap();
    }
    let _daemon = Daemon::start(&place);
    for path in [&key.path, &logins] {
        place.known(path);
        run(&mut command("cat", &[path]));
    }
    place.silent("what is old, on the first day", |alert| {
        [WAKES, LONG].contains(&alert.id) && alert.credential.is_some()
    });
}

#[test]
fn an_openssh_certificate_ends_and_its_history_says_so() {
    let _host = shared();
    let place = Place::new();
    let ca = SshKey::ed25519(place.at("ca"));
    let key = SshKey::ed25519(place.root().join("id_ed25519"));
    let public = run(&mut command("ssh-keygen", &[&"-y", &"-f", &key.path]));
    let beside = key.path.with_extension("pub");
    std::fs::write(&beside, &public.output.stdout).unwrap();
    let sign = [
        &"-q" as &dyn AsRef<std::ffi::OsStr>,
        &"-s",
        &ca.path,
        &"-I",
        &"deploy@ci",
        &"-n",
        &"deploy",
        &"-V",
        &"-1h:+9s",
        &beside,
    ];
    let certificate = place.root().join("id_ed25519-cert.pub");
    let _daemon = Daemon::start(&place);
    run(&mut command("ssh-keygen", &sign));
    let known = place.known(&certificate);
    assert_eq!(known.kind, monitor::model::CredentialKind::SshCertificate);
    assert_eq!(known.state, CredentialState::Active);
    std::thread::sleep(Duration::from_secs(5));
    place.until("it ends", || {
        place.known(&certificate).state == CredentialState::Expired
    });
    let steps: Vec<TransitionView> = place.ask(&["history", certificate.to_str().unwrap()]);
    let states: Vec<_> = steps.iter().map(|step| step.state).collect();
    assert_eq!(states, [CredentialState::Active, CredentialState::Expired]);
    assert_eq!(Some(steps[1].time), known.expires);
    // ssh reads all that lie there.
    let read = act(&mut command("cat", &[&certificate]));
    place.silent(
        "an expired certificate is read",
        read.is(DetectionId::RetiredCredentialRead),
    );
}
