//! CW-205 and CW-206: who reaches into whose process.

use monitor::config::ActorPattern;
use monitor::model::{
    Access, Alert, CredentialState, DetectionId, Fact, Fingerprint, MemoryAccess, Severity, Task,
    Timestamp, Usage, UsageKey,
};

use super::story::{
    BEGIN, FILE, KEY, Story, by_fingerprint, child_of, of_root, process, with_program,
};

const SERVICE: &str = "systemd:unit:api.service";

/// A service of uid 998 as process 70, root as process 60 with python, deploy as 61 with python.
fn story() -> (Story, Task, Task, Task) {
    let mut story = Story::with_key();
    story.cgroup(7, "/system.slice/api.service");
    story.cgroup(8, "/user.slice/user-1000.slice/session-4.scope");
    let service = Task {
        uid: 998,
        euid: 998,
        cgroup: 7,
        ..with_program(process(70))
    };
    let user = Task {
        cgroup: 8,
        ..with_program(process(61))
    };
    let root = of_root(60);
    story.runs(&service, "/usr/bin/api");
    story.runs(&root, "/usr/bin/python3");
    story.runs(&user, "/usr/bin/python3");
    (story, service, root, user)
}

/// The same in which the service has read its key.
fn holding() -> (Story, Task, Task, Task) {
    let (mut story, service, root, user) = story();
    story.read(&service);
    (story, service, root, user)
}

#[test]
fn the_environment_of_another_identity_is_read() {
    let (mut story, service, root, user) = story();
    story.reaches(&root, &service, MemoryAccess::Environ, true);
    story.reaches(&user, &service, MemoryAccess::Environ, false);
    assert_eq!(
        story.told(),
        [
            "high CW-205: unix:user:root by /usr/bin/python3 (pid 60) read the environment of \
             /usr/bin/api (pid 70) of systemd:unit:api.service",
            "medium CW-205: unix:user:deploy by /usr/bin/python3 (pid 61, unit session-4.scope) \
             tried to read the environment of /usr/bin/api (pid 70) of systemd:unit:api.service; \
             it was refused",
        ]
    );
    let alert = &story.alerts()[0];
    let target = alert.target.as_ref().unwrap();
    assert_eq!(
        (target.pid, target.unit.as_deref()),
        (70, Some("api.service"))
    );
    assert_eq!(alert.attack, ["T1552.001"]);
    insta::assert_snapshot!(serde_json::to_string_pretty(alert).unwrap());
}

#[test]
fn what_is_the_same_identity_may_read_its_own_environment() {
    let (mut story, service, root, user) = story();
    story.cgroup(
        9,
        "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service",
    );
    let own_service = Task {
        cgroup: 9,
        ..with_program(process(62))
    };
    let sister = Task {
        pid: 71,
        ..service.clone()
    };
    for (actor, target) in [
        (&user, &process(63)),
        (&user, &own_service),
        (&service, &sister),
        (&root, &of_root(64)),
        (&root, &root),
    ] {
        story.reaches(actor, target, MemoryAccess::Environ, true);
    }
    assert_eq!(story.told(), [""; 0]);
    // A program with more rights, of the same user, is another.
    let sudo = Task {
        euid: 0,
        ..process(65)
    };
    story.reaches(&user, &sudo, MemoryAccess::Environ, false);
    // So is another service of the same user.
    story.cgroup(10, "/system.slice/other.service");
    let other = Task {
        cgroup: 10,
        ..sister
    };
    story.reaches(&service, &other, MemoryAccess::Environ, true);
    assert_eq!(story.told().len(), 2, "{:#?}", story.told());
}

#[test]
fn what_runs_the_system_and_what_shows_processes_may() {
    let (mut story, service, ..) = story();
    let init = Task {
        pid: 1,
        ..of_root(1)
    };
    let apt = of_root(80);
    story.runs(&apt, "/usr/bin/apt-get");
    let shell = child_of(&apt, 81);
    story.fork(&shell);
    let shell = with_program(shell);
    story.runs(&shell, "/usr/bin/dash");
    let needrestart = child_of(&shell, 82);
    story.fork(&needrestart);
    let needrestart = with_program(needrestart);
    story.runs(&needrestart, "/usr/bin/perl");
    for (pid, path) in [
        (90, "/usr/lib/systemd/systemd-coredump"),
        (91, "/usr/sbin/runc"),
        (92, "/usr/bin/ps"),
        (
            94,
            "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator",
        ),
    ] {
        story.runs(&of_root(pid), path);
        story.reaches(&of_root(pid), &service, MemoryAccess::Environ, true);
    }
    story.reaches(&init, &service, MemoryAccess::Environ, true);
    story.reaches(&needrestart, &service, MemoryAccess::Environ, true);
    assert_eq!(story.told(), [""; 0]);
    // perl outside of a package's hook, and ps with another way.
    story.runs(&of_root(93), "/usr/bin/perl");
    story.reaches(&of_root(93), &service, MemoryAccess::Environ, true);
    story.read(&service);
    story.reaches(&of_root(92), &service, MemoryAccess::Maps, true);
    story.reaches(&of_root(92), &service, MemoryAccess::Mem, true);
    let ids: Vec<_> = story.alerts().iter().map(|alert| alert.id).collect();
    assert_eq!(ids, [DetectionId::EnvironScrape, DetectionId::MemoryScrape]);
}

#[test]
fn a_name_is_no_insider() {
    let (mut story, service, ..) = story();
    // The path is right in mounts of its own, where the host has another file, or none.
    let impostor = Task {
        exe: FILE,
        ..of_root(90)
    };
    story.runs(&of_root(91), "/usr/bin/ps");
    story.exec(&impostor, "/usr/bin/ps");
    // The file is right, and not root's.
    let writable = of_root(92);
    story.fact(Fact::Program {
        file: writable.exe,
        path: "/usr/local/bin/ps".to_owned(),
        owner: 0,
        mode: 0o775,
    });
    story.exec(&writable, "/usr/local/bin/ps");
    for actor in [&impostor, &writable] {
        story.reaches(actor, &service, MemoryAccess::Environ, true);
    }
    let severities: Vec<_> = story.alerts().iter().map(|alert| alert.severity).collect();
    assert_eq!(severities, [Severity::High, Severity::High]);
}

#[test]
fn whoever_goes_through_all_of_proc_is_one_cause() {
    let (mut story, service, root, user) = story();
    for pid in 200..240 {
        let target = Task {
            pid,
            ..service.clone()
        };
        story.reaches(&root, &target, MemoryAccess::Environ, true);
    }
    story.reaches(&root, &user, MemoryAccess::Environ, true);
    story.reaches(&root, &user, MemoryAccess::Environ, false);
    let told = story.told();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[1].starts_with("medium"), "{told:#?}");
    assert!(told[2].starts_with("high CW-205 ended x40"), "{told:#?}");
}

#[test]
fn declared_agents_may() {
    let (mut story, service, root, _) = story();
    let allowed = ActorPattern::new("/usr/bin/python3").unwrap();
    story.settings.process_memory.allowed = vec![allowed];
    story.reaches(&root, &service, MemoryAccess::Environ, true);
    assert_eq!(story.told(), [""; 0]);
    // A path that this host does not have says nothing.
    story.exec(&process(99), "/usr/bin/python3");
    story.reaches(&process(99), &service, MemoryAccess::Environ, true);
    assert_eq!(story.told().len(), 1);
}

#[test]
fn each_way_into_the_memory_of_a_process_that_holds_a_secret() {
    let ways = [
        (MemoryAccess::Ptrace, "attached by ptrace to"),
        (
            MemoryAccess::ProcessVm,
            "reached by process_vm_readv or process_vm_writev into the memory of",
        ),
        (MemoryAccess::Mem, "opened /proc/PID/mem, the memory of"),
        (MemoryAccess::Descriptor, "took a descriptor from"),
        (MemoryAccess::Maps, "read the memory map of"),
        (
            MemoryAccess::Other,
            "reached, in a way that the kernel did not name, into",
        ),
    ];
    for (how, did) in ways {
        let weak = matches!(how, MemoryAccess::Maps | MemoryAccess::Other);
        let (mut story, service, root, _) = holding();
        story.reaches(&root, &service, how, true);
        let severity = if weak { "low" } else { "high" };
        assert_eq!(
            story.told(),
            [format!(
                "{severity} CW-206: unix:user:root by /usr/bin/python3 (pid 60) {did} /usr/bin/api \
                 (pid 70) of {SERVICE}, which has read the active SSH private key {KEY} at \
                 /srv/deploy/.ssh/id_ed25519"
            )]
        );
        let alert = story.alert();
        assert_eq!(alert.credential.unwrap().fingerprint.as_str(), KEY);
        assert_eq!((alert.evidence, alert.target.unwrap().pid), (None, 70));
        let (mut story, service, _, user) = holding();
        story.reaches(&user, &service, how, false);
        let told = story.told().remove(0);
        let severity = if weak { "low" } else { "medium" };
        assert!(
            told.starts_with(severity) && told.ends_with("; it was refused"),
            "{told}"
        );
    }
}

#[test]
fn a_descriptor_of_a_process_that_the_kernel_did_not_name() {
    let (mut story, _, root, user) = holding();
    let unknown = Task {
        pid: 0,
        start: Timestamp(0),
        ..process(0)
    };
    story.reaches(&root, &unknown, MemoryAccess::Descriptor, true);
    story.reaches(&user, &unknown, MemoryAccess::Descriptor, false);
    let alerts = story.alerts();
    let told: Vec<_> = alerts
        .iter()
        .map(|alert| (alert.severity, &alert.target))
        .collect();
    assert_eq!(told, [(Severity::Medium, &None), (Severity::Low, &None)]);
    let summary = &alerts[0].summary;
    assert!(
        summary.ends_with("took a descriptor from a process of another user"),
        "{summary}"
    );
}

#[test]
fn who_holds_nothing_holds_nothing() {
    let (mut story, service, root, _) = story();
    story.access(&service, FILE, Access::Denied, None);
    story.access(&service, FILE, Access::Write, None);
    story.reaches(&root, &service, MemoryAccess::Mem, true);
    // A new program has another memory; a child has its parent's.
    story.read(&service);
    let child = child_of(&service, 71);
    story.fork(&child);
    story.runs(&service, "/usr/bin/api");
    story.reaches(&root, &service, MemoryAccess::Mem, true);
    assert_eq!(story.told(), [""; 0]);
    story.reaches(&root, &child, MemoryAccess::Mem, true);
    assert_eq!(story.told().len(), 1);
}

#[test]
fn a_debugger_on_its_own_child_is_at_work() {
    let (mut story, _, _, user) = holding();
    let gdb = with_program(child_of(&user, 90));
    let program = with_program(child_of(&gdb, 91));
    let stranger = with_program(child_of(&user, 92));
    for task in [&gdb, &program, &stranger] {
        story.fork(task);
        story.runs(task, "/usr/bin/x");
        story.read(task);
    }
    story.reaches(&gdb, &program, MemoryAccess::Ptrace, true);
    story.reaches(&gdb, &program, MemoryAccess::Mem, true);
    story.reaches(&gdb, &program, MemoryAccess::Maps, true);
    assert_eq!(story.told(), [""; 0]);
    // On another process of the same user it is less than on another's.
    story.reaches(&gdb, &stranger, MemoryAccess::Ptrace, true);
    story.reaches(&gdb, &stranger, MemoryAccess::Maps, true);
    let told = story.told();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with("medium CW-206"), "{told:#?}");
}

#[test]
fn a_process_from_before_holds_what_its_program_is_known_to_use() {
    let mut story = Story::with_key();
    let service = Task {
        uid: 998,
        euid: 998,
        ..with_program(process(70))
    };
    story.fact(Fact::Running {
        task: service.clone(),
        path: Some("/usr/bin/api".to_owned()),
        permitted: None,
    });
    story.runs(&of_root(60), "/usr/bin/python3");
    story.reaches(&of_root(60), &service, MemoryAccess::ProcessVm, true);
    assert_eq!(story.told(), [""; 0]);
    let then = Timestamp(BEGIN.0 - 1_000_000_000);
    story.fact(Fact::Usage(Usage {
        key: UsageKey {
            fingerprint: Fingerprint::new(KEY),
            identity: "unix:user:svc-legacy".parse().unwrap(),
            exe: "/usr/bin/api".to_owned(),
            destination: String::new(),
        },
        first: then,
        last: then,
        count: 1,
        name: None,
    }));
    story.reaches(&of_root(60), &service, MemoryAccess::ProcessVm, true);
    let told = story.told().remove(0);
    assert!(
        told.contains("which is known to use the active SSH private key"),
        "{told}"
    );
    // One that was seen to start has read nothing.
    let (mut other, ..) = self::story();
    other
        .records
        .splice(0..0, story.records[..story.records.len() - 1].to_vec());
    other.exec(&service, "/usr/bin/api");
    other.reaches(&of_root(60), &service, MemoryAccess::ProcessVm, true);
    assert_eq!(other.told(), [""; 0]);
}

#[test]
fn the_secret_that_should_not_be_used_is_named_and_a_word_about_it_starts_anew() {
    let (mut story, service, root, _) = holding();
    story.reaches(&root, &service, MemoryAccess::Mem, true);
    story.reaches(&root, &service, MemoryAccess::Ptrace, true);
    story.said(by_fingerprint(KEY), CredentialState::Retired);
    story.reaches(&root, &service, MemoryAccess::Mem, true);
    let alerts: Vec<Alert> = story.alerts();
    let states: Vec<_> = alerts
        .iter()
        .map(|alert| (alert.repeats, alert.credential.as_ref().unwrap().state))
        .collect();
    assert_eq!(
        states,
        [
            (0, CredentialState::Active),
            (1, CredentialState::Active),
            (0, CredentialState::Retired)
        ]
    );
    assert!(
        alerts
            .iter()
            .all(|alert| alert.id == DetectionId::MemoryScrape)
    );
}

#[test]
fn to_reach_into_a_process_is_no_use_of_what_it_holds() {
    let (mut story, service, root, _) = holding();
    let before = story.usage();
    story.reaches(&root, &service, MemoryAccess::Mem, true);
    story.connect(&root, "192.0.2.7:22");
    assert_eq!(story.usage(), before);
}
