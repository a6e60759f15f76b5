//! What the registry's files say: CW-107 for decoys, CW-101 for what is declared retired, at start
//! and when they are read again.

use std::fs;

use monitor::model::{CredentialState, DetectionId, Severity};
use rustix::process::Signal;

use super::daemon::{Daemon, Place};
use super::host::{Account, SshKey, act, command, run, signal};
use super::turn::shared;

const READ: DetectionId = DetectionId::RetiredCredentialRead;
const DECOY: DetectionId = DetectionId::DecoyTouched;

#[test]
fn a_decoy_by_path_or_fingerprint_is_not_to_be_touched() {
    let _host = shared();
    let place = Place::new();
    let root = place.root();
    let by_path = SshKey::ed25519(root.join("id_bait"));
    let by_fingerprint = SshKey::ed25519(root.join("id_other"));
    let shapeless = root.join("passwords.txt");
    fs::write(&shapeless, "root: not the password of anything\n").unwrap();
    let text = format!(
        "[[credential]]\npath = {:?}\nstate = \"decoy\"\nreason = \"bait\"\n\
         [[credential]]\nfingerprint = {:?}\nstate = \"decoy\"\n\
         [[credential]]\npath = {shapeless:?}\nstate = \"decoy\"\n",
        by_path.path, by_fingerprint.fingerprint
    );
    fs::write(place.at("registry.d/decoys.toml"), text).unwrap();
    let _daemon = Daemon::start(&place);
    for path in [&by_path.path, &by_fingerprint.path, &shapeless] {
        let done = run(&mut command("cat", &[path]));
        let alert = place.wait(path.to_str().unwrap(), done.is(DECOY));
        assert_eq!(alert.severity, Severity::Critical);
        assert_eq!(alert.owasp, ["NHI2"]);
        let credential = alert.credential.unwrap();
        assert_eq!(credential.state, CredentialState::Decoy);
        assert_eq!(credential.path.as_deref(), path.to_str());
        assert_eq!(credential.retired_by.as_deref(), Some("decoys.toml"));
        assert!(
            place.all(done.is(READ)).is_empty(),
            "it is bait, not retired"
        );
    }
}

#[test]
fn the_registry_is_read_again_on_sighup() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let later = SshKey::ed25519(place.root().join("later"));
    let account = Account::new();
    let file = place.at("registry.d/legacy.toml");
    let retired = |key: &SshKey| {
        format!(
            "[[credential]]\npath = {:?}\nstate = \"retired\"\nsince = 2026-01-02\n",
            key.path
        )
    };
    fs::write(&file, retired(&key)).unwrap();
    let daemon = Daemon::start(&place);
    let done = run(&mut command("cat", &[&key.path]));
    let alert = place.wait("declared retired by its path", done.is(READ));
    let credential = alert.credential.unwrap();
    assert_eq!(credential.retired_by.as_deref(), Some("legacy.toml"));
    assert_eq!(credential.state, CredentialState::Retired);
    let since = credential.retired_at.unwrap().to_string();
    assert_eq!(since, "2026-01-02T00:00:00.000000Z");

    // What a file declares is not restored by hand: the file would say so again.
    for target in [key.path.to_str().unwrap(), &key.fingerprint] {
        let refused = act(&mut place.client(&["restore", target]));
        let errors = String::from_utf8_lossy(&refused.output.stderr);
        assert_eq!(refused.output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("legacy.toml"), "{errors}");
        assert!(errors.contains("change it there"), "{errors}");
        assert_eq!(place.known(&key.path).state, CredentialState::Retired);
    }

    let identity = format!(
        "{}[[identity]]\nselector = {:?}\nstate = \"retired\"\n",
        retired(&later),
        account.selector()
    );
    fs::write(&file, identity).unwrap();
    signal(daemon.pid(), Signal::HUP);
    place.until("the file is read again", || {
        place.known(&later.path).state == CredentialState::Retired
    });
    let done = run(&mut command("head", &[&later.path]));
    place.wait("declared later", done.is(READ));
    let done = run(&mut account.runs("true", &[]));
    place.wait("an account", done.is(DetectionId::RetiredIdentityActive));
    let done = run(&mut command("head", &[&key.path]));
    place.silent("no longer declared", done.is(READ));

    // A file with a mistake changes nothing and ends nothing.
    fs::write(&file, "[[credential]]\nstate = \"retierd\"\n").unwrap();
    signal(daemon.pid(), Signal::HUP);
    place.until("it says so", || place.log().contains("legacy.toml"));
    assert_eq!(place.known(&later.path).state, CredentialState::Retired);
    daemon.stop();
}
