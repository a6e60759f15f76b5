//! Who uses a credential and who only reads it: outsiders, harvests, reuse, environments, and what
//! operators allow.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use monitor::control::protocol::CredentialView;
use monitor::model::{Alert, DetectionId, Evidence, Exception, Severity};

use super::daemon::{Daemon, Place, is_own, patiently};
use super::host::{Account, SshKey, act, command, exe, program, python, run};
use super::turn::{alone, shared};

const OUTSIDER: DetectionId = DetectionId::OutsiderReads;

/// How long users are learned in these tests.
const LEARNING: Duration = Duration::from_secs(4);
const SHORT: &str = "[detection]\nfold_quiet = \"1s\"\n[detection.users]\nlearning = \"4s\"";

/// Lets the time pass in which users are learned.
fn learned() {
    std::thread::sleep(LEARNING);
}

/// A secret file of an account.
fn belongs(path: &Path, account: &Account, mode: u32) {
    chown(path, Some(account.uid), Some(account.gid)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Alerts of a detection about a file, by processes of this test.
fn about(id: DetectionId, path: &Path) -> impl Fn(&Alert) -> bool + use<> {
    let path = path.to_str().unwrap().to_owned();
    move |alert| {
        let credential = alert.credential.as_ref();
        alert.id == id
            && is_own(alert)
            && credential.is_some_and(|of| of.path.as_ref() == Some(&path))
    }
}

/// A JSON web token that nobody has signed.
fn token(path: &Path, subject: &str) {
    // {"alg":"none"} and its like need no library: the test makes the parts by python's own.
    let script = "import base64, json, sys\n\
                  part = lambda of: base64.urlsafe_b64encode(json.dumps(of).encode()).rstrip(b'=').decode()\n\
                  claims = {'iss': 'https://issuer.example', 'sub': sys.argv[2], 'jti': sys.argv[2], 'iat': 1700000000}\n\
                  signature = base64.urlsafe_b64encode(sys.argv[2].encode() * 8).rstrip(b'=').decode()\n\
                  open(sys.argv[1], 'w').write('.'.join([part({'alg': 'RS256', 'typ': 'JWT'}), part(claims), signature]))";
    run(&mut python(script, &[&path, &subject]));
}

/// An access key of Amazon's, of no account.
fn access_key(path: &Path, number: u32) {
    let text = format!(
        "[default]\naws_access_key_id = AKIAQ7T2M4XW5ZB{number:05}\n\
         aws_secret_access_key = wJalrXUtnFEMIqK7MDENGzbPxRfiCYzK3xQ{number:05}\n"
    );
    fs::write(path, text).unwrap();
}

#[test]
fn whoever_comes_after_the_users_were_learned_is_an_outsider() {
    let _host = shared();
    let place = Place::with(SHORT);
    let account = Account::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    belongs(&key.path, &account, 0o600);
    let daemon = Daemon::start(&place);
    place.known(&key.path);
    run(&mut account.runs("head", &[&key.path]));
    // The time begins with the find, which was before.
    learned();
    run(&mut account.runs("head", &[&key.path]));
    run(&mut account.runs("ssh-keygen", &[&"-y", &"-f", &key.path]));
    place.silent("users and ssh are none", about(OUTSIDER, &key.path));

    let done = run(&mut account.runs("tail", &[&key.path]));
    let alert = place.wait("a program that never read it", done.is(OUTSIDER));
    assert_eq!(alert.severity, Severity::Medium);
    assert_eq!(alert.evidence, Some(Evidence::Read));
    let users = format!("only {} with {}", account.selector(), exe("head"));
    assert!(alert.summary.contains(&users), "{}", alert.summary);
    done.assert_time(&alert);
    let done = run(&mut command("cat", &[&key.path]));
    let alert = place.wait("root, who is not the owner", done.is(OUTSIDER));
    assert_eq!(alert.severity, Severity::High);

    // A copy is the same credential, and its users are the same.
    let copy = place.root().join("copy");
    run(&mut account.runs("true", &[]));
    fs::copy(&key.path, &copy).unwrap();
    belongs(&copy, &account, 0o600);
    place.known(&copy);
    run(&mut account.runs("head", &[&copy]));
    place.silent("its user reads a copy", about(OUTSIDER, &copy));

    // What was learned is known after a restart, and nobody is learned anew.
    daemon.kill();
    let _daemon = Daemon::start(&place);
    place.known(&key.path);
    let user = run(&mut account.runs("head", &[&key.path]));
    let other = run(&mut account.runs("tail", &[&key.path]));
    place.wait("an outsider of before", other.is(OUTSIDER));
    assert!(place.all(user.is(OUTSIDER)).is_empty());
}

#[test]
fn a_rotation_opens_no_new_time() {
    let _host = shared();
    let place = Place::with(SHORT);
    let account = Account::new();
    let path = place.root().join("deploy");
    let key = SshKey::ed25519(path.clone());
    belongs(&key.path, &account, 0o600);
    let _daemon = Daemon::start(&place);
    place.known(&path);
    run(&mut account.runs("head", &[&path]));
    learned();
    let next = SshKey::ed25519(place.at("next"));
    belongs(&next.path, &account, 0o600);
    fs::rename(&next.path, &path).unwrap();
    lies_at(&place, &path, &next.fingerprint);
    let user = run(&mut account.runs("head", &[&path]));
    let other = run(&mut account.runs("tail", &[&path]));
    place.wait("the successor's outsider", other.is(OUTSIDER));
    assert!(place.all(user.is(OUTSIDER)).is_empty());
}

#[test]
fn while_users_are_learned_only_who_is_clearly_none_is_told() {
    let _host = shared();
    let place = Place::new();
    let account = Account::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    belongs(&key.path, &account, 0o600);
    let _daemon = Daemon::start(&place);
    place.known(&key.path);
    // A backup of root, a tool of the owner.
    run(&mut command("cat", &[&key.path]));
    run(&mut account.runs("cat", &[&key.path]));
    // A program that lies in memory only, and one that anybody can have left there.
    let script = "import os, sys\n\
                  memory = os.memfd_create('kworker')\n\
                  os.write(memory, open(sys.argv[1], 'rb').read())\n\
                  os.execve(memory, ['cat', sys.argv[2]], {})";
    let memory = run(&mut python(script, &[&program("cat"), &key.path]));
    let alert = place.wait("a program in memory", memory.is(OUTSIDER));
    assert_eq!(alert.severity, Severity::High);
    for directory in ["/dev/shm", "/var/tmp"] {
        let directory = tempfile::tempdir_in(directory).unwrap();
        let copy = directory.path().join("reader");
        fs::copy(program("cat"), &copy).unwrap();
        let done = run(std::process::Command::new(&copy).arg(&key.path));
        let alert = place.wait("a program that anybody can have left", done.is(OUTSIDER));
        assert_eq!(alert.severity, Severity::High, "{}", copy.display());
    }
    // A person with root's rights, by a terminal of its own.
    let line = format!("cat {}", key.path.display());
    run(&mut command("script", &[&"-qec", &line, &"/dev/null"]));
    let by_terminal = |alert: &Alert| {
        let process = alert.process.as_ref();
        alert.id == OUTSIDER && process.is_some_and(|of| of.terminal.is_some())
    };
    let alert = place.wait("a person at another account's key", by_terminal);
    assert_eq!(alert.process.unwrap().exe, Some(exe("cat")));
    let all = place.all(about(OUTSIDER, &key.path));
    assert_eq!(all.len(), 4, "{all:#?}");
}

#[test]
fn a_token_that_an_outsider_read_is_used_at_its_api() {
    let _host = shared();
    let place = Place::with(SHORT);
    let account = Account::new();
    let path = place.root().join("token");
    token(&path, "system:serviceaccount:prod:api");
    belongs(&path, &account, 0o600);
    let _daemon = Daemon::start(&place);
    place.known(&path);
    // Only where nothing else of this host listens is it ours; a refused connection was tried, too.
    let listener = TcpListener::bind("127.0.0.1:6443").ok();
    let call = "import socket, sys\n\
                open(sys.argv[1]).read()\n\
                try: socket.create_connection(('127.0.0.1', int(sys.argv[2])), 2)\n\
                except OSError: pass";
    let user = run(&mut account.runs("python3", &[&"-c", &call, &path, &"6443"]));
    learned();
    let again = run(&mut account.runs("python3", &[&"-c", &call, &path, &"6443"]));
    let elsewhere = run(&mut python(call, &[&path, &"6444"]));
    place.wait("root is no user", elsewhere.is(OUTSIDER));
    let id = DetectionId::ReadThenCall;
    let thief = run(&mut python(call, &[&path, &"6443"]));
    let alert = place.wait("the API is called", thief.is(id));
    assert_eq!(alert.severity, Severity::Critical);
    assert_eq!(alert.destination.unwrap().port, 6443);
    // A child calls, once that cause has ended.
    std::thread::sleep(patiently(Duration::from_secs(3)));
    let line = format!(
        "read token < {}; exec {} -c \"import socket; socket.socket().connect_ex(('127.0.0.1', 6443))\"",
        path.display(),
        program("python3").display(),
    );
    let child = run(&mut command("bash", &[&"-c", &line]));
    place.wait("a program after the shell that read", child.is(id));
    for innocent in [&user, &again, &elsewhere] {
        assert!(place.all(innocent.is(id)).is_empty());
    }
    drop(listener);
}

/// Waits until a credential whose fingerprint ends so is known at a path.
fn lies_at(place: &Place, path: &Path, end: &str) {
    let is = |of: &CredentialView| {
        of.fingerprint.as_str().ends_with(end) && of.paths.iter().any(|at| at == path)
    };
    place.until("the successor is known", || {
        place.credentials().iter().any(is)
    });
}

/// Files of three kinds, of an account.
fn three_kinds(place: &Place, account: &Account) -> [PathBuf; 3] {
    let paths = ["id_key", "credentials", "token"].map(|name| place.root().join(name));
    SshKey::ed25519(paths[0].clone());
    access_key(&paths[1], 1);
    token(&paths[2], "worker");
    for path in &paths {
        belongs(path, account, 0o600);
    }
    paths
}

#[test]
fn one_tree_that_reads_three_kinds_is_a_harvest_and_a_backup_is_none() {
    // Other tests are of the same process, and all they do would count as its own.
    let _host = alone();
    let place = Place::with(SHORT);
    let account = Account::new();
    let paths = three_kinds(&place, &account);
    let _daemon = Daemon::start(&place);
    for path in &paths {
        place.known(path);
    }
    let id = DetectionId::Harvest;
    let all = paths.each_ref().map(|path| path.display().to_string());
    let backup = || run(&mut command("md5sum", &[&all[0], &all[1], &all[2]]));
    backup();
    learned();
    backup();
    place.silent("a backup that was learned", |alert| {
        alert.id == id && is_own(alert)
    });

    // Each by a process of its own, which has ended before the next one reads.
    let line = all.iter().map(|path| format!("cat {path} >/dev/null\n"));
    run(&mut command("sh", &[&"-c", &line.collect::<String>()]));
    let alert = place.wait("three kinds by one tree", |alert| {
        alert.id == id && is_own(alert)
    });
    assert_eq!(alert.severity, Severity::High);
    // Others that this test program has started are in its tree too.
    for kind in ["SSH private key", "AWS access key", "JSON web token"] {
        assert!(alert.summary.contains(kind), "{}", alert.summary);
    }
}

#[test]
fn one_tree_that_reads_many_files_is_a_harvest() {
    // Other tests are of the same process, and all they do would count as its own.
    let _host = alone();
    let place = Place::with(SHORT);
    let account = Account::new();
    let files = place.root().join("many");
    fs::create_dir(&files).unwrap();
    for number in 0..12 {
        let path = files.join(format!("credentials{number}"));
        access_key(&path, number);
        belongs(&path, &account, 0o600);
    }
    let _daemon = Daemon::start(&place);
    place.known(&files.join("credentials11"));
    learned();
    let id = DetectionId::Harvest;
    let some = |from: u32, to: u32| {
        let paths: Vec<_> = (from..to)
            .map(|n| files.join(format!("credentials{n}")))
            .collect();
        let mut cat = command("cat", &[]);
        run(cat.args(paths))
    };
    some(0, 10);
    place.silent("ten are not many", |alert| alert.id == id && is_own(alert));
    let done = some(10, 12);
    let alert = place.wait("the eleventh", done.is(id));
    assert!(alert.summary.contains(" files"), "{}", alert.summary);
}

#[test]
fn two_accounts_with_one_credential_are_told_once() {
    let _host = shared();
    let place = Place::with("[detection]\nfold_quiet = \"1s\"");
    let [first, second, owner] = [Account::new(), Account::new(), Account::new()];
    let path = place.root().join("credentials");
    access_key(&path, 7);
    belongs(&path, &owner, 0o644);
    let _daemon = Daemon::start(&place);
    place.known(&path);
    let id = DetectionId::Reuse;
    run(&mut first.runs("cat", &[&path]));
    run(&mut owner.runs("cat", &[&path]));
    run(&mut command("cat", &[&path]));
    place.silent("an account, the owner and root", about(id, &path));
    let done = run(&mut second.runs("cat", &[&path]));
    let alert = place.wait("another account", done.is(id));
    assert_eq!(alert.severity, Severity::Medium, "three: {}", alert.summary);
    assert!(
        alert.summary.contains(&first.selector()),
        "{}",
        alert.summary
    );
    std::thread::sleep(patiently(Duration::from_secs(2)));
    for account in [&first, &second] {
        run(&mut account.runs("cat", &[&path]));
        run(&mut account.runs("head", &[&path]));
    }
    place.silent("once for a pair", |alert| {
        alert.id == id && alert.alert_id != alert_id(&done, &place)
    });
}

fn alert_id(done: &super::host::Done, place: &Place) -> String {
    place.all(done.is(DetectionId::Reuse))[0].alert_id.clone()
}

#[test]
fn a_credential_of_one_environment_is_used_in_another() {
    let _host = shared();
    let [prod, test] = [Account::new(), Account::new()];
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let place = Place::with(&format!(
        "[[environment]]\nname = \"prod\"\nidentities = [{:?}]\n\
         credentials = [\"/var/tmp/**/prod/*\"]\n\
         [[environment]]\nname = \"test\"\nidentities = [{:?}]\naddresses = [\"127.0.0.2\"]",
        prod.selector(),
        test.selector(),
    ));
    fs::create_dir(place.root().join("prod")).unwrap();
    super::daemon::open_to_all(&place.root().join("prod"));
    let path = place.root().join("prod/credentials");
    access_key(&path, 9);
    belongs(&path, &prod, 0o644);
    let _daemon = Daemon::start(&place);
    place.known(&path);
    let id = DetectionId::WrongEnvironment;
    let call = "import socket, sys\n\
                open(sys.argv[1]).read()\n\
                socket.socket().connect_ex((sys.argv[2], int(sys.argv[3])))";
    let port = port.to_string();
    let at_home = ["127.0.0.1", "127.0.0.3"]
        .map(|to| run(&mut prod.runs("python3", &[&"-c", &call, &path, &to, &port])));
    let stranger = run(&mut command("cat", &[&path]));
    let alert = {
        let done = run(&mut test.runs("cat", &[&path]));
        place.wait("an account of the other", done.is(id))
    };
    assert_eq!(alert.severity, Severity::High);
    assert!(
        alert.summary.contains("belongs to prod"),
        "{}",
        alert.summary
    );
    let done = run(&mut prod.runs("python3", &[&"-c", &call, &path, &"127.0.0.2", &port]));
    let alert = place.wait("an address of the other", done.is(id));
    assert_eq!(alert.destination.unwrap().address.to_string(), "127.0.0.2");
    for innocent in at_home.iter().chain([&stranger]) {
        assert!(place.all(innocent.is(id)).is_empty());
    }
}

#[test]
fn ordinary_use_is_quiet() {
    // Other tests are of the same process, and all they do would count as its own.
    let _host = alone();
    let place = Place::with(SHORT);
    let account = Account::new();
    let paths = three_kinds(&place, &account);
    let daemon = Daemon::start(&place);
    for path in &paths {
        place.known(path);
    }
    let archive = place.at("backup.tar");
    let night = || {
        // A backup of root, the owner's own tool, and ssh with its key.
        let mut tar = command("tar", &[&"-cf", &archive]);
        run(tar.args(&paths));
        for path in &paths {
            run(&mut account.runs("sha256sum", &[path]));
        }
        run(&mut account.runs("ssh-keygen", &[&"-y", &"-f", &paths[0]]));
        let nobody = [
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-p",
            "9",
        ];
        let mut ssh = account.runs("ssh", &[&"-i", &paths[0], &"-F", &"/dev/null"]);
        // Nobody listens there; it has looked at its key all the same.
        act(ssh.args(nobody).arg("127.0.0.1").arg("true"));
        let line = format!(
            "eval $(ssh-agent -s) && ssh-add {}; ssh-agent -k",
            paths[0].display()
        );
        run(&mut account.runs("sh", &[&"-c", &line]));
        run(&mut command("stat", &[&paths[0], &paths[1], &paths[2]]));
    };
    night();
    learned();
    night();
    // The files are rewritten by their tools, and the daemon is started anew.
    let next = place.root().join("credentials.new");
    access_key(&next, 2);
    belongs(&next, &account, 0o600);
    fs::rename(&next, &paths[1]).unwrap();
    lies_at(&place, &paths[1], "00002");
    daemon.stop();
    let _daemon = Daemon::start(&place);
    for path in &paths {
        place.known(path);
    }
    night();
    let new = [
        OUTSIDER,
        DetectionId::ReadThenCall,
        DetectionId::Harvest,
        DetectionId::Reuse,
        DetectionId::WrongEnvironment,
    ];
    place.silent("ordinary use", |alert| {
        is_own(alert) && new.contains(&alert.id)
    });
}

#[test]
fn what_an_operator_allows_is_silent_until_it_is_taken_back() {
    let _host = shared();
    let place = Place::with(SHORT);
    let account = Account::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    belongs(&key.path, &account, 0o600);
    let daemon = Daemon::start(&place);
    place.known(&key.path);
    learned();
    let done = run(&mut command("cat", &[&key.path]));
    let alert = place.wait("root is no user", done.is(OUTSIDER));
    let id = &alert.alert_id[..10];
    let refused = |args: &[&str], why: &str| {
        let output = place.client(args).output().unwrap();
        assert!(!output.status.success(), "{args:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains(why), "{errors}");
    };
    refused(&["allow", id], "--reason");
    refused(&["allow", "ffffffffff", "--reason", "x"], "no alert");
    refused(&["allow", &id[..2], "--reason", "x"], "no alert's id");
    refused(&["allow", id, "--reason", "x", "--for", "soon"], "30d");
    let made: Vec<Exception> =
        place.ask(&["allow", id, "--reason", "a check of ours", "--for", "30d"]);
    assert_eq!(made[0].id, alert.alert_id);
    assert_eq!(made[0].by, "root");
    let days = made[0].expires.unwrap().since(made[0].since).as_secs() / 86_400;
    assert_eq!(days, 30);

    let silent = run(&mut command("cat", &[&key.path]));
    let other = run(&mut command("tail", &[&key.path]));
    place.wait("another program of root's", other.is(OUTSIDER));
    std::thread::sleep(patiently(Duration::from_secs(2)));
    // What lies at cat's path for this process alone is another program.
    let line = format!(
        "mount --bind {} {} && {} {}",
        program("tac").display(),
        program("cat").canonicalize().unwrap().display(),
        program("cat").display(),
        key.path.display()
    );
    let mounted = act(&mut command(
        "unshare",
        &[
            &"--mount",
            &"--propagation",
            &"private",
            &"sh",
            &"-c",
            &line,
        ],
    ));
    if mounted.output.status.success() {
        place.wait("another file at that path", |alert| {
            let process = alert.process.as_ref();
            about(OUTSIDER, &key.path)(alert)
                && process.is_some_and(|of| of.exe == Some(exe("cat")))
                && alert.alert_id != made[0].id
        });
    }
    // It holds after a restart, and stands in the list.
    daemon.kill();
    let _daemon = Daemon::start(&place);
    place.known(&key.path);
    let again = run(&mut command("cat", &[&key.path]));
    let listed: Vec<Exception> = place.ask(&["allow", "--list"]);
    assert_eq!(listed, made);
    let other = run(&mut command("head", &[&key.path]));
    place.wait("it watches", other.is(OUTSIDER));
    for allowed in [&silent, &again] {
        assert!(place.all(allowed.is(OUTSIDER)).is_empty());
    }
    let _: Vec<Exception> = place.ask(&["allow", "--remove", id]);
    let listed: Vec<Exception> = place.ask(&["allow", "--list"]);
    assert!(listed.is_empty(), "{listed:?}");
    let done = run(&mut command("cat", &[&key.path]));
    place.wait("it is taken back", done.is(OUTSIDER));
}

#[test]
fn what_is_retired_is_allowed_by_force_only() {
    let _host = shared();
    let place = Place::with("[detection]\nfold_quiet = \"1s\"");
    let key = SshKey::ed25519(place.root().join("old"));
    let _daemon = Daemon::start(&place);
    place.retire(&key.path);
    let id = DetectionId::RetiredCredentialRead;
    let done = run(&mut command("cat", &[&key.path]));
    let alert = place.wait("it is retired", done.is(id));
    let allow = ["allow", &alert.alert_id, "--reason", "the last export"];
    let output = place.client(&allow).output().unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("credwatch restore"), "{errors}");
    let long = [&allow[..], &["--force", "--for", "31d"]].concat();
    assert!(!place.client(&long).output().unwrap().status.success());
    let _: Vec<Exception> = place.ask(&[&allow[..], &["--force"]].concat());
    std::thread::sleep(patiently(Duration::from_secs(2)));
    let silent = run(&mut command("cat", &[&key.path]));
    let other = run(&mut command("head", &[&key.path]));
    place.wait("another program", other.is(id));
    assert!(place.all(silent.is(id)).is_empty());
}
