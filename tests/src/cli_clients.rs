//! Clients against a control server in this process, over a real socket, and against a database.
//! The handler is written here: what is under test is our own protocol from end to end.

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use monitor::control::protocol::{
    ChangeView, Configuration, CredentialView, Delay, FileView, FindingKind, HookStatus,
    KubernetesStatus, SinkStatus, Status, WordView,
};
use monitor::control::{PeerUser, Request, Response, Server, socket_path};
use monitor::model::{
    Alert, AlertStatus, Credential, CredentialKind, CredentialState, DetectionId, FileId,
    Fingerprint, LocatedFile, RegistryChange, Selector, Severity, Target, Timestamp, Usage,
    UsageKey, Word,
};
use monitor::storage::{Mode, Store, Write};
use tokio::runtime::Runtime;

use crate::cli::{credwatch, outcome, program};

const FINGERPRINT: &str = "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8";
const TIME: Timestamp = Timestamp(1_777_644_201_123_456_000);

type Handler = dyn Fn(Request, PeerUser) -> Response + Send + Sync;

/// A control server that lives as long as this.
struct Daemon {
    state: tempfile::TempDir,
    _runtime: Runtime,
}

impl Daemon {
    fn start(
        group: Option<u32>,
        handler: impl Fn(Request, PeerUser) -> Response + Send + Sync + 'static,
    ) -> Self {
        let state = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let entered = runtime.enter();
        let server = Server::bind(&socket_path(state.path()), group).unwrap();
        let handler: Arc<Handler> = Arc::new(handler);
        runtime.spawn(server.run(move |request, user| {
            let handler = Arc::clone(&handler);
            async move { handler(request, user) }
        }));
        drop(entered);
        Self {
            state,
            _runtime: runtime,
        }
    }

    fn directory(&self) -> &str {
        self.state.path().to_str().unwrap()
    }

    /// Runs a client, expects an exit code, and gives stdout and stderr.
    fn outcome(&self, args: &[&str], code: i32) -> (String, String) {
        outcome(&[args, &["--state-dir", self.directory()]].concat(), code)
    }
}

fn status() -> Status {
    Status {
        kubernetes: Some(KubernetesStatus {
            node: "node-1".to_owned(),
            accounts: 41,
            pods: 17,
            left_out: 0,
            away: Some("pods are not watched: connection refused".to_owned()),
            since: TIME,
        }),
        version: "1.2.3".to_owned(),
        pid: 4242,
        started: TIME,
        ready: true,
        configuration: Configuration {
            file: "/etc/credwatch/credwatch.toml".into(),
            since: TIME,
            waiting: vec!["sensor.dns".to_owned()],
            wrong: Vec::new(),
        },
        kernel: "6.18.0".to_owned(),
        hooks: vec![HookStatus {
            name: "file_read".to_owned(),
            backend: "fanotify".to_owned(),
            attached: false,
            fired: 0,
            folded: 0,
            capped: 0,
            lost: 7,
            note: Some("no \u{1b}[2Jpermission\nat all".to_owned()),
        }],
        lost: 7,
        events: 123_456,
        delay: Delay {
            p50_us: 900,
            p99_us: 4_100,
            max_us: 52_000,
        },
        credentials: 3,
        watched_files: 4,
        identities: 5,
        alerts: 6,
        sinks: vec![SinkStatus {
            name: "syslog tcp 10.0.0.5:601".to_owned(),
            sent: 5,
            failed: 1,
            error: Some("connection refused".to_owned()),
        }],
    }
}

fn view(path: &str) -> CredentialView {
    CredentialView {
        fingerprint: Fingerprint::new(FINGERPRINT),
        kind: CredentialKind::SshPrivateKey,
        label: Some("deploy@ci".to_owned()),
        state: CredentialState::Retired,
        retired_at: Some(TIME),
        retired_by: Some("root".to_owned()),
        reason: None,
        owner: None,
        paths: vec![path.into()],
        issued: None,
        expires: None,
        last_used: Some(TIME),
        uses: 3,
        owner_from: None,
        first_seen: Some(TIME),
        first_used: Some(TIME),
        last_used_by: None,
        last_used_with: None,
        users: 1,
        files: Vec::new(),
        held: Vec::new(),
        logs: Vec::new(),
        findings: Vec::new(),
    }
}

fn alert(alert_id: &str, status: AlertStatus) -> Alert {
    Alert {
        alert_id: alert_id.to_owned(),
        time: TIME,
        id: DetectionId::RetiredCredentialRead,
        severity: Severity::Critical,
        title: "A retired credential was read".to_owned(),
        summary: format!("{alert_id}: somebody\u{7} read a key"),
        identity: Some(Selector::unix_user("deploy")),
        process: None,
        credential: None,
        destination: None,
        target: None,
        path: None,
        evidence: None,
        attack: vec!["T1552.004".to_owned()],
        owasp: vec!["NHI1".to_owned()],
        status,
        repeats: 2,
        last_time: TIME,
    }
}

#[test]
fn status_is_a_table_for_people_and_json_for_programs() {
    let daemon = Daemon::start(None, |_, _| Response::Status(Box::new(status())));
    let (table, errors) = daemon.outcome(&["status"], 0);
    assert_eq!(errors, "");
    let row = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap();
    assert!(row("events").ends_with(" 123456"), "{table}");
    assert!(row("started").ends_with(" 2026-05-01T14:03:21Z"), "{table}");
    assert_eq!(
        row("file_read").split_whitespace().collect::<Vec<_>>(),
        [
            "file_read",
            "NO",
            "0",
            "0",
            "0",
            "7",
            "fanotify",
            "no",
            "\\u{1b}[2Jpermission\\nat",
            "all"
        ]
    );
    assert!(
        row("syslog tcp").ends_with(" connection refused"),
        "{table}"
    );
    assert!(!table.contains('\u{1b}'), "{table}");

    let (json, _) = daemon.outcome(&["status", "--output", "json"], 0);
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status());
    assert!(json.starts_with("{\n  \"version\": \"1.2.3\",\n"), "{json}");
}

#[test]
fn colours_are_for_those_who_ask() {
    let daemon = Daemon::start(None, |_, _| {
        Response::Credentials(vec![view("/srv/k\u{1b}]0;x\u{7}")])
    });
    let table = |variable: &str| {
        let mut command = credwatch();
        command.args(["credentials", "--state-dir", daemon.directory()]);
        let output = command.env(variable, "1").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = table("NO_COLOR");
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    assert!(plain.contains("/srv/k\\u{1b}]0;x\\u{7}"), "{plain:?}");
    let lines: Vec<_> = plain.lines().collect();
    assert_eq!(lines.len(), 2, "a pipe gets one line a row: {plain}");
    assert!(lines[0].starts_with("STATE ") && lines[1].starts_with("retired "));
}

#[test]
fn a_terminal_gets_colours_and_lines_that_fit() {
    let daemon = Daemon::start(None, |_, _| {
        Response::Credentials(vec![view(&format!("/srv/{}", "long/".repeat(40)))])
    });
    let on_terminal = |prefix: &str| {
        let line = format!(
            "stty cols 90; {prefix} '{}' credentials --state-dir '{}'",
            program().display(),
            daemon.directory()
        );
        let output = Command::new("script")
            .args(["--quiet", "--command", &line, "/dev/null"])
            .env_remove("NO_COLOR")
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let colourful = on_terminal("");
    assert!(colourful.contains("\u{1b}["), "{colourful:?}");
    let plain = on_terminal("NO_COLOR=1");
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    assert!(plain.lines().count() > 3, "{plain}");
    for line in plain.lines() {
        assert!(line.trim_end().chars().count() <= 90, "{line}");
    }
}

#[test]
fn retire_sends_the_target_and_shows_what_changed() {
    let asked: Arc<Mutex<Vec<(Request, PeerUser)>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let daemon = Daemon::start(None, move |request, user| {
        let (target, state) = match &request {
            Request::Retire { target, .. } => (target.clone(), CredentialState::Retired),
            Request::Restore { target } => (target.clone(), CredentialState::Active),
            other => panic!("{other:?}"),
        };
        seen.lock().unwrap().push((request, user));
        if target.ends_with("nothing") {
            return Response::Error {
                message: "no credential lies at \u{1b}[31mthere".to_owned(),
            };
        }
        Response::Changed(vec![ChangeView {
            target,
            kind: Some(CredentialKind::SshPrivateKey),
            before: CredentialState::Active,
            state,
            paths: vec!["/srv/key".into()],
        }])
    });
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("real"), "").unwrap();
    std::os::unix::fs::symlink("real", here.path().join("link")).unwrap();
    let output = credwatch()
        .current_dir(here.path())
        .args(["retire", "link", "--reason", "moved to OIDC"])
        .args(["--state-dir", daemon.directory()])
        .assert()
        .code(0)
        .get_output()
        .clone();
    let table = String::from_utf8(output.stdout).unwrap();
    let row = table.lines().nth(1).unwrap();
    assert!(
        row.starts_with("active  retired  SSH private key "),
        "{table}"
    );

    let (json, _) = daemon.outcome(&["restore", FINGERPRINT, "--output", "json"], 0);
    let changes: Vec<ChangeView> = serde_json::from_str(&json).unwrap();
    assert_eq!(changes[0].state, CredentialState::Active);
    daemon.outcome(&["retire", "unix:user:svc-backup"], 0);
    let (data, errors) = daemon.outcome(&["retire", "/nothing"], 1);
    assert_eq!(data, "");
    assert!(
        errors.contains("no credential lies at \\u{1b}[31mthere"),
        "{errors:?}"
    );

    let asked = asked.lock().unwrap();
    let requests: Vec<_> = asked.iter().map(|(request, _)| request.clone()).collect();
    let retire = |target: &str, reason: Option<&str>| Request::Retire {
        target: target.to_owned(),
        reason: reason.map(str::to_owned),
    };
    // The symlink is not resolved: that is for the daemon, which opens it.
    let link = here.path().canonicalize().unwrap().join("link");
    assert_eq!(
        requests,
        [
            retire(link.to_str().unwrap(), Some("moved to OIDC")),
            Request::Restore {
                target: FINGERPRINT.to_owned()
            },
            retire("unix:user:svc-backup", None),
            retire("/nothing", None),
        ]
    );
    let uid = rustix::process::geteuid().as_raw();
    assert!(
        asked
            .iter()
            .all(|(_, user)| user.uid == uid && user.pid.is_some())
    );
}

#[test]
fn a_word_about_a_baseline_is_sent_with_its_reason_and_says_what_it_did() {
    let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let daemon = Daemon::start(None, move |request, _| {
        seen.lock().unwrap().push(request.clone());
        let Request::BaselineWord { identity, word, .. } = request else {
            panic!("{request:?}")
        };
        let Ok(identity) = identity.parse() else {
            return Response::Error {
                message: "no \u{1b}[31mselector".to_owned(),
            };
        };
        Response::BaselineWord(Box::new(WordView {
            identity,
            word,
            destinations: 1,
            programs: 2,
            alerts: 1,
            frozen: None,
        }))
    });
    let said = |word: &str, code| {
        let identity = if code == 0 { "unix:user:web" } else { "web" };
        daemon.outcome(&["baseline", word, identity, "--reason", "case 17"], code)
    };
    assert_eq!(
        said("approve", 0).0,
        "unix:user:web: what it did is ordinary; 1 destination and 2 programs were not; 1 open alert \
         ended\n"
    );
    for word in ["forget", "freeze", "unfreeze"] {
        assert!(said(word, 0).0.starts_with("unix:user:web: "), "{word}");
    }
    let (data, errors) = said("freeze", 1);
    assert!(
        data.is_empty() && errors.contains("no \\u{1b}[31mselector"),
        "{errors:?}"
    );
    let expected = [Word::Approve, Word::Forget, Word::Freeze, Word::Unfreeze];
    let expected = expected.map(|word| Request::BaselineWord {
        identity: "unix:user:web".to_owned(),
        word,
        reason: "case 17".to_owned(),
    });
    assert_eq!(asked.lock().unwrap()[..4], expected);
}

#[test]
fn alerts_are_shown_and_followed() {
    let alerts = Arc::new(Mutex::new(vec![
        alert("a-1", AlertStatus::Ended),
        alert("a-2", AlertStatus::Open),
    ]));
    let shared = Arc::clone(&alerts);
    let daemon = Daemon::start(None, move |request, _| {
        let Request::Alerts { limit } = request else {
            panic!("{request:?}")
        };
        let alerts = shared.lock().unwrap();
        let from = alerts.len().saturating_sub(limit as usize);
        Response::Alerts(alerts[from..].to_vec())
    });
    let (table, _) = daemon.outcome(&["alerts", "--limit", "1"], 0);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(
        table.ends_with(" a-2: somebody\\u{7} read a key\n"),
        "{table}"
    );

    let mut child = Command::new(program())
        .args(["alerts", "--follow", "--limit", "1", "--output", "json"])
        .args(["--state-dir", daemon.directory()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Alert { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next(), alert("a-2", AlertStatus::Open));
    {
        let mut alerts = alerts.lock().unwrap();
        alerts[1].status = AlertStatus::Ended;
        alerts.push(alert("a-3", AlertStatus::Open));
    }
    assert_eq!(next(), alert("a-2", AlertStatus::Ended));
    assert_eq!(next(), alert("a-3", AlertStatus::Open));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A client as another user, from a copy of the program that this user may run.
fn as_user(daemon: &Daemon, groups: &[&str]) -> Output {
    let copy = daemon.state.path().join("credwatch");
    std::fs::copy(program(), &copy).unwrap();
    for (path, mode) in [(daemon.state.path(), 0o755), (copy.as_path(), 0o755)] {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534"])
        .args(groups)
        .arg(&copy)
        .args(["retire", "/k", "--state-dir", daemon.directory()])
        .output()
        .unwrap()
}

#[test]
fn other_users_are_refused_and_members_of_the_group_are_not() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: becoming another user needs root");
        return;
    }
    let asked: Arc<Mutex<Vec<PeerUser>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let daemon = Daemon::start(Some(54_321), move |_, user| {
        seen.lock().unwrap().push(user);
        Response::Changed(Vec::new())
    });
    let refused = |output: &Output| {
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("may not speak with"), "{errors}");
        assert!(errors.contains("run this as root"), "{errors}");
    };
    // By the socket's mode.
    let stranger = as_user(&daemon, &["--clear-groups"]);
    refused(&stranger);
    // By the server, where somebody has widened the mode.
    let socket = socket_path(daemon.state.path());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&socket), 0o660);
    std::fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    refused(&as_user(&daemon, &["--clear-groups"]));
    assert_eq!(asked.lock().unwrap().len(), 0);

    std::fs::set_permissions(&socket, Permissions::from_mode(0o660)).unwrap();
    let member = as_user(&daemon, &["--groups", "54321"]);
    assert_eq!(member.status.code(), Some(0), "{member:?}");
    let asked = asked.lock().unwrap();
    assert_eq!(asked[0].uid, 65534);
    assert_eq!(asked[0].name, "nobody");
}

#[test]
fn without_a_daemon_the_database_is_read_and_left_as_it_is() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().to_str().unwrap();
    let fingerprint = Fingerprint::new(FINGERPRINT);
    let identity = Selector::unix_user("deploy");
    let mut store = Store::open(state.path(), Mode::ReadWrite).unwrap();
    store
        .write(&[
            Write::Located(
                TIME,
                LocatedFile {
                    file: FileId { dev: 1, ino: 2 },
                    path: "/srv/key".into(),
                    uid: 0,
                    gid: 0,
                    mode: 0o600,
                    modified: TIME,
                    credentials: vec![Credential {
                        fingerprint: fingerprint.clone(),
                        kind: CredentialKind::SshPrivateKey,
                        label: Some("deploy@ci".to_owned()),
                        subject: None,
                        issued: None,
                        expires: None,
                        bound: None,
                    }],
                },
            ),
            Write::Change(
                TIME,
                RegistryChange {
                    target: Target::Credential(fingerprint.clone()),
                    state: CredentialState::Retired,
                    since: None,
                    by: "root".to_owned(),
                    reason: None,
                    owner: None,
                },
            ),
            Write::Usage(Usage {
                key: UsageKey {
                    fingerprint,
                    identity: identity.clone(),
                    exe: "/usr/bin/ssh".to_owned(),
                    destination: String::new(),
                },
                first: TIME,
                last: TIME,
                count: 3,
                name: None,
            }),
            Write::IdentitySeen {
                selector: identity,
                first: TIME,
                last: TIME,
            },
            Write::Alert(Box::new(alert("a-1", AlertStatus::Open))),
        ])
        .unwrap();
    store.close().unwrap();
    let before = std::fs::read(state.path().join("credwatch.db")).unwrap();

    let json = |command: &str| {
        let (json, errors) = outcome(&[command, "--state-dir", directory, "--output", "json"], 0);
        assert!(
            errors.starts_with("note: no daemon answers at "),
            "{errors}"
        );
        assert!(errors.contains("credwatch.db"), "{errors}");
        json
    };
    let views: Vec<CredentialView> = serde_json::from_str(&json("credentials")).unwrap();
    let file = FileView {
        path: "/srv/key".into(),
        uid: 0,
        user: Some("root".to_owned()),
        gid: 0,
        group: Some("root".to_owned()),
        mode: "0600".to_owned(),
        modified: TIME,
        world_readable: false,
    };
    let expected = CredentialView {
        last_used_by: Some(Selector::unix_user("deploy")),
        last_used_with: Some("/usr/bin/ssh".to_owned()),
        files: vec![file],
        findings: vec![FindingKind::NoOwner],
        ..view("/srv/key")
    };
    assert_eq!(views, [expected]);
    let (csv, _) = outcome(
        &[
            "report",
            "inventory",
            "--state-dir",
            directory,
            "--output",
            "csv",
        ],
        0,
    );
    assert_eq!(csv.lines().count(), 2, "{csv}");
    let alerts: Vec<Alert> = serde_json::from_str(&json("alerts")).unwrap();
    assert_eq!(alerts, [alert("a-1", AlertStatus::Open)]);
    assert!(json("identities").contains("\"unix:user:deploy\""));
    assert!(json("usage").contains("\"/usr/bin/ssh\""));
    let (table, _) = outcome(&["usage", "unix:user:other", "--state-dir", directory], 0);
    assert_eq!(table, "No use was seen.\n");

    let after = std::fs::read(state.path().join("credwatch.db")).unwrap();
    assert!(before == after, "the database was changed by reading it");
}
