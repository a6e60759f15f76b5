//! Each detection: when it fires, when it does not, and the whole of its alert.

use monitor::config::ActorPattern;
use monitor::model::{
    Access, Alert, Credential, CredentialKind, CredentialState, DetectionId, Fact, FileId, Target,
    Task, Timestamp,
};

use super::story::{
    BEGIN, FILE, KEY, PATH, Story, by_fingerprint, by_selector, check, check_from, child_of,
    days_before, key, process,
};

const READ: &str = "+0ms CW-101 unix:user:deploy /usr/bin/cat KEY at /srv/deploy/.ssh/id_ed25519";

/// The whole alert, as programs get it.
fn pretty(alert: &Alert) -> String {
    serde_json::to_string_pretty(alert).unwrap()
}

#[test]
fn a_retired_credential_is_read() {
    check(|story| story.read(&process(42)), &[READ]);
    check(
        |story| story.access(&process(42), FILE, Access::Open, None),
        &[READ],
    );
    check(
        |story| story.access(&process(42), FILE, Access::Map, None),
        &[READ],
    );
    check(
        |story| {
            story.access(&process(42), FILE, Access::Open, None);
            story.wait(3);
            story.read(&process(42));
        },
        &[READ],
    );
    check(
        |story| story.access(&process(42), FileId { ino: 78, ..FILE }, Access::Read, None),
        &[],
    );
}

#[test]
fn by_a_hard_link_a_copy_and_at_its_new_place() {
    let link = "/tmp/link";
    check(
        |story| {
            story.located(link, FILE, &[key(KEY)]);
            story.access(&process(42), FILE, Access::Read, Some(link));
        },
        &["+0ms CW-101 unix:user:deploy /usr/bin/cat KEY at /tmp/link"],
    );
    let copy = FileId { ino: 78, ..FILE };
    check(
        |story| {
            story.located("/tmp/copy", copy, &[key(KEY)]);
            story.access(&process(42), copy, Access::Read, None);
        },
        &["+0ms CW-101 unix:user:deploy /usr/bin/cat KEY at /tmp/copy"],
    );
    check(
        |story| {
            story.unlocated(PATH, FILE);
            story.located("/tmp/moved", FILE, &[key(KEY)]);
            story.read(&process(42));
        },
        &["+0ms CW-101 unix:user:deploy /usr/bin/cat KEY at /tmp/moved"],
    );
}

#[test]
fn a_rotated_file_holds_another_credential() {
    check(
        |story| {
            let new = FileId { ino: 78, ..FILE };
            story.located(PATH, new, &[key("SHA256:successor")]);
            story.access(&process(42), new, Access::Read, None);
        },
        &[],
    );
}

#[test]
fn every_state_that_should_not_be_used_and_no_other() {
    for (state, id) in [
        (CredentialState::Active, None),
        (CredentialState::Rotating, None),
        (
            CredentialState::Retired,
            Some(DetectionId::RetiredCredentialRead),
        ),
        (
            CredentialState::Revoked,
            Some(DetectionId::RetiredCredentialRead),
        ),
        (CredentialState::Decoy, Some(DetectionId::DecoyTouched)),
    ] {
        for target in [by_fingerprint(KEY), Target::Path(PATH.into())] {
            let mut story = Story::with_key();
            story.said(target.clone(), state);
            story.exec(&process(42), "/usr/bin/cat");
            story.read(&process(42));
            let alerts = story.alerts();
            let ids: Vec<_> = alerts.iter().map(|alert| alert.id).collect();
            assert_eq!(ids, Vec::from_iter(id), "{target:?} {state}");
            for alert in alerts {
                let credential = alert.credential.unwrap();
                assert_eq!(credential.state, state);
                assert_eq!(credential.retired_at, Some(days_before(10)));
            }
        }
    }
}

#[test]
fn a_declared_path_speaks_of_what_lies_there_and_of_no_copy() {
    let copy = FileId { ino: 78, ..FILE };
    let mut story = Story::new();
    // Declared before it is found.
    story.retire(Target::Path(PATH.into()));
    story.located(PATH, FILE, &[key(KEY)]);
    story.located("/tmp/copy", copy, &[key(KEY)]);
    story.exec(&process(42), "/usr/bin/cat");
    check_from(
        story.clone(),
        |story| {
            story.read(&process(42));
            story.connect(&process(42), "192.0.2.7:22");
        },
        &[
            READ,
            "+0ms CW-102 unix:user:deploy /usr/bin/cat KEY at /srv/deploy/.ssh/id_ed25519 \
             to 192.0.2.7:22",
        ],
    );
    check_from(
        story,
        |story| {
            story.access(&process(42), copy, Access::Read, None);
            story.connect(&process(42), "192.0.2.7:22");
        },
        &[],
    );
}

#[test]
fn it_expires_by_its_own_date_at_the_time_of_the_event() {
    let end = Timestamp(BEGIN.0 + 1_000_000_000);
    let token = Credential {
        kind: CredentialKind::KubernetesServiceAccountToken,
        expires: Some(end),
        ..key("jwt:https://issuer.example/api/1")
    };
    let mut story = Story::new();
    story.located("/run/token", FILE, &[token]);
    story.exec(&process(42), "/usr/bin/api");
    story.wait(999);
    story.read(&process(42));
    assert_eq!(story.alerts(), []);
    // The same use goes on, and the token is over.
    story.wait(1);
    story.read(&process(42));
    insta::assert_snapshot!("expired", pretty(&story.alert()));
}

#[test]
fn a_retirement_speaks_to_what_is_reading_already() {
    let mut story = Story::with_key();
    story.exec(&process(42), "/usr/bin/cat");
    story.read(&process(42));
    story.retire(by_fingerprint(KEY));
    check_from(story, |story| story.read(&process(42)), &[READ]);
}

#[test]
fn each_program_of_a_process_and_each_child_is_told_of() {
    let child = child_of(&process(42), 43);
    check(
        |story| {
            story.read(&process(42));
            story.fork(&child);
            story.exec(&child, "/usr/bin/base64");
            story.read(&child);
        },
        &[
            READ,
            "+0ms CW-101 unix:user:deploy /usr/bin/base64 KEY at /srv/deploy/.ssh/id_ed25519",
        ],
    );
}

#[test]
fn its_alert_says_everything() {
    let mut story = Story::with_key();
    story.cgroup(5, "/user.slice/user-1000.slice/session-4.scope");
    let shell = Task {
        cgroup: 5,
        login_uid: Some(1000),
        session: Some(4),
        tty: Some("pts0".to_owned()),
        ..process(40)
    };
    let cat = child_of(&shell, 42);
    story.fact(Fact::Running {
        task: shell,
        path: Some("/usr/bin/bash".to_owned()),
        permitted: None,
    });
    story.read(&process(41));
    story.wait(3_600_000);
    story.retire(by_fingerprint(KEY));
    story.fork(&cat);
    story.exec(&cat, "/usr/bin/cat");
    story.read(&cat);
    insta::assert_snapshot!("retired-credential-read", pretty(&story.alert()));
}

#[test]
fn the_reader_connects() {
    const TO: &str = "192.0.2.7:22";
    let used = |time: u32, exe: &str| {
        format!(
            "+{time}ms CW-102 unix:user:deploy {exe} KEY at /srv/deploy/.ssh/id_ed25519 to {TO}"
        )
    };
    check(
        |story| {
            story.read(&process(42));
            story.wait(60_000);
            story.connect(&process(42), TO);
        },
        &[READ, &used(60_000, "/usr/bin/cat")],
    );
    check(
        |story| {
            story.read(&process(42));
            story.wait(60_001);
            story.connect(&process(42), TO);
        },
        &[READ],
    );
    let child = child_of(&process(42), 43);
    check(
        |story| {
            story.read(&process(42));
            story.fork(&child);
            story.exit(&process(42));
            story.connect(&child, TO);
        },
        &[READ, &used(0, "/usr/bin/cat")],
    );
    check(
        |story| {
            story.read(&process(42));
            story.fork(&child);
            story.exec(&child, "/usr/bin/nc");
            story.connect(&child, TO);
        },
        &[READ, &used(0, "/usr/bin/nc")],
    );
    // Neither the parent nor a sister has it.
    check(
        |story| {
            story.fork(&child);
            story.fork(&child_of(&process(42), 44));
            story.read(&child);
            story.connect(&process(42), TO);
            story.connect(&child_of(&process(42), 44), TO);
        },
        &[READ],
    );
    // A pid that is used again is another process.
    check(
        |story| {
            story.read(&process(42));
            story.exit(&process(42));
            let start = Timestamp(BEGIN.0 + 5);
            story.connect(
                &Task {
                    start,
                    ..process(42)
                },
                TO,
            );
        },
        &[READ],
    );
    // What was read while it was active is used after it was retired.
    let mut story = Story::with_key();
    story.exec(&process(42), "/usr/bin/cat");
    story.read(&process(42));
    story.retire(by_fingerprint(KEY));
    check_from(
        story,
        |story| story.connect(&process(42), TO),
        &[&used(0, "/usr/bin/cat")],
    );
}

#[test]
fn a_reader_of_which_nothing_was_heard_connects() {
    check(
        |story| {
            story.read(&process(99));
            story.connect(&process(99), "192.0.2.7:22");
        },
        &[
            "+0ms CW-101 unix:user:deploy KEY at /srv/deploy/.ssh/id_ed25519",
            "+0ms CW-102 unix:user:deploy KEY at /srv/deploy/.ssh/id_ed25519 to 192.0.2.7:22",
        ],
    );
}

#[test]
fn removing_the_file_does_not_undo_the_read() {
    let mut story = Story::with_key();
    story.retire(Target::Path(PATH.into()));
    story.exec(&process(42), "/usr/bin/cat");
    story.read(&process(42));
    story.unlocated(PATH, FILE);
    story.connect(&process(42), "192.0.2.7:22");
    let alerts = story.alerts();
    assert_eq!(alerts.len(), 2, "{alerts:#?}");
    assert_eq!(alerts[0].credential, alerts[1].credential);
}

#[test]
fn the_alerts_of_a_use_say_everything() {
    let mut story = Story::with_retired_key();
    story.read(&process(42));
    story.wait(1_500);
    story.connect(&process(42), "192.0.2.7:22");
    let child = child_of(&process(42), 43);
    story.fork(&child);
    story.exec(&child, "/usr/bin/nc");
    story.connect(&child, "[2001:db8::7]:443");
    let alerts = story.alerts();
    insta::assert_snapshot!("retired-credential-used", pretty(&alerts[1]));
    insta::assert_snapshot!("retired-credential-used-by-child", pretty(&alerts[2]));
}

const SERVICE: &str = "/system.slice/legacy-sync.service";

/// An act of a process whose uid, unit and container are all known.
fn retired_identity(selector: &str, act: impl FnOnce(&mut Story, &Task)) -> Vec<Alert> {
    let mut story = Story::new();
    let id = "3f4a".repeat(16);
    story.cgroup(7, SERVICE);
    story.cgroup(8 | Task::V1_HIERARCHY, &format!("/docker/{id}"));
    story.retire(by_selector(selector));
    let task = Task {
        uid: 998,
        euid: 998,
        cgroup: 7,
        cgroup_v1: 8 | Task::V1_HIERARCHY,
        ..process(50)
    };
    act(&mut story, &task);
    story.alerts()
}

#[test]
fn a_retired_identity_acts() {
    let container = format!("container:id:{}", "3f4a".repeat(16));
    for selector in [
        "unix:user:svc-legacy",
        "unix:uid:998",
        "systemd:unit:legacy-sync.service",
        &container,
    ] {
        let ran = retired_identity(selector, |story, task| story.exec(task, "/usr/bin/rsync"));
        assert_eq!(ran.len(), 1, "{selector}");
        assert_eq!(ran[0].id, DetectionId::RetiredIdentityActive);
        assert_eq!(ran[0].identity.as_ref().unwrap().as_str(), selector);
        assert!(ran[0].summary.contains("ran /usr/bin/rsync (pid 50"));
        let connected =
            retired_identity(selector, |story, task| story.connect(task, "192.0.2.7:873"));
        assert_eq!(connected.len(), 1, "{selector}");
        assert!(connected[0].summary.contains("connected to 192.0.2.7:873"));
    }
    let other = retired_identity("unix:user:deploy", |story, task| {
        story.exec(task, "/bin/sh")
    });
    assert_eq!(other, []);
    let ran = retired_identity("systemd:unit:legacy-sync.service", |story, task| {
        story.exec(task, "/usr/bin/rsync");
    });
    insta::assert_snapshot!("retired-identity-active", pretty(&ran[0]));
}

#[test]
fn who_has_the_rights_of_a_retired_account_acts_as_it() {
    let mut story = Story::new();
    story.retire(by_selector("unix:user:svc-legacy"));
    let task = Task {
        euid: 998,
        ..process(50)
    };
    check_from(
        story,
        |story| story.exec(&task, "/opt/setuid-tool"),
        &["+0ms CW-103 unix:user:svc-legacy /opt/setuid-tool"],
    );
}

/// A story in which root's `su` takes the uid of a retired account.
fn uid_taken() -> (Story, Task, Task) {
    let root = Task {
        uid: 0,
        euid: 0,
        gid: 0,
        ..process(60)
    };
    let service = Task {
        uid: 998,
        euid: 998,
        ..root.clone()
    };
    let mut story = Story::new();
    story.retire(by_selector("unix:user:svc-legacy"));
    story.exec(&root, "/usr/bin/su");
    story.takes_uid(&root, 998);
    (story, root, service)
}

#[test]
fn a_uid_is_taken_and_what_for_is_told_once() {
    const TAKEN: &str = "+0ms CW-103 unix:user:svc-legacy /usr/bin/su";
    let (story, root, service) = uid_taken();
    // The next exec tells what for.
    check_from(
        story.clone(),
        |story| {
            story.wait(20);
            story.exec(&service, "/bin/bash");
            story.wait(1_000);
            story.tick();
        },
        &["+20ms CW-103 unix:user:svc-legacy /bin/bash"],
    );
    // So does a connection.
    check_from(
        story.clone(),
        |story| {
            story.wait(20);
            story.connect(&service, "192.0.2.7:22");
            story.wait(1_000);
            story.tick();
        },
        &["+20ms CW-103 unix:user:svc-legacy /usr/bin/su to 192.0.2.7:22"],
    );
    // Nothing follows: half a second is waited, and the time is that of the act.
    check_from(
        story.clone(),
        |story| {
            story.wait(499);
            story.tick();
        },
        &[TAKEN],
    );
    let (mut waiting, ..) = uid_taken();
    waiting.wait(500);
    waiting.tick();
    let alert = waiting.alert();
    assert_eq!(alert.time, BEGIN);
    insta::assert_snapshot!("uid-taken", pretty(&alert));
    check_from(
        story.clone(),
        |story| {
            story.wait(5);
            story.exit(&service);
        },
        &[TAKEN],
    );
    // An act as somebody else does not tell what for.
    check_from(
        story,
        |story| {
            story.wait(5);
            story.exec(&root, "/usr/bin/id");
            story.wait(500);
            story.tick();
        },
        &[TAKEN],
    );
}

#[test]
fn a_uid_that_waits_is_told_before_the_act_that_comes_late() {
    let (story, _, service) = uid_taken();
    check_from(
        story,
        |story| {
            story.wait(500);
            story.exec(&service, "/bin/bash");
        },
        &[
            "+0ms CW-103 unix:user:svc-legacy /usr/bin/su",
            "+500ms CW-103 unix:user:svc-legacy /bin/bash",
        ],
    );
}

#[test]
fn a_uid_that_is_taken_back_by_its_restorer_is_no_alert() {
    let (story, ..) = uid_taken();
    check_from(
        story,
        |story| {
            story.restore(by_selector("unix:user:svc-legacy"));
            story.wait(600);
            story.tick();
        },
        &[],
    );
}

#[test]
fn a_retired_uid_needs_no_name() {
    let mut story = Story::new();
    let root = Task {
        uid: 0,
        euid: 0,
        ..process(60)
    };
    story.retire(by_selector("unix:uid:4321"));
    story.exec(&root, "/usr/sbin/cron");
    story.takes_uid(&root, 4321);
    check_from(
        story,
        |story| story.exit(&root),
        &["+0ms CW-103 unix:uid:4321 /usr/sbin/cron"],
    );
}

#[test]
fn a_decoy_is_touched() {
    let mut story = Story::with_key();
    story.said(by_fingerprint(KEY), CredentialState::Decoy);
    story.exec(&process(42), "/usr/bin/cat");
    story.read(&process(42));
    // It opens nothing, so there is nothing in a connection.
    story.connect(&process(42), "192.0.2.7:22");
    insta::assert_snapshot!("decoy-touched", pretty(&story.alert()));
}

#[test]
fn an_outsider_asks_the_metadata_service() {
    for address in [
        "169.254.169.254:80",
        "169.254.170.2:80",
        "169.254.170.23:80",
        "100.100.100.200:80",
        "[fd00:ec2::254]:80",
        "[fd00:ec2::23]:80",
    ] {
        check(
            |story| story.connect(&process(42), address),
            &[&format!(
                "+0ms CW-203 unix:user:deploy /usr/bin/cat to {address}"
            )],
        );
    }
    // An IPv4 address on an IPv6 socket is the same address.
    check(
        |story| story.connect(&process(42), "[::ffff:169.254.169.254]:80"),
        &["+0ms CW-203 unix:user:deploy /usr/bin/cat to 169.254.169.254:80"],
    );
    for silent in [
        "169.254.169.254:53",
        "169.254.169.254:123",
        "169.254.169.253:80",
        "[fd00:ec2::253]:80",
    ] {
        check(|story| story.connect(&process(42), silent), &[]);
    }
    let mut story = Story::with_retired_key();
    story.connect(&process(42), "169.254.169.254:80");
    insta::assert_snapshot!("metadata-service", pretty(&story.alert()));
}

#[test]
fn who_may_ask_the_metadata_service() {
    let agent = Task {
        cgroup: 7,
        uid: 0,
        euid: 0,
        ..process(50)
    };
    let mut story = Story::new();
    story.cgroup(7, "/system.slice/cloud-init-local.service");
    story.exec(&agent, "/usr/bin/python3");
    check_from(
        story,
        |story| story.connect(&agent, "169.254.169.254:80"),
        &[],
    );
    let mut story = Story::new();
    let allowed = ActorPattern::new("/opt/agent/bin/*").unwrap();
    story.settings.metadata_service.allowed = vec![allowed];
    story.exec(&process(42), "/opt/agent/bin/agent");
    story.exec(&process(43), "/opt/agent/bin/deeper/agent");
    check_from(
        story,
        |story| {
            story.connect(&process(42), "169.254.169.254:80");
            story.connect(&process(43), "169.254.169.254:80");
        },
        &["+0ms CW-203 unix:user:deploy /opt/agent/bin/deeper/agent to 169.254.169.254:80"],
    );
}

#[test]
fn a_hook_fails() {
    let mut story = Story::new();
    story.fact(Fact::HookFailed {
        hook: "connect4".to_owned(),
        backend: "cgroup_sock_addr".to_owned(),
        reason: "no cgroup2 is mounted; mount one at /sys/fs/cgroup".to_owned(),
    });
    insta::assert_snapshot!("hook-failed", pretty(&story.alert()));
}

#[test]
fn events_are_lost_and_summed() {
    let mut story = Story::new();
    story.lost("process_exec", Some(1), 3);
    story.lost("process_exec", Some(0), 1);
    story.lost("process_exec", Some(1), 0);
    story.wait(1_000);
    story.lost("process_exec", Some(1), 4);
    story.lost("inotify", None, 1);
    story.wait(60_000);
    story.tick();
    let said: Vec<_> = story
        .alerts()
        .into_iter()
        .map(|alert| (alert.summary, alert.repeats))
        .collect();
    let of = |text: &str, repeats| (text.to_owned(), repeats);
    assert_eq!(
        said,
        [
            of("3 events of process_exec were lost on CPU 1", 2),
            of("1 event of process_exec was lost on CPU 0", 0),
            of("1 event of inotify was lost", 0),
            of("7 events of process_exec were lost on CPU 1", 6),
        ]
    );
}

#[test]
fn what_is_disabled_says_nothing_and_the_rest_does() {
    let mut story = Story::with_retired_key();
    story.settings.disabled = vec![DetectionId::RetiredCredentialRead];
    check_from(
        story,
        |story| {
            story.read(&process(42));
            story.connect(&process(42), "192.0.2.7:22");
        },
        &[
            "+0ms CW-102 unix:user:deploy /usr/bin/cat KEY at /srv/deploy/.ssh/id_ed25519 \
             to 192.0.2.7:22",
        ],
    );
}
