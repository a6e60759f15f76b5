//! The end of a life, really done: accounts are offboarded, removed and reactivated, keys are asked
//! for whether they can be deleted.

use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use monitor::control::protocol::{CredentialView, IdentityView, OffboardView, OffboardedView};
use monitor::model::{Alert, CredentialState, DetectionId, Severity, Usage};
use monitor::registry::{Assessment, Verdict};

use super::daemon::{Daemon, Place, patiently};
use super::host::{Account, Partner, SshKey, change_accounts, command, exe, python, run};
use super::kinds::Unit;
use super::turn::{alone, shared};

const REACTIVATED: DetectionId = DetectionId::AccountReactivated;
const HASH: &str = "$6$saltsalt$/qDmjPqZY1tKz5y1fV6eFyhCz9sQ3OTs3bU9zV4cKcFgC1oBbm7Zw0oPZkWn0jx4eYVb1Zb2lZ5X4n9k5mC7x/";

/// A system account, for as long as this lives.
struct System {
    name: String,
}

impl System {
    fn new(more: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cwsys-{}-{number}", std::process::id());
        let mut add = command("useradd", &[&"-r", &"--shell", &"/usr/sbin/nologin"]);
        change_accounts(add.args(more).arg(&name));
        Self { name }
    }

    fn change(&self, program: &str, args: &[&str]) {
        change_accounts(command(program, &[]).args(args).arg(&self.name));
    }

    fn selector(&self) -> String {
        format!("unix:user:{}", self.name)
    }

    /// The alert about this account that says so.
    fn wait(&self, place: &Place, how: &str) -> Alert {
        let about = self.selector();
        place.wait(how, |alert| {
            let identity = alert.identity.as_ref();
            alert.id == REACTIVATED
                && identity.is_some_and(|of| of.as_str() == about)
                && alert.summary.contains(how)
        })
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // One that the test has removed is no error.
        let _ = command("userdel", &[&self.name]).output();
    }
}

fn by(alert: &Alert) -> Option<&str> {
    alert.process.as_ref()?.exe.as_deref()
}

#[test]
fn a_locked_account_that_can_be_used_again_is_told_with_who_did_it() {
    // Others change accounts too, and one of theirs could be named.
    let _host = alone();
    let place = Place::new();
    let unlocked = System::new(&["-p", HASH]);
    unlocked.change("usermod", &["-L"]);
    let [given, shell, expired, retired] = [(); 4].map(|()| System::new(&[]));
    expired.change("chage", &["-E", "1"]);
    let _daemon = Daemon::start(&place);
    place.retire(retired.selector());

    unlocked.change("usermod", &["-U"]);
    let alert = unlocked.wait(&place, "its password was unlocked");
    assert_eq!(by(&alert), Some(&*exe("usermod")), "{}", alert.summary);
    assert_eq!(alert.severity, Severity::High);
    assert_eq!(
        (&*alert.attack, &*alert.owasp),
        (&["T1078.003".to_owned()][..], &["NHI1".to_owned()][..])
    );

    let mut chpasswd = command("chpasswd", &[&"-e"]);
    let mut child = chpasswd.stdin(Stdio::piped()).spawn().unwrap();
    let line = format!("{}:{HASH}\n", given.name);
    child
        .stdin
        .take()
        .unwrap()
        .write_all(line.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    let alert = given.wait(&place, "it was given a password");
    assert_eq!(by(&alert), Some(&*exe("chpasswd")), "{}", alert.summary);

    shell.change("chsh", &["-s", "/bin/sh"]);
    let alert = shell.wait(&place, "it was given a shell");
    assert_eq!(by(&alert), Some(&*exe("chsh")), "{}", alert.summary);

    expired.change("chage", &["-E", "-1"]);
    let alert = expired.wait(&place, "its expiry was lifted");
    assert_eq!(by(&alert), Some(&*exe("chage")), "{}", alert.summary);

    retired.change("usermod", &["-s", "/bin/sh"]);
    let alert = retired.wait(&place, "it was given a shell");
    assert_eq!(alert.severity, Severity::Critical);
    assert!(
        alert.summary.contains("\"moved to OIDC\""),
        "{}",
        alert.summary
    );
}

#[test]
fn what_happened_to_an_account_while_no_daemon_ran_is_told_at_the_start() {
    let _host = shared();
    let place = Place::new();
    let account = System::new(&["-p", HASH]);
    account.change("usermod", &["-L"]);
    let daemon = Daemon::start(&place);
    let sql = format!(
        "SELECT count(*) FROM account WHERE name = '{}'",
        account.name
    );
    place.until("the account is stored", || count(&place, &sql) == 1);
    daemon.stop();
    account.change("usermod", &["-U"]);
    let daemon = Daemon::start(&place);
    let alert = account.wait(&place, "its password was unlocked");
    assert!(alert.summary.contains("did not run"), "{}", alert.summary);
    assert_eq!(alert.process, None);
    daemon.stop();
    let _daemon = Daemon::start(&place);
    let told = || place.all(|alert| alert.id == REACTIVATED && alert.identity == self_of(&account));
    place.silent("told once", |_| told().len() > 1);
    // The database holds classes, and no hash.
    let stored = fs::read(place.state().join("credwatch.db")).unwrap();
    assert!(!stored.windows(8).any(|bytes| bytes == b"saltsalt"));
}

fn self_of(account: &System) -> Option<monitor::model::Selector> {
    account.selector().parse().ok()
}

#[test]
fn ordinary_work_on_accounts_reactivates_none() {
    let _host = shared();
    let place = Place::new();
    let person = Account::new();
    let locked = System::new(&[]);
    let _daemon = Daemon::start(&place);
    // A package adds its account, locked, and gives it the shell that it needs.
    let packaged = System::new(&["--home-dir", "/nonexistent"]);
    packaged.change("usermod", &["-s", "/bin/sh"]);
    // A person's password is set and changed, and the person leaves and comes back.
    for args in [&["-p", HASH][..], &["-L"], &["-U"], &["-s", "/bin/bash"]] {
        change_accounts(command("usermod", &[]).args(args).arg(&person.name));
    }
    // An account is locked still more.
    locked.change("usermod", &["-L"]);
    locked.change("chage", &["-E", "1"]);
    locked.change("usermod", &["-c", "a comment"]);
    let names = [&person.name, &packaged.name, &locked.name];
    place.silent("ordinary work", |alert| {
        alert.id == REACTIVATED && names.iter().any(|name| alert.summary.contains(*name))
    });
}

fn key_of(place: &Place, account: &Account, name: &str) -> SshKey {
    let key = SshKey::ed25519(place.root().join(name));
    chown(&key.path, Some(account.uid), Some(account.gid)).unwrap();
    key
}

fn credential(place: &Place, key: &SshKey) -> CredentialView {
    let mut all = place.credentials().into_iter();
    all.find(|of| of.fingerprint.as_str() == key.fingerprint)
        .unwrap()
}

#[test]
fn an_offboarded_account_is_retired_with_what_is_its_own_and_watched() {
    let _host = shared();
    let place = Place::new();
    let account = Account::new();
    let (own, common) = (
        key_of(&place, &account, "own"),
        key_of(&place, &account, "common"),
    );
    let _daemon = Daemon::start(&place);
    run(&mut account.runs("cat", &[&own.path]));
    run(&mut account.runs("cat", &[&common.path]));
    run(&mut command("cat", &[&common.path]));
    let of = |row: &Usage| {
        [&own, &common]
            .iter()
            .any(|key| row.key.fingerprint.as_str() == key.fingerprint)
    };
    place.until("uses are seen", || {
        place.usage().iter().filter(|row| of(row)).count() == 3
    });

    let selector = account.selector();
    let refused = place.client(&["offboard", &selector]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "nobody to ask");
    let plan: OffboardView = place.ask(&["offboard", &selector, "--dry-run"]);
    assert!(!plan.done);
    let retires = |view: &OffboardView, key: &SshKey| {
        let mut all = view.credentials.iter();
        let of = all.find(|of| of.fingerprint.as_str() == key.fingerprint);
        of.unwrap().retires
    };
    assert!(
        retires(&plan, &own) && !retires(&plan, &common),
        "{plan:#?}"
    );
    assert_eq!(credential(&place, &own).state, CredentialState::Active);

    let done: OffboardView = place.ask(&["offboard", &selector, "--yes", "--reason", "it left"]);
    assert!(done.done);
    assert_eq!(credential(&place, &own).state, CredentialState::Retired);
    assert_eq!(credential(&place, &common).state, CredentialState::Active);
    let status = || -> Vec<OffboardedView> { place.ask(&["offboard", "--status", &selector]) };
    assert_eq!(status().len(), 2);
    assert!(
        status().iter().all(|row| row.used.is_none()),
        "{:#?}",
        status()
    );

    run(&mut account.runs("cat", &[&own.path]));
    for id in [
        DetectionId::RetiredCredentialRead,
        DetectionId::RetiredIdentityActive,
    ] {
        let alert = place.wait("it is used all the same", |alert| {
            alert.id == id
                && alert
                    .identity
                    .as_ref()
                    .is_some_and(|of| of.as_str() == selector)
        });
        assert!(alert.summary.contains("it left"), "{}", alert.summary);
    }
    place.until("both are used", || {
        status().iter().all(|row| row.used.is_some())
    });
    let read = status().into_iter().find(|row| row.kind.is_some()).unwrap();
    assert_eq!(read.used_with, Some(exe("cat")));
}

#[test]
fn a_removed_account_is_offboarded_and_one_that_comes_back_at_once_is_not() {
    let _host = shared();
    let place = Place::with("[offboard]\nremoval_grace = \"3s\"");
    let (gone, back) = (Account::new(), Account::new());
    let (of_gone, of_back) = (key_of(&place, &gone, "gone"), key_of(&place, &back, "back"));
    let daemon = Daemon::start(&place);
    run(&mut gone.runs("true", &[]));
    run(&mut back.runs("true", &[]));
    for account in [&gone, &back] {
        change_accounts(&mut command("userdel", &[&account.name]));
    }
    let (uid, name) = (back.uid.to_string(), back.name.clone());
    change_accounts(&mut command("useradd", &[&"-M", &"-u", &uid, &name]));
    // What waits outlives the daemon.
    std::thread::sleep(Duration::from_millis(1_000));
    daemon.stop();
    let _daemon = Daemon::start(&place);
    place.until("what the account owned is retired", || {
        credential(&place, &of_gone).state == CredentialState::Retired
    });
    let retired = credential(&place, &of_gone);
    assert_eq!(retired.retired_by.as_deref(), Some("credwatch"));
    assert_eq!(retired.reason.as_deref(), Some("its account was removed"));
    std::thread::sleep(patiently(Duration::from_secs(2)));
    assert_eq!(credential(&place, &of_back).state, CredentialState::Active);
    let rows: Vec<OffboardedView> = place.ask(&["offboard", "--status"]);
    assert!(rows.iter().any(|row| row.target == of_gone.fingerprint));
    assert!(rows.iter().all(|row| row.target != of_back.fingerprint));
    // So that the accounts' guards have what they remove.
    change_accounts(&mut command("useradd", &[&"-M", &gone.name]));
}

/// A service's file, for as long as this lives.
struct UnitFile(PathBuf);

impl UnitFile {
    fn new(name: &str) -> Self {
        let directory = Path::new("/etc/systemd/system");
        fs::create_dir_all(directory).unwrap();
        let file = directory.join(name);
        fs::write(&file, "[Service]\nExecStart=/bin/true\n").unwrap();
        Self(file)
    }
}

impl Drop for UnitFile {
    fn drop(&mut self) {
        // One that the test has removed is no error.
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_service_whose_file_is_removed_is_offboarded_also_while_no_daemon_runs() {
    let _host = shared();
    let place = Place::with("[offboard]\nremoval_grace = \"3s\"");
    let test = std::process::id();
    let names = ["seen", "unseen", "kept"].map(|name| format!("cwlive-{name}-{test}.service"));
    let files = [0, 1, 2].map(|of: usize| UnitFile::new(&names[of]));
    let daemon = Daemon::start(&place);
    // There until their names are known.
    let units = names
        .each_ref()
        .map(|name| Unit::make(&format!("system.slice/{name}")));
    for unit in &units {
        let script = format!("{}; exec true", unit.enter());
        run(&mut command("sh", &[&"-c", &script]));
    }
    let state = |name: &String| {
        let all: Vec<IdentityView> = place.ask(&["identities"]);
        let selector = format!("systemd:unit:{name}");
        let mut all = all.into_iter();
        all.find(|of| of.selector.as_str() == selector)
            .map(|of| of.state)
    };
    place.until("they have acted", || {
        names.iter().all(|name| state(name).is_some())
    });
    drop(units);
    let [seen, unseen, _kept] = files;
    // Units are looked at every ten seconds.
    std::thread::sleep(Duration::from_secs(11));
    drop(seen);
    let deadline = Instant::now() + patiently(Duration::from_secs(25));
    while state(&names[0]) != Some(CredentialState::Retired) {
        assert!(Instant::now() < deadline, "it is not offboarded");
        std::thread::sleep(Duration::from_millis(200));
    }
    daemon.stop();
    drop(unseen);
    let _daemon = Daemon::start(&place);
    while state(&names[1]) != Some(CredentialState::Retired) {
        assert!(
            Instant::now() < deadline + patiently(Duration::from_secs(30)),
            "it is not offboarded"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(state(&names[2]), Some(CredentialState::Active));
}

fn ask(place: &Place, key: &SshKey) -> (Option<i32>, Assessment) {
    let path = key.path.to_str().unwrap();
    let args = ["report", "safe-to-delete", path, "--output", "json"];
    let output = place.client(&args).output().unwrap();
    let answer: Vec<Assessment> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(answer.len(), 1);
    (output.status.code(), answer.into_iter().next().unwrap())
}

fn has(of: &Assessment, code: &str) -> bool {
    of.reasons.iter().any(|reason| reason.code == code)
}

#[test]
fn a_key_is_safe_to_delete_once_it_was_quiet_for_long_enough_and_nobody_has_it() {
    // Lost events would speak against it.
    let _host = alone();
    let more = "[offboard]\nleast_observation = \"2s\"\nunknown_rhythm = \"4s\"";
    let place = Place::with(more);
    let account = Account::new();
    let key = key_of(&place, &account, "key");
    let daemon = Daemon::start(&place);
    let (code, answer) = ask(&place, &key);
    assert_eq!(
        (code, answer.verdict),
        (Some(4), Verdict::CannotTell),
        "{answer:#?}"
    );
    assert!(has(&answer, "too-short"), "{answer:#?}");

    run(&mut account.runs("cat", &[&key.path]));
    let (code, answer) = ask(&place, &key);
    assert_eq!(
        (code, answer.verdict),
        (Some(3), Verdict::No),
        "{answer:#?}"
    );
    assert!(has(&answer, "in-use"));
    assert_eq!(answer.last_used_with, Some(exe("cat")));

    // One who has read it, and one who has only opened it, for as long as they live.
    let path = key.path.to_str().unwrap();
    let say = "import sys\nprint('there', flush=True)\nsys.stdin.readline()";
    let reads = say.replace("print", "open(sys.argv[1]).read()\nprint");
    let reader = Partner::start(&mut python(&reads, &[&path]));
    let opens = say.replace("print", "import os\nheld = os.open(sys.argv[1], 0)\nprint");
    let opener = Partner::start(&mut python(&opens, &[&path]));
    place.until("both are held against it", || {
        let (_, answer) = ask(&place, &key);
        has(&answer, "held") && has(&answer, "open")
    });
    reader.finish();
    opener.finish();

    let deadline = Instant::now() + patiently(Duration::from_secs(30));
    let (code, answer) = loop {
        let (code, answer) = ask(&place, &key);
        if answer.verdict == Verdict::Yes || Instant::now() > deadline {
            break (code, answer);
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(
        (code, answer.verdict),
        (Some(0), Verdict::Yes),
        "{answer:#?}"
    );
    assert!(
        answer
            .caveats
            .iter()
            .any(|text| text.contains("only this host"))
    );

    // Where no daemon answers, there is no yes. What was known is forgotten by no restart.
    daemon.stop();
    let (_, answer) = ask(&place, &key);
    assert_ne!(answer.verdict, Verdict::Yes, "nobody watches: {answer:#?}");
    let config = fs::read_to_string(place.at("credwatch.toml")).unwrap();
    fs::write(
        place.at("credwatch.toml"),
        config.replace("\"4s\"", "\"10m\""),
    )
    .unwrap();
    let _daemon = Daemon::start(&place);
    let (code, answer) = ask(&place, &key);
    assert_eq!(
        (code, answer.verdict),
        (Some(4), Verdict::CannotTell),
        "{answer:#?}"
    );
    assert!(
        answer.uses >= 3,
        "what was used before is known: {answer:#?}"
    );
    assert_eq!(answer.needed_seconds, 600);
    // That nobody watched in between is on disk.
    let sql = "SELECT count(*) FROM unwatched WHERE cause = 'not-running' AND ended > began";
    place.until("the time between the runs is stored", || {
        count(&place, sql) == 1
    });
}

/// The number that a query of the database gives.
fn count(place: &Place, sql: &str) -> u64 {
    let script = "import sqlite3, sys\n\
        database = sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True)\n\
        print(database.execute(sys.argv[2]).fetchone()[0])";
    let database = place.state().join("credwatch.db");
    let done = run(&mut python(script, &[&database, &sql]));
    String::from_utf8_lossy(&done.output.stdout)
        .trim()
        .parse()
        .unwrap()
}
