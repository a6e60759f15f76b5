//! CW-213: credentials where others can read them; and where no file is: environments.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use monitor::control::protocol::FindingKind;
use monitor::model::{Alert, AlertStatus, DetectionId, HeldIn, Severity};

use super::daemon::{Daemon, Place};
use super::host::{Account, Partner, SshKey, command, exe, python, run};
use super::turn::shared;

const LEAKED: DetectionId = DetectionId::LeakedByPlace;

/// A token as GitHub makes them, that nobody has.
pub(super) fn token(seed: &str) -> String {
    let done = run(&mut python(
        "import random, sys, zlib\n\
         digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'\n\
         secret = ''.join(random.Random(sys.argv[1]).choices(digits, k=30))\n\
         rest, check = zlib.crc32(secret.encode()), ''\n\
         for _ in range(6):\n    check, rest = digits[rest % 62] + check, rest // 62\n\
         print('ghp_' + secret + check)",
        &[&format!("{seed} {}", std::process::id())],
    ));
    String::from_utf8(done.output.stdout)
        .unwrap()
        .trim()
        .to_owned()
}

/// With its mode from the first moment on: a file that was open for an instant was open.
fn write(path: &Path, mode: u32, text: &str) {
    let mut options = fs::File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Whether an alert names a file of this test: others may be at work on this host.
fn of_this_test(place: &Place, alert: &Alert) -> bool {
    let path = alert.path.as_deref().unwrap_or("");
    let is_digest = alert.title.starts_with("Credentials");
    let is_first = alert.status == AlertStatus::Open;
    alert.id == LEAKED && is_first && !is_digest && Path::new(path).starts_with(place.at(""))
}

fn is_at(path: &Path) -> impl Fn(&Alert) -> bool + '_ {
    move |alert| alert.id == LEAKED && alert.path.as_deref() == path.to_str()
}

#[test]
fn a_token_among_arguments_is_told_and_ordinary_arguments_are_not() {
    let _host = shared();
    let place = Place::new();
    let _daemon = Daemon::start(&place);
    let secret = token("arguments");
    let header = format!("Authorization: Bearer {secret}");
    let done = run(&mut python("import time; time.sleep(1)", &[&"-H", &header]));
    let alert = place.wait("a token among arguments", done.is(LEAKED));
    done.assert_time(&alert);
    assert_eq!(alert.severity, Severity::Medium);
    assert_eq!(
        (&alert.attack[..], &alert.owasp[..]),
        (&["T1552.001".to_owned()][..], &["NHI2".to_owned()][..])
    );
    let process = alert.process.as_ref().unwrap();
    assert_eq!(process.exe.as_deref(), Some(&*exe("python3")));
    assert!(
        alert.summary.contains("among its arguments"),
        "{}",
        alert.summary
    );
    assert!(
        !format!("{alert:?}").contains(&secret[4..]),
        "the token is not told"
    );

    // What has a prefix and no checksum, a public key, a path to a secret.
    let key = SshKey::ed25519(place.root().join("id"));
    let done = run(&mut command("ssh-keygen", &[&"-y", &"-f", &key.path]));
    let public = String::from_utf8(done.output.stdout).unwrap();
    let wrong = secret.replace(&secret[8..9], "-");
    let done = run(&mut python(
        "import time; time.sleep(1)",
        &[&wrong, &public, &key.path],
    ));
    place.silent("ordinary arguments", done.is(LEAKED));
}

#[test]
fn an_environment_is_read_of_what_stays_and_forgotten_at_its_end() {
    let _host = shared();
    let place = Place::new();
    let account = Account::new();
    let (before, after) = (token("before"), token("after"));
    let sleeper = |secret: &str, name: &str| {
        let script = "import sys; print('here', flush=True); sys.stdin.readline()";
        let mut command = command(
            "setpriv",
            &[
                &"--clear-groups",
                &"--reuid",
                &account.uid.to_string(),
                &"--regid",
                &account.gid.to_string(),
                &exe("python3"),
                &"-c",
                &script,
            ],
        );
        Partner::start(command.env(name, secret))
    };
    let old = sleeper(&before, "OLD_TOKEN");
    let _daemon = Daemon::start(&place);
    let new = sleeper(&after, "NEW_TOKEN");
    let held = |variable: &str| {
        let rows = place.credentials().into_iter();
        rows.filter_map(|row| {
            let at = row.held.iter().find(
                |at| matches!(&at.place, HeldIn::Environment { variable: of } if of == variable),
            )?;
            Some((at.pid, at.identity.to_string(), row.last_used_by.clone()))
        })
        .next()
    };
    let who = format!("unix:user:{}", account.name);
    for (variable, pid) in [("OLD_TOKEN", old.pid()), ("NEW_TOKEN", new.pid())] {
        place.until(variable, || held(variable).is_some());
        let (at, identity, last) = held(variable).unwrap();
        assert_eq!((at, &identity), (pid, &who));
        assert_eq!(last.map(|by| by.to_string()), Some(who.clone()));
    }
    drop((old.finish(), new.finish()));
    place.until("nobody holds them", || {
        held("OLD_TOKEN").is_none() && held("NEW_TOKEN").is_none()
    });
    place.silent("an environment is no leak", |alert| alert.id == LEAKED);
}

#[test]
fn open_files_are_one_alert_at_first_and_then_one_each() {
    let _host = shared();
    let place = Place::new();
    let root = place.root();
    for name in ["a.env", "b.env", "c.env", "d.env"] {
        write(&root.join(name), 0o644, &format!("TOKEN={}\n", token(name)));
    }
    fs::create_dir(root.join("closed")).unwrap();
    write(&root.join("closed/e.env"), 0o644, &token("e"));
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    let daemon = Daemon::start(&place);
    let digest = place.wait("the first search", |alert| alert.id == LEAKED);
    assert_eq!(digest.severity, Severity::Low);
    // Files of others in /tmp are counted too.
    let count = digest
        .summary
        .split(' ')
        .find_map(|word| word.parse::<usize>().ok());
    assert!(count.unwrap() >= 4, "{}", digest.summary);
    assert!(
        digest.summary.contains("files that every account can read"),
        "{}",
        digest.summary
    );
    assert_eq!(
        place.all(|alert| of_this_test(&place, alert)).len(),
        0,
        "one in all"
    );

    let open = root.join("open.env");
    write(&open, 0o644, &format!("TOKEN={}\n", token("open")));
    let alert = place.wait("a file that is open", is_at(&open));
    assert_eq!(alert.severity, Severity::Low);
    assert!(alert.summary.contains("mode 0644"), "{}", alert.summary);
    let view = place.known(&open);
    assert!(
        view.findings.contains(&FindingKind::WorldReadable),
        "{view:#?}"
    );
    assert!(view.files[0].world_readable && view.files[0].mode == "0644");

    let key = SshKey::ed25519(root.join("id"));
    let closed = root.join("closed.env");
    write(&closed, 0o600, &format!("TOKEN={}\n", token("closed")));
    for path in [&key.path, &closed, &root.join("closed/e.env")] {
        let view = place.known(path);
        assert!(
            !view.findings.contains(&FindingKind::WorldReadable),
            "{view:#?}"
        );
    }
    place.silent("what is closed, and public halves", |alert| {
        let at = |path: &Path| alert.path.as_deref() == path.to_str();
        alert.id == LEAKED && (at(&key.path) || at(&closed) || at(&root.join("id.pub")))
    });
    let told = place.all(|alert| of_this_test(&place, alert)).len();
    daemon.stop();
    // Nothing of it is news to the next daemon.
    let _daemon = Daemon::start(&place);
    place.silent("a start", |alert| {
        of_this_test(&place, alert) && place.all(|of| of_this_test(&place, of)).len() > told
            || alert.title.starts_with("Credentials")
                && alert.alert_id != digest.alert_id
                && alert.summary.contains(root.to_str().unwrap())
    });
}

#[test]
fn a_history_and_a_log_are_told() {
    let _host = shared();
    let place = Place::new();
    let logs = place.at("logs");
    fs::create_dir(&logs).unwrap();
    let log = logs.join("app.log");
    fs::write(&log, format!("an old line with {}\n", token("old line"))).unwrap();
    let config = place.at("credwatch.toml");
    let text = fs::read_to_string(&config).unwrap();
    let with_logs = format!("logs = [{logs:?}]\nroots = [");
    fs::write(&config, text.replacen("roots = [", &with_logs, 1)).unwrap();
    let home = place.root().join("ana");
    fs::create_dir(&home).unwrap();
    let history = home.join(".bash_history");
    write(&history, 0o600, "ls\ncd /srv\n");
    let _daemon = Daemon::start(&place);

    let append = |path: &Path, line: &str| {
        let mut file = fs::File::options().append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    };
    append(
        &history,
        "ssh-keygen -lf id.pub; export TOKEN=$(cat /run/secrets/token)",
    );
    append(&log, "request done, token=<redacted>");
    std::thread::sleep(std::time::Duration::from_millis(500));
    append(
        &history,
        &format!(
            "curl -H 'Authorization: Bearer {}' https://api",
            token("typed")
        ),
    );
    let alert = place.wait("a token in a history", is_at(&history));
    assert_eq!(alert.attack, ["T1552.003"]);
    assert_eq!(alert.severity, Severity::Medium);
    // After the first round, which takes down how long the log was.
    std::thread::sleep(std::time::Duration::from_secs(1));
    append(
        &log,
        &format!("401 for Authorization: Bearer {}", token("logged")),
    );
    let alert = place.wait("a token in a log", is_at(&log));
    assert!(
        alert.summary.contains("was written to the log"),
        "{}",
        alert.summary
    );
    place.silent("once each", |_| {
        place.all(|alert| of_this_test(&place, alert)).len() != 2
    });
}
