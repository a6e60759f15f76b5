//! A recording, told fact by fact, and what the pipeline says to it.

use monitor::config::DetectionConfig;
use monitor::detection::Detector;
use monitor::model::{
    Access, Alert, AlertStatus, Credential, CredentialKind, CredentialState, Fact, FileId,
    Fingerprint, LocatedFile, MemoryAccess, Protocol, Record, RegistryChange, Selector, Target,
    Task, Timestamp, Usage,
};
use monitor::recording::{self, Reader, Writer};

/// When stories begin: 2026-05-01T14:03:20Z.
pub(super) const BEGIN: Timestamp = Timestamp(1_777_644_200_000_000_000);
/// The credential of most stories, and where it lies.
pub(super) const KEY: &str = "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8";
pub(super) const PATH: &str = "/srv/deploy/.ssh/id_ed25519";
pub(super) const FILE: FileId = FileId { dev: 2049, ino: 77 };

/// Facts with their times.
#[derive(Debug, Clone)]
pub(super) struct Story {
    now: Timestamp,
    pub(super) records: Vec<Record>,
    pub(super) settings: DetectionConfig,
}

impl Story {
    /// An empty one, in which three uids have names.
    pub(super) fn new() -> Self {
        let mut story = Self {
            now: BEGIN,
            records: Vec::new(),
            settings: DetectionConfig::default(),
        };
        for (uid, name) in [(0, "root"), (998, "svc-legacy"), (1000, "deploy")] {
            story.user(uid, Some(name));
        }
        story
    }

    /// One with a key file that is known.
    pub(super) fn with_key() -> Self {
        let mut story = Self::new();
        story.located(PATH, FILE, &[key(KEY)]);
        story
    }

    /// One with a key that was retired, and `cat` of deploy as process 42.
    pub(super) fn with_retired_key() -> Self {
        let mut story = Self::with_key();
        story.retire(Target::Credential(Fingerprint::new(KEY)));
        story.exec(&process(42), "/usr/bin/cat");
        story
    }

    pub(super) fn fact(&mut self, fact: Fact) {
        let time = self.now;
        self.records.push(Record { time, fact });
    }

    /// Lets time pass, in milliseconds; nothing tells of it but the next fact.
    pub(super) fn wait(&mut self, milliseconds: i64) {
        self.now.0 += milliseconds * 1_000_000;
    }

    pub(super) fn tick(&mut self) {
        self.fact(Fact::Tick);
    }

    pub(super) fn user(&mut self, uid: u32, name: Option<&str>) {
        let name = name.map(str::to_owned);
        self.fact(Fact::UserName {
            uid,
            name,
            account: None,
        });
    }

    pub(super) fn cgroup(&mut self, id: u64, path: &str) {
        let path = path.to_owned();
        self.fact(Fact::CgroupPath { id, path });
    }

    pub(super) fn located(&mut self, path: &str, file: FileId, credentials: &[Credential]) {
        self.fact(Fact::Located(LocatedFile {
            file,
            path: path.into(),
            uid: 1000,
            gid: 1000,
            mode: 0o600,
            modified: BEGIN,
            credentials: credentials.to_vec(),
        }));
    }

    pub(super) fn unlocated(&mut self, path: &str, file: FileId) {
        let path = path.into();
        self.fact(Fact::Unlocated { file, path });
    }

    pub(super) fn said(&mut self, target: Target, state: CredentialState) {
        let since = (state != CredentialState::Active).then(|| days_before(10));
        self.fact(Fact::Registry(RegistryChange {
            target,
            state,
            since,
            by: "root".to_owned(),
            reason: (state == CredentialState::Retired).then(|| "moved to OIDC".to_owned()),
            owner: None,
        }));
    }

    pub(super) fn retire(&mut self, target: Target) {
        self.said(target, CredentialState::Retired);
    }

    pub(super) fn restore(&mut self, target: Target) {
        self.said(target, CredentialState::Active);
    }

    pub(super) fn fork(&mut self, child: &Task) {
        self.fact(Fact::Fork {
            task: child.clone(),
        });
    }

    pub(super) fn exec(&mut self, task: &Task, path: &str) {
        self.fact(Fact::Exec {
            task: task.clone(),
            path: path.to_owned(),
            permitted: None,
        });
    }

    /// The same of a program that lies on this host and is root's.
    pub(super) fn runs(&mut self, task: &Task, path: &str) {
        self.fact(Fact::Program {
            file: task.exe,
            path: path.to_owned(),
            owner: 0,
            mode: 0o755,
        });
        self.exec(task, path);
    }

    pub(super) fn reaches(&mut self, task: &Task, target: &Task, how: MemoryAccess, granted: bool) {
        self.fact(Fact::MemoryAccess {
            task: task.clone(),
            target: target.clone(),
            how,
            granted,
        });
    }

    pub(super) fn speaks(&mut self, task: &Task, path: &str, owner: Option<u32>) {
        self.fact(Fact::UnixConnect {
            task: task.clone(),
            path: path.to_owned(),
            owner,
        });
    }

    pub(super) fn name(&mut self, address: &str, name: &str) {
        self.fact(Fact::Name {
            address: address.parse().unwrap(),
            name: name.to_owned(),
        });
    }

    pub(super) fn exit(&mut self, task: &Task) {
        self.fact(Fact::Exit { task: task.clone() });
    }

    pub(super) fn read(&mut self, task: &Task) {
        self.access(task, FILE, Access::Read, None);
    }

    pub(super) fn access(&mut self, task: &Task, file: FileId, access: Access, path: Option<&str>) {
        self.fact(Fact::FileAccess {
            task: task.clone(),
            file,
            access,
            path: path.map(str::to_owned),
            count: 1,
        });
    }

    pub(super) fn connect(&mut self, task: &Task, to: &str) {
        self.fact(Fact::Connect {
            task: task.clone(),
            socket: 9,
            protocol: Protocol::Tcp,
            destination: to.parse().unwrap(),
        });
    }

    pub(super) fn takes_uid(&mut self, task: &Task, uid: u32) {
        let task = task.clone();
        self.fact(Fact::IdentityChange { task, uid });
    }

    pub(super) fn lost(&mut self, hook: &str, cpu: Option<u32>, count: u64) {
        let hook = hook.to_owned();
        self.fact(Fact::Lost { hook, cpu, count });
    }

    /// The recording's bytes, by the writer that the daemon uses.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, "6.18.0").unwrap();
        for record in &self.records {
            writer.write(record).unwrap();
        }
        writer.flush().unwrap();
        drop(writer);
        bytes
    }

    /// What a replay of it says.
    pub(super) fn alerts(&self) -> Vec<Alert> {
        let mut alerts = Vec::new();
        let settings = self.settings.clone();
        let replayed =
            recording::replay(&*self.bytes(), settings, |alert| alerts.push(alert)).unwrap();
        assert_eq!(replayed.facts, self.records.len() as u64);
        assert_eq!(replayed.alerts, alerts.len() as u64);
        alerts
    }

    /// The one alert that a replay gives.
    pub(super) fn alert(&self) -> Alert {
        let mut alerts = self.alerts();
        assert_eq!(alerts.len(), 1, "{alerts:#?}");
        alerts.remove(0)
    }

    /// What a replay of it says, one sentence a line, with the severity before it.
    pub(super) fn told(&self) -> Vec<String> {
        let alerts = self.alerts().into_iter();
        alerts
            .map(|alert| {
                let ended = match alert.status {
                    AlertStatus::Open => String::new(),
                    AlertStatus::Ended => format!(" ended x{}", alert.repeats),
                };
                let severity = alert.severity.as_str();
                format!("{severity} {}{ended}: {}", alert.id, alert.summary)
            })
            .collect()
    }

    /// The states that the pipeline derives on the way, one a line: `+TIMEms CREDENTIAL STATE:
    /// REASON`.
    pub(super) fn derived(&self) -> Vec<String> {
        let mut detector = Detector::new(self.settings.clone());
        let mut lines = Vec::new();
        for record in Reader::new(&*self.bytes()).unwrap() {
            let record = record.unwrap();
            for change in detector.step(&record).changes {
                assert!(change.is_derived());
                let Target::Credential(of) = &change.target else {
                    panic!("{change:?}")
                };
                lines.push(format!(
                    "+{}ms {of} {}: {}",
                    since_begin(record.time),
                    change.state,
                    change.reason.unwrap_or_default()
                ));
            }
        }
        lines
    }

    /// The rows of the usage map at its end, as text.
    pub(super) fn usage(&self) -> Vec<String> {
        let mut detector = Detector::new(self.settings.clone());
        for record in Reader::new(&*self.bytes()).unwrap() {
            detector.step(&record.unwrap());
        }
        let rows = detector.state.registry.usage.rows();
        rows.map(usage_line).collect()
    }
}

fn usage_line(row: &Usage) -> String {
    let key = &row.key;
    format!(
        "{} {} {} {} +{}ms..+{}ms x{}",
        short(&key.fingerprint),
        key.identity,
        or_dash(&key.exe),
        or_dash(&key.destination),
        since_begin(row.first),
        since_begin(row.last),
        row.count
    )
}

/// Replays a story and compares its alerts, one a line:
/// `+TIMEms ID IDENTITY EXE CREDENTIAL at PATH to DESTINATION`, and with `ended xN` the sums.
#[track_caller]
pub(super) fn check(tell: impl FnOnce(&mut Story), expected: &[&str]) {
    check_from(Story::with_retired_key(), tell, expected);
}

/// The same with a beginning of its own.
#[track_caller]
pub(super) fn check_from(mut story: Story, tell: impl FnOnce(&mut Story), expected: &[&str]) {
    tell(&mut story);
    let lines: Vec<_> = story.alerts().iter().map(line).collect();
    assert_eq!(lines, expected);
}

fn line(alert: &Alert) -> String {
    let mut words = vec![format!("+{}ms {}", since_begin(alert.time), alert.id)];
    if alert.status == AlertStatus::Ended {
        words.push(format!("ended x{}", alert.repeats));
    }
    words.extend(alert.identity.as_ref().map(ToString::to_string));
    let exe = alert
        .process
        .as_ref()
        .and_then(|process| process.exe.clone());
    words.extend(exe);
    if let Some(credential) = &alert.credential {
        words.push(short(&credential.fingerprint));
        words.extend(credential.path.as_ref().map(|path| format!("at {path}")));
    }
    if let Some(to) = &alert.destination {
        words.push(format!(
            "to {}",
            std::net::SocketAddr::new(to.address, to.port)
        ));
    }
    words.join(" ")
}

fn short(fingerprint: &Fingerprint) -> String {
    match fingerprint.as_str() {
        KEY => "KEY".to_owned(),
        other => other.to_owned(),
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn since_begin(time: Timestamp) -> i64 {
    (time.0 - BEGIN.0) / 1_000_000
}

/// A process of deploy, started as many seconds before the story as its pid says, by pid 1.
pub(super) fn process(pid: u32) -> Task {
    Task {
        pid,
        start: Timestamp(BEGIN.0 - i64::from(pid) * 1_000_000_000),
        ppid: 1,
        parent_start: Timestamp(0),
        uid: 1000,
        euid: 1000,
        gid: 1000,
        login_uid: None,
        session: None,
        cgroup: 0,
        cgroup_v1: 0,
        exe: FileId { dev: 2049, ino: 5 },
        tty: None,
    }
}

/// A child of a process.
pub(super) fn child_of(parent: &Task, pid: u32) -> Task {
    Task {
        ppid: parent.pid,
        parent_start: parent.start,
        pid,
        start: process(pid).start,
        ..parent.clone()
    }
}

/// A process of root, with a program's inode of its own.
pub(super) fn of_root(pid: u32) -> Task {
    Task {
        uid: 0,
        euid: 0,
        gid: 0,
        ..with_program(process(pid))
    }
}

/// A process with a program's inode of its own.
pub(super) fn with_program(task: Task) -> Task {
    let exe = FileId {
        dev: 2049,
        ino: 100_000 + u64::from(task.pid),
    };
    Task { exe, ..task }
}

/// An SSH private key.
pub(super) fn key(fingerprint: &str) -> Credential {
    Credential {
        fingerprint: Fingerprint::new(fingerprint),
        kind: CredentialKind::SshPrivateKey,
        label: None,
        subject: None,
        issued: None,
        expires: None,
        bound: None,
    }
}

pub(super) fn by_fingerprint(text: &str) -> Target {
    Target::Credential(Fingerprint::new(text))
}

pub(super) fn by_selector(text: &str) -> Target {
    Target::Identity(text.parse::<Selector>().unwrap())
}

pub(super) fn days_before(days: i64) -> Timestamp {
    Timestamp(BEGIN.0 - days * 86_400_000_000_000)
}
