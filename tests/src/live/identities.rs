//! Acts of accounts that are made for the test: who did it, and CW-103 where the account is retired.

use std::net::TcpListener;
use std::os::unix::fs::chown;

use monitor::model::{Alert, AlertStatus, DetectionId, Selector, Severity};

use super::daemon::{Daemon, Place};
use super::host::{Account, Partner, SshKey, command, exe, program, python, run};
use super::turn::{alone, shared};

const READ: DetectionId = DetectionId::RetiredCredentialRead;
const ACTIVE: DetectionId = DetectionId::RetiredIdentityActive;

#[test]
fn a_reader_that_has_just_changed_its_uid_is_named_rightly() {
    let _host = shared();
    let place = Place::new();
    let account = Account::new();
    let by_setpriv = SshKey::ed25519(place.root().join("by_setpriv"));
    let by_su = SshKey::ed25519(place.root().join("by_su"));
    let without_exec = SshKey::ed25519(place.root().join("without_exec"));
    for key in [&by_setpriv, &by_su, &without_exec] {
        chown(&key.path, Some(account.uid), Some(account.gid)).unwrap();
    }
    let _daemon = Daemon::start(&place);
    for key in [&by_setpriv, &by_su, &without_exec] {
        place.retire(&key.path);
    }

    run(&mut account.runs("cat", &[&by_setpriv.path]));
    let line = format!("exec cat {}", by_su.path.display());
    run(&mut command(
        "su",
        &[&"-s", &program("sh"), &"-c", &line, &account.name],
    ));
    run(&mut python(
        "import os, sys\nos.setuid(int(sys.argv[1]))\nopen(sys.argv[2]).read()",
        &[&account.uid.to_string(), &without_exec.path],
    ));
    for (key, exe) in [
        (&by_setpriv, exe("cat")),
        (&by_su, exe("cat")),
        (&without_exec, exe("python3")),
    ] {
        let alert = place.wait(&exe, |alert| alert.id == READ && key.is_in(alert));
        assert_eq!(alert.identity, Some(Selector::unix_user(&account.name)));
        let process = alert.process.unwrap();
        assert_eq!(process.uid, account.uid);
        assert_eq!(process.user.as_ref(), Some(&account.name));
        assert_eq!(process.exe, Some(exe));
        let test = std::process::id();
        assert!(process.ancestors.iter().any(|of| of.pid == test));
        let used = place.usage();
        let row = used
            .iter()
            .find(|row| row.key.fingerprint.as_str() == key.fingerprint);
        assert_eq!(row.unwrap().key.identity.as_str(), account.selector());
    }
}

#[test]
fn a_retired_account_that_runs_something_is_active() {
    // Any alert at all would be wrong, so nothing else may act here.
    let _host = alone();
    let place = Place::with("[detection]\nfold_quiet = \"1s\"");
    let _daemon = Daemon::start(&place);
    for by_su in [false, true] {
        let account = Account::new();
        let changed = place.retire(account.selector());
        assert_eq!(changed[0].target, account.selector());
        let done = if by_su {
            let sh = program("sh");
            run(&mut command(
                "su",
                &[&"-s", &sh, &"-c", &"sleep 0.01", &account.name],
            ))
        } else {
            run(&mut account.runs("sleep", &[&"0.01"]))
        };
        let alert = place.wait("a retired account runs something", |alert| {
            alert.id == ACTIVE && names(alert, &account)
        });
        done.assert_time(&alert);
        assert_eq!(alert.severity, Severity::Critical);
        assert_eq!(alert.attack, ["T1078"]);
        assert_eq!(alert.owasp, ["NHI1"]);
        assert_eq!(alert.identity.unwrap().as_str(), account.selector());
        assert_eq!(alert.credential, None);
        assert_eq!(alert.destination, None);
        let process = alert.process.unwrap();
        assert_eq!(process.uid, account.uid);
        assert_eq!(process.user.as_ref(), Some(&account.name));
        let ran = if by_su { exe("sh") } else { exe("sleep") };
        assert_eq!(process.exe, Some(ran), "{}", alert.summary);
        assert!(alert.summary.contains("\"moved to OIDC\""));

        place.restore(account.selector());
        // The sum of what was before may come at any time; a new cause may not.
        let begun = || {
            let alerts = place.alerts();
            let open = |alert: &&Alert| alert.status == AlertStatus::Open;
            alerts.iter().filter(open).count()
        };
        let seen = begun();
        run(&mut account.runs("sleep", &[&"0.01"]));
        place.silent("a restored account", |_| begun() > seen);
    }
}

#[test]
fn a_retired_account_that_connects_is_active() {
    let _host = shared();
    let place = Place::new();
    let account = Account::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let _daemon = Daemon::start(&place);
    // It runs already when it is retired: only the connection is an act.
    let mut client = Partner::start(&mut account.runs(
        "python3",
        &[
            &"-c",
            &"import socket, sys\n\
              print('up', flush=True)\n\
              sys.stdin.readline()\n\
              socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n\
              print('connected', flush=True)\n\
              sys.stdin.readline()",
            &port.to_string(),
        ],
    ));
    place.retire(account.selector());
    client.go_on();
    assert_eq!(client.listen(), "connected");
    let done = client.finish();
    let alert = place.wait("a retired account connects", done.is(ACTIVE));
    done.assert_time(&alert);
    assert_eq!(alert.identity.unwrap().as_str(), account.selector());
    let to = alert.destination.unwrap();
    assert_eq!(
        (to.address.to_string(), to.port),
        ("127.0.0.1".into(), port)
    );
    let process = alert.process.unwrap();
    assert_eq!(process.uid, account.uid);
    assert_eq!(process.exe, Some(exe("python3")));
}

#[test]
fn taking_the_uid_of_a_retired_account_is_an_act_by_itself() {
    let _host = shared();
    let place = Place::new();
    let _daemon = Daemon::start(&place);
    for call in [
        "os.setuid(uid)",
        "os.setreuid(uid, uid)",
        "os.setresuid(uid, uid, uid)",
        "os.seteuid(uid)",
    ] {
        let account = Account::new();
        place.retire(account.selector());
        let script = format!(
            "import os, sys\n\
             uid = int(sys.argv[1])\n\
             {call}\n\
             print('changed', flush=True)\n\
             sys.stdin.readline()"
        );
        let taker = Partner::start(&mut python(&script, &[&account.uid.to_string()]));
        // It sits still: no exec, no connection, no end.
        let alert = place.wait(call, |alert| alert.id == ACTIVE && names(alert, &account));
        let process = alert.process.as_ref().unwrap();
        assert_eq!(process.pid, taker.pid());
        assert_eq!(process.uid, account.uid, "{call}");
        assert_eq!(process.exe, Some(exe("python3")));
        assert_eq!(
            alert.identity.as_ref().unwrap().as_str(),
            account.selector()
        );
        taker.finish().assert_time(&alert);
    }
}

fn names(alert: &Alert, account: &Account) -> bool {
    let selector = account.selector();
    alert
        .identity
        .as_ref()
        .is_some_and(|of| of.as_str() == selector)
}
