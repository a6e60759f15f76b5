use super::*;
use crate::config::DetectionConfig;
use crate::model::{CredentialKind, Fact, Record};

fn credential(name: &str, kind: CredentialKind) -> Credential {
    Credential {
        fingerprint: Fingerprint::new(name),
        kind,
        label: None,
        subject: None,
        issued: None,
        expires: None,
        bound: None,
    }
}

fn located(path: &str, ino: u64, mode: u32, held: &[Credential]) -> Fact {
    Fact::Located(LocatedFile {
        file: FileId { dev: 1, ino },
        path: path.into(),
        uid: 0,
        gid: 0,
        mode,
        modified: Timestamp(1),
        credentials: held.to_vec(),
    })
}

fn exposed(path: &str, ino: u64) -> Fact {
    Fact::Exposed {
        file: FileId { dev: 1, ino },
        path: path.into(),
    }
}

fn task(pid: u32) -> Task {
    let at = FileId { dev: 1, ino: 9 };
    Task {
        pid,
        start: Timestamp(1),
        ppid: 1,
        parent_start: Timestamp(0),
        uid: 0,
        euid: 0,
        gid: 0,
        login_uid: None,
        session: None,
        cgroup: 0,
        cgroup_v1: 0,
        exe: at,
        tty: None,
    }
}

struct Run {
    detector: Detector,
    now: Timestamp,
}

impl Run {
    fn new() -> Self {
        Self {
            detector: Detector::new(DetectionConfig::default()),
            now: Timestamp(1_000_000_000),
        }
    }

    fn watching() -> Self {
        let mut run = Self::new();
        run.says(Fact::Restored);
        run.says(Fact::Searched);
        run
    }

    /// What is said to a fact that comes an hour after the one before.
    fn says(&mut self, fact: Fact) -> Vec<Alert> {
        self.now.0 += 3_600_000_000_000;
        let record = Record {
            time: self.now,
            fact,
        };
        self.detector.step(&record).alerts
    }
}

fn token() -> Vec<Credential> {
    vec![credential("hmac:1", CredentialKind::GitCredential)]
}

#[test]
fn an_open_file_is_told_once_and_again_when_it_was_closed() {
    let mut run = Run::watching();
    assert_eq!(run.says(located("/srv/a", 1, 0o644, &token())), []);
    let alerts = run.says(exposed("/srv/a", 1));
    assert_eq!(alerts.len(), 1);
    assert_eq!(
        (alerts[0].id, alerts[0].severity),
        (DetectionId::LeakedByPlace, Severity::Low)
    );
    assert_eq!(alerts[0].path.as_deref(), Some("/srv/a"));
    assert_eq!(alerts[0].owasp, ["NHI2"]);
    // Written anew every hour, with another value.
    run.says(located("/srv/a", 2, 0o644, &token()));
    assert_eq!(run.says(exposed("/srv/a", 2)), []);
    run.says(located("/srv/a", 2, 0o600, &token()));
    run.says(located("/srv/a", 2, 0o644, &token()));
    assert_eq!(run.says(exposed("/srv/a", 2)).len(), 1);
}

#[test]
fn what_the_first_search_finds_is_one_alert_and_what_was_known_is_none() {
    let mut run = Run::new();
    run.says(located("/srv/known", 1, 0o644, &token()));
    run.says(Fact::Restored);
    for ino in 2..8 {
        let path = format!("/srv/{ino}");
        assert_eq!(run.says(located(&path, ino, 0o644, &token())), []);
        assert_eq!(run.says(exposed(&path, ino)), []);
    }
    assert_eq!(run.says(exposed("/srv/known", 1)), []);
    assert_eq!(
        run.says(located("/root/.bash_history", 9, 0o600, &token())),
        []
    );
    let alerts = run.says(Fact::Searched);
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    assert_eq!(alerts[0].severity, Severity::Low);
    let says = &alerts[0].summary;
    assert!(
        says.contains("in 6 files that every account can read (/srv/2, /srv/3, /srv/4 and 3 more)"),
        "{says}"
    );
    assert!(
        says.contains("in 1 shell history (/root/.bash_history)"),
        "{says}"
    );
    assert_eq!(run.says(Fact::Searched), [], "nothing new");
    let of = FileId { dev: 1, ino: 2 };
    assert!(run.detector.state.registry.file_facts(of).unwrap().exposed);
}

#[test]
fn public_things_and_bait_are_no_leak() {
    let mut run = Run::watching();
    let public = [
        credential("a", CredentialKind::X509Certificate),
        credential("b", CredentialKind::SshAuthorizedKey),
    ];
    run.says(located("/srv/a.pem", 1, 0o644, &public));
    assert_eq!(run.says(exposed("/srv/a.pem", 1)), []);
    run.says(located("/srv/bait", 2, 0o644, &token()));
    run.says(Fact::Registry(crate::model::RegistryChange {
        target: crate::model::Target::Path("/srv/bait".into()),
        state: CredentialState::Decoy,
        since: None,
        by: "root".into(),
        reason: None,
        owner: None,
    }));
    assert_eq!(run.says(exposed("/srv/bait", 2)), []);
}

#[test]
fn a_history_is_told_of_each_credential_once() {
    let mut run = Run::watching();
    let path = "/home/ana/.bash_history";
    let alerts = run.says(located(path, 1, 0o600, &token()));
    assert_eq!(alerts.len(), 1);
    assert_eq!(
        (alerts[0].severity, &alerts[0].attack[..]),
        (Severity::Medium, &["T1552.003".to_owned()][..])
    );
    assert_eq!(run.says(located(path, 1, 0o600, &token())), []);
    let mut two = token();
    two.push(credential("hmac:2", CredentialKind::NpmToken));
    assert_eq!(run.says(located(path, 1, 0o600, &two)).len(), 1);
    assert_eq!(run.says(located("/home/ana/notes", 1, 0o600, &two)), []);
}

#[test]
fn an_argument_is_a_leak_and_a_use_and_an_environment_is_a_use() {
    let mut run = Run::watching();
    run.says(Fact::Exec {
        task: task(42),
        path: "/usr/bin/curl".into(),
        permitted: None,
    });
    let holds = |place| Fact::Holds {
        task: task(42),
        place,
        credential: token().remove(0),
    };
    let variable = "TOKEN".to_owned();
    assert_eq!(run.says(holds(HeldIn::Environment { variable })), []);
    let alerts = run.says(holds(HeldIn::Arguments));
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].process.as_ref().unwrap().pid, 42);
    assert!(
        alerts[0].summary.contains("/usr/bin/curl"),
        "{}",
        alerts[0].summary
    );
    let registry = &run.detector.state.registry;
    let name = Fingerprint::new("hmac:1");
    assert_eq!(registry.held.processes(&name).count(), 2);
    assert_eq!(registry.usage.summary(&name).count, 2);
    run.says(Fact::Exit { task: task(42) });
    assert_eq!(run.detector.state.registry.held.processes(&name).count(), 0);
    // What is heard of it afterwards is a use, and holds nothing.
    run.says(holds(HeldIn::Arguments));
    assert_eq!(run.detector.state.registry.held.processes(&name).count(), 0);
}

#[test]
fn a_log_is_told_of_each_credential_once() {
    let mut run = Run::watching();
    let logged = || Fact::Logged {
        path: "/var/log/app.log".into(),
        owner: 0,
        credential: token().remove(0),
    };
    let alerts = run.says(logged());
    assert_eq!(alerts.len(), 1);
    assert!(alerts[0].summary.contains("/var/log/app.log"));
    assert_eq!(run.says(logged()), []);
    let name = Fingerprint::new("hmac:1");
    assert_eq!(run.detector.state.registry.held.logs(&name).count(), 1);
}
