//! Rights that are given and not used, by real processes: capabilities from setpriv, keys in files.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use monitor::model::DetectionId;
use monitor::registry::{LeastPrivilege, Verdict};

use super::daemon::{Daemon, Place, patiently};
use super::host::{Account, Partner, SshKey, program};
use super::turn::alone;

const OVERPRIVILEGED: DetectionId = DetectionId::Overprivileged;

/// Reads a file, gives a file of its own away, and stays.
const SERVE: &str = "import os, sys\n\
    open(sys.argv[1]).read()\n\
    os.close(os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY, 0o600))\n\
    os.chown(sys.argv[2], 65534, -1)\n\
    print('there', flush=True)\n\
    sys.stdin.readline()\n";

/// A machine's account with a directory and two keys of its own.
struct Service {
    account: Account,
    work: PathBuf,
    used: SshKey,
    idle: SshKey,
}

impl Service {
    fn new(place: &Place) -> Self {
        let account = Account::system();
        let owned = |path: &PathBuf| chown(path, Some(account.uid), Some(account.gid)).unwrap();
        let work = place.at("work");
        fs::create_dir(&work).unwrap();
        owned(&work);
        let key = |name: &str| {
            let key = SshKey::ed25519(place.root().join(name));
            owned(&key.path);
            key
        };
        let (used, idle) = (key("used"), key("idle"));
        Self {
            account,
            work,
            used,
            idle,
        }
    }

    /// The service with these capabilities, of which it uses CAP_CHOWN.
    fn serves(&self, capabilities: &str) -> Partner {
        let mut command = Command::new(program("setpriv"));
        command
            .arg(format!("--reuid={}", self.account.uid))
            .arg(format!("--regid={}", self.account.gid))
            .arg("--clear-groups")
            .arg(format!("--inh-caps={capabilities}"))
            .arg(format!("--ambient-caps={capabilities}"))
            .arg(program("python3"))
            .args(["-c", SERVE])
            .arg(&self.used.path)
            .arg(self.work.join("mine"));
        Partner::start(&mut command)
    }

    /// What the report says, and how it ends.
    fn ask(&self, place: &Place) -> (Option<i32>, LeastPrivilege) {
        let selector = self.account.selector();
        let args = ["report", "overprivileged", &selector, "--output", "json"];
        let output = place.client(&args).output().unwrap();
        let answer: Vec<LeastPrivilege> = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(answer.len(), 1);
        (output.status.code(), answer.into_iter().next().unwrap())
    }

    /// The answer once it is this one.
    fn answers(
        &self,
        place: &Place,
        is: impl Fn(&LeastPrivilege) -> bool,
    ) -> (Option<i32>, LeastPrivilege) {
        let deadline = Instant::now() + patiently(Duration::from_secs(30));
        loop {
            let (code, answer) = self.ask(place);
            if is(&answer) {
                return (code, answer);
            }
            assert!(Instant::now() < deadline, "{answer:#?}\n{}", place.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn has(of: &LeastPrivilege, code: &str) -> bool {
    of.reasons.iter().any(|reason| reason.code == code)
}

#[test]
fn exactly_what_was_given_and_not_used_is_named() {
    // Lost events would speak against it.
    let _host = alone();
    let place = Place::with("[detection.overprivileged]\nobservation = \"6s\"\nreview = \"2s\"");
    let service = Service::new(&place);
    let daemon = Daemon::start(&place);
    place.known(&service.used.path);
    place.known(&service.idle.path);
    let hook = place.hook("capability_use");
    let running = service.serves("+chown,+kill,+sys_admin");
    let (code, early) = service.answers(&place, |answer| !answer.programs.is_empty());
    assert_eq!(
        (code, early.verdict),
        (Some(4), Verdict::CannotTell),
        "{early:#?}"
    );
    if !hook.attached {
        // A kernel that does not tell: that is said, and nothing is called unused.
        let (_, blind) = service.answers(&place, |answer| has(answer, "not-seen-here"));
        assert!(blind.capabilities.unused.is_empty(), "{blind:#?}");
        running.finish();
        return;
    }
    assert!(has(&early, "too-short"), "{early:#?}");

    let (code, answer) = service.answers(&place, |answer| {
        answer.verdict == Verdict::No
            && !has(answer, "too-short")
            && !has(answer, "unclear-credentials")
    });
    assert_eq!(code, Some(3));
    let capabilities = &answer.capabilities;
    assert_eq!(capabilities.used, ["CAP_CHOWN"], "{answer:#?}");
    // The kernel asks for CAP_SYS_ADMIN with every piece of memory, and that is no use of it.
    if hook.backend.starts_with("tp_btf") {
        assert_eq!(capabilities.unused, ["CAP_KILL"], "{answer:#?}");
        assert_eq!(capabilities.unclear, ["CAP_SYS_ADMIN"], "{answer:#?}");
        assert!(has(&answer, "not-told"), "{answer:#?}");
    } else {
        assert_eq!(
            capabilities.unused,
            ["CAP_KILL", "CAP_SYS_ADMIN"],
            "{answer:#?}"
        );
        assert!(capabilities.unclear.is_empty(), "{answer:#?}");
    }
    let told = answer.credentials.iter();
    let told: Vec<_> = told
        .map(|of| (of.fingerprint.as_str(), of.verdict))
        .collect();
    let expected = [
        (service.idle.fingerprint.as_str(), Verdict::No),
        (service.used.fingerprint.as_str(), Verdict::Yes),
    ];
    assert_eq!(told, expected, "{answer:#?}");

    let selector = service.account.selector();
    let alert = place.wait("it is told", |alert| {
        alert.id == OVERPRIVILEGED && alert.summary.contains(&selector)
    });
    assert!(alert.summary.contains("CAP_KILL"), "{}", alert.summary);
    assert!(!alert.summary.contains("CAP_CHOWN"), "{}", alert.summary);
    assert!(
        alert.summary.contains(&service.idle.fingerprint),
        "{}",
        alert.summary
    );

    // What was seen is forgotten by no restart, and what was told is not told again.
    daemon.stop();
    let _daemon = Daemon::start(&place);
    let (_, again) = service.answers(&place, |answer| answer.verdict == Verdict::No);
    assert!(
        again.capabilities.unused.contains(&"CAP_KILL".to_owned()),
        "{again:#?}"
    );
    assert_eq!(again.capabilities.used, ["CAP_CHOWN"], "{again:#?}");
    std::thread::sleep(patiently(Duration::from_secs(4)));
    let all = place.all(|alert| alert.id == OVERPRIVILEGED && alert.summary.contains(&selector));
    assert_eq!(all.len(), 1, "{all:#?}");
    running.finish();
}

#[test]
fn who_uses_all_and_who_is_new_is_not_told() {
    let _host = alone();
    let place = Place::with("[detection.overprivileged]\nobservation = \"3s\"\nreview = \"1s\"");
    let service = Service::new(&place);
    fs::remove_file(&service.idle.path).unwrap();
    let _daemon = Daemon::start(&place);
    place.known(&service.used.path);
    let running = service.serves("+chown");
    let attached = place.hook("capability_use").attached;
    if attached {
        let (code, answer) = service.answers(&place, |answer| {
            answer.verdict == Verdict::Yes && answer.watched_seconds > 3
        });
        assert_eq!(code, Some(0));
        assert!(has(&answer, "all-used"), "{answer:#?}");
    }
    let selector = service.account.selector();
    place.silent("it uses all that it has", |alert| {
        alert.id == OVERPRIVILEGED && alert.summary.contains(&selector)
    });
    running.finish();

    // By default nothing is said for a month.
    let place = Place::new();
    let service = Service::new(&place);
    let _daemon = Daemon::start(&place);
    let running = service.serves("+chown,+kill");
    let (code, answer) = service.answers(&place, |answer| !answer.programs.is_empty());
    assert_eq!(
        (code, answer.verdict),
        (Some(4), Verdict::CannotTell),
        "{answer:#?}"
    );
    assert_eq!(answer.needed_seconds, 30 * 86_400);
    place.silent("it is new", |alert| alert.id == OVERPRIVILEGED);
    running.finish();
}

#[test]
fn who_ran_before_it_was_watched_is_not_judged() {
    let _host = alone();
    let place = Place::with("[detection.overprivileged]\nobservation = \"2s\"\nreview = \"1s\"");
    let service = Service::new(&place);
    let running = service.serves("+chown,+kill");
    let _daemon = Daemon::start(&place);
    std::thread::sleep(patiently(Duration::from_secs(4)));
    let (code, answer) = service.answers(&place, |answer| !answer.programs.is_empty());
    assert_eq!(
        (code, answer.verdict),
        (Some(4), Verdict::CannotTell),
        "{answer:#?}"
    );
    assert!(has(&answer, "older-processes"), "{answer:#?}");
    let selector = service.account.selector();
    place.silent("it may have used them", |alert| {
        alert.id == OVERPRIVILEGED && alert.summary.contains(&selector)
    });
    running.finish();
}
