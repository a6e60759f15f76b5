//! Who is a user of a credential and who is an outsider: CW-201, CW-202, CW-204, CW-210, CW-211, and
//! what operators allow.

use monitor::config::{
    ActorPattern, AddressPattern, CredentialPattern, DeclaredUsers, Environment,
};
use monitor::detection::exception_of;
use monitor::model::{
    Access, Credential, CredentialKind, CredentialUser, Fact, FileId, Fingerprint, Learning,
    LocatedFile, Task, Timestamp,
};

use super::story::{BEGIN, FILE, KEY, PATH, Story, child_of, key, of_root, process, with_program};

const DAY: i64 = 86_400_000;

/// A process of deploy that runs a program of the system.
fn deploy(pid: u32) -> Task {
    with_program(process(pid))
}

fn in_cgroup(task: Task, cgroup: u64) -> Task {
    Task { cgroup, ..task }
}

fn file(ino: u64) -> FileId {
    FileId { dev: 2049, ino }
}

fn of_kind(fingerprint: &str, kind: CredentialKind) -> Credential {
    Credential {
        kind,
        ..key(fingerprint)
    }
}

/// A file of an owner with a mode.
fn lies(story: &mut Story, path: &str, ino: u64, (uid, mode): (u32, u32), held: &[Credential]) {
    story.fact(Fact::Located(LocatedFile {
        file: file(ino),
        path: path.into(),
        uid,
        gid: uid,
        mode,
        modified: BEGIN,
        credentials: held.to_vec(),
    }));
}

/// A key of deploy that has been used by `curl` of deploy, and whose users are no longer learned.
fn learned() -> Story {
    let mut story = Story::with_key();
    story.runs(&deploy(42), "/usr/bin/restic");
    story.read(&deploy(42));
    story.wait(8 * DAY);
    story
}

/// What a story says after its beginning.
#[track_caller]
fn says(mut story: Story, tell: impl FnOnce(&mut Story), expected: &[&str]) {
    tell(&mut story);
    let told = story.told();
    let short: Vec<_> = told
        .iter()
        .map(|line| line.split(": ").next().unwrap_or_default())
        .collect();
    assert_eq!(short, expected, "{told:#?}");
}

/// What was said of outsiders, and not of whoever still holds an old version or was silent for long.
fn outsiders(story: &Story) -> Vec<String> {
    let told = story.told().into_iter();
    told.filter(|said| said.contains("CW-201")).collect()
}

#[test]
fn a_user_that_was_learned_is_none_and_a_later_one_is_an_outsider() {
    says(learned(), |story| story.read(&deploy(42)), &[]);
    // Another process of the same program, and a new version of it.
    says(
        learned(),
        |story| {
            story.runs(&deploy(43), "/usr/bin/restic");
            story.read(&deploy(43));
        },
        &[],
    );
    says(
        learned(),
        |story| {
            story.runs(&deploy(43), "/usr/bin/cat");
            story.read(&deploy(43));
        },
        &["medium CW-201"],
    );
    // Another account.
    says(
        learned(),
        |story| {
            story.runs(&of_root(43), "/usr/bin/restic");
            story.read(&of_root(43));
        },
        &["high CW-201"],
    );
    // The same path in mounts of its own: no program of this host.
    says(
        learned(),
        |story| {
            story.exec(&deploy(43), "/usr/bin/restic");
            story.read(&deploy(43));
        },
        &["high CW-201"],
    );
    // Nothing is learned of an outsider, and a refused or overwritten file was not read.
    says(
        learned(),
        |story| {
            story.runs(&deploy(43), "/usr/bin/cat");
            story.access(&deploy(43), FILE, Access::Denied, None);
            story.access(&deploy(43), FILE, Access::Write, None);
            story.read(&deploy(43));
            story.wait(DAY);
            story.tick();
            story.runs(&deploy(44), "/usr/bin/cat");
            story.read(&deploy(44));
        },
        &["medium CW-201", "medium CW-201"],
    );
}

#[test]
fn an_outsider_is_told_with_those_who_are_known() {
    let mut story = learned();
    story.runs(&of_root(43), "/usr/bin/cat");
    story.read(&of_root(43));
    insta::assert_snapshot!(story.told().join("\n"));
}

#[test]
fn a_person_who_looks_is_not_learned_and_told_only_of_anothers_key() {
    let person = |pid| Task {
        login_uid: Some(998),
        tty: Some("pts0".to_owned()),
        ..of_root(pid)
    };
    // Another account's private key, with root's rights.
    says(
        Story::with_key(),
        |story| {
            story.runs(&person(43), "/usr/bin/cat");
            story.read(&person(43));
        },
        &["high CW-201"],
    );
    // root's own is read quietly while users are learned, and is not learned by that.
    let mut story = Story::new();
    lies(&mut story, "/etc/app/tls.key", 78, (0, 0o600), &[key("k")]);
    story.runs(&person(43), "/usr/bin/cat");
    story.access(&person(43), file(78), Access::Read, None);
    assert_eq!(story.told(), [""; 0]);
    story.wait(8 * DAY);
    story.runs(&person(44), "/usr/bin/cat");
    story.access(&person(44), file(78), Access::Read, None);
    assert_eq!(story.told().len(), 1, "{:?}", story.told());

    // A job that cat is learned for does not let a person through.
    let mut story = Story::new();
    lies(&mut story, "/etc/app/tls.key", 78, (0, 0o600), &[key("k")]);
    story.runs(&of_root(42), "/usr/bin/cat");
    story.access(&of_root(42), file(78), Access::Read, None);
    story.wait(8 * DAY);
    story.runs(&of_root(43), "/usr/bin/cat");
    story.access(&of_root(43), file(78), Access::Read, None);
    assert_eq!(story.told(), [""; 0]);
    story.runs(&person(44), "/usr/bin/cat");
    story.access(&person(44), file(78), Access::Read, None);
    assert_eq!(story.told().len(), 1, "{:?}", story.told());
}

#[test]
fn a_program_that_anybody_may_have_put_there_is_never_learned() {
    for (path, owner, mode, while_learning) in [
        ("/dev/shm/x", 0, 0o755, true),
        ("/", 0, 0o755, true),
        ("/tmp/x", 0, 0o755, true),
        ("/opt/open", 0, 0o777, false),
        ("/opt/others", 998, 0o755, false),
    ] {
        let read = |story: &mut Story, pid| {
            let task = of_root(pid);
            story.fact(Fact::Program {
                file: task.exe,
                path: path.to_owned(),
                owner,
                mode,
            });
            story.exec(&task, path);
            story.read(&task);
        };
        let mut story = Story::with_key();
        read(&mut story, 43);
        let told = story.told();
        assert_eq!(!told.is_empty(), while_learning, "{path}: {told:?}");
        story.wait(8 * DAY);
        story.tick();
        read(&mut story, 44);
        assert_eq!(story.told().len(), told.len() + 1, "{path}");
        assert!(story.told().last().unwrap().starts_with("high CW-201"));
    }
    // A developer's own test with the developer's own key.
    says(
        Story::with_key(),
        |story| {
            story.runs(&deploy(43), "/tmp/go-build1/b001/x.test");
            story.read(&deploy(43));
        },
        &[],
    );
}

#[test]
fn what_happens_on_every_host_is_quiet_after_learning_too() {
    // ssh with its user's key; not root's ssh with it.
    for (task, count) in [(deploy(43), 0), (of_root(43), 1)] {
        let mut story = learned();
        story.runs(&task, "/usr/bin/ssh");
        story.read(&task);
        assert_eq!(story.told().len(), count, "{:?}", story.told());
    }
    let quiet = |path: &str, kind, exe: &str, task: &Task| {
        let mut story = Story::new();
        lies(&mut story, path, 78, (0, 0o600), &[of_kind("k", kind)]);
        story.wait(8 * DAY);
        story.runs(task, exe);
        story.access(task, file(78), Access::Read, None);
        story.told()
    };
    let (ssh, tls) = (
        CredentialKind::SshPrivateKey,
        CredentialKind::X509PrivateKey,
    );
    for (path, kind, exe) in [
        ("/etc/ssh/ssh_host_ed25519_key", ssh, "/usr/sbin/sshd"),
        (
            "/etc/ssh/ssh_host_ed25519_key",
            ssh,
            "/usr/lib/openssh/sshd-session",
        ),
        (
            "/etc/letsencrypt/live/a/privkey.pem",
            tls,
            "/usr/sbin/nginx",
        ),
        (
            "/etc/ssl/private/db.key",
            tls,
            "/usr/lib/postgresql/16/bin/postgres",
        ),
        (
            "/etc/app/token",
            CredentialKind::Jwt,
            "/usr/lib/systemd/systemd",
        ),
        (
            "/etc/app/token",
            CredentialKind::Jwt,
            "/usr/lib/systemd/systemd-executor",
        ),
        ("/etc/app/token", CredentialKind::Jwt, "/usr/bin/dpkg"),
    ] {
        let told = quiet(path, kind, exe, &of_root(43));
        assert_eq!(told, [""; 0], "{exe}");
    }
    let told = quiet(
        "/etc/ssh/ssh_host_rsa_key",
        ssh,
        "/usr/bin/ssh",
        &of_root(43),
    );
    assert_eq!(told.len(), 1, "a host's key is no user's: {told:?}");
}

#[test]
fn a_service_reads_at_its_start_what_it_read_before_anybody_looked() {
    let story = |first_seen: bool, exe: &str| {
        let mut story = Story::new();
        story.cgroup(7, "/system.slice/ledger.service");
        lies(&mut story, "/etc/ledger/token", 78, (0, 0o600), &[key("k")]);
        let before = in_cgroup(of_root(42), 7);
        if first_seen {
            story.runs(&before, "/usr/sbin/ledgerd");
        }
        story.wait(30 * DAY);
        let start = Timestamp(BEGIN.0 + 30 * DAY * 1_000_000);
        let task = Task {
            start,
            ..in_cgroup(of_root(43), 7)
        };
        story.runs(&task, exe);
        story.access(&task, file(78), Access::Read, None);
        // From now on it is known, also later in its life.
        story.wait(DAY);
        story.tick();
        story.access(&task, file(78), Access::Read, None);
        // A month of silence is told otherwise (CW-104).
        outsiders(&story).len()
    };
    assert_eq!(story(true, "/usr/sbin/ledgerd"), 0);
    assert_eq!(
        story(false, "/usr/sbin/ledgerd"),
        2,
        "a unit that nobody knew"
    );
    assert_eq!(
        story(true, "/usr/bin/cat"),
        2,
        "a program that reads anything"
    );
    assert_eq!(story(true, "/usr/bin/bash"), 0, "a service in a shell");
    assert_eq!(story(false, "/usr/bin/bash"), 2);

    // What is below a service in a shell is told in it as well.
    let mut story = Story::new();
    story.cgroup(7, "/system.slice/ledger.service");
    lies(&mut story, "/etc/ledger/token", 78, (0, 0o600), &[key("k")]);
    story.runs(&in_cgroup(of_root(42), 7), "/usr/bin/bash");
    story.wait(30 * DAY);
    let start = Timestamp(BEGIN.0 + 30 * DAY * 1_000_000);
    let main = Task {
        start,
        ..in_cgroup(of_root(43), 7)
    };
    story.runs(&main, "/usr/bin/bash");
    let below = Task {
        start,
        ..child_of(&main, 44)
    };
    story.fork(&below);
    story.runs(&below, "/usr/bin/bash");
    story.access(&below, file(78), Access::Read, None);
    assert_eq!(outsiders(&story).len(), 1, "{:?}", story.told());

    // A service in an interpreter, its worker, and a script that it starts.
    let mut story = Story::new();
    story.cgroup(7, "/system.slice/ledger.service");
    lies(&mut story, "/etc/ledger/token", 78, (0, 0o600), &[key("k")]);
    story.runs(&in_cgroup(of_root(42), 7), "/usr/bin/python3.11");
    story.wait(30 * DAY);
    let start = Timestamp(BEGIN.0 + 30 * DAY * 1_000_000);
    let main = Task {
        start,
        ..in_cgroup(of_root(43), 7)
    };
    story.runs(&main, "/usr/bin/python3.11");
    let [worker, script] = [44, 45].map(|pid| Task {
        start,
        ..child_of(&main, pid)
    });
    let mut by_script = story.clone();
    by_script.fork(&script);
    by_script.runs(&script, "/usr/bin/python3.11");
    by_script.access(&script, file(78), Access::Read, None);
    assert_eq!(outsiders(&by_script).len(), 1, "{:?}", by_script.told());
    story.fork(&worker);
    story.access(&worker, file(78), Access::Read, None);
    assert_eq!(outsiders(&story), [""; 0]);

    // What the service starts is another program.
    let mut story = Story::new();
    story.cgroup(7, "/system.slice/ledger.service");
    lies(&mut story, "/etc/ledger/token", 78, (0, 0o600), &[key("k")]);
    let main = in_cgroup(of_root(42), 7);
    story.runs(&main, "/usr/sbin/ledgerd");
    story.access(&main, file(78), Access::Read, None);
    story.wait(8 * DAY);
    let child = with_program(child_of(&main, 43));
    story.fork(&child);
    story.runs(&child, "/usr/bin/id");
    story.access(&child, file(78), Access::Read, None);
    assert_eq!(outsiders(&story).len(), 1, "{:?}", story.told());
}

#[test]
fn declared_users_and_owners_are_insiders() {
    let cat = |story: &mut Story| {
        story.runs(&of_root(43), "/usr/bin/cat");
        story.read(&of_root(43));
    };
    let patterns = |text: &str| vec![ActorPattern::new(text).unwrap()];
    let mut story = learned();
    story.settings.users.allowed = patterns("unix:user:root");
    says(story, cat, &[]);
    for (credential, actor, expected) in [
        (KEY, "/usr/bin/cat", &[][..]),
        ("/srv/deploy/**", "unix:user:root", &[]),
        ("/srv/other/**", "unix:user:root", &["high CW-201"]),
        (KEY, "/usr/bin/tac", &["high CW-201"]),
    ] {
        let mut story = learned();
        story.settings.declared_users = vec![DeclaredUsers {
            credentials: vec![CredentialPattern::new(credential).unwrap()],
            allowed: patterns(actor),
        }];
        says(story, cat, expected);
    }
}

#[test]
fn a_rotation_is_no_new_time_to_be_learned() {
    let mut story = learned();
    story.located(PATH, file(90), &[key("SHA256:successor")]);
    story.runs(&deploy(43), "/usr/bin/restic");
    story.access(&deploy(43), file(90), Access::Read, None);
    assert_eq!(story.told(), [""; 0]);
    story.runs(&deploy(44), "/usr/bin/cat");
    story.access(&deploy(44), file(90), Access::Read, None);
    assert_eq!(outsiders(&story).len(), 1, "{:?}", story.told());
    // What lies there a day later is the successor's successor.
    story.wait(DAY);
    story.tick();
    story.unlocated(PATH, file(90));
    story.located(PATH, file(91), &[key("SHA256:third")]);
    story.runs(&deploy(45), "/usr/bin/restic");
    story.access(&deploy(45), file(91), Access::Read, None);
    assert_eq!(outsiders(&story).len(), 1, "{:?}", story.told());
}

#[test]
fn what_was_known_before_a_restart_is_known_after_it() {
    let mut story = Story::with_key();
    story.fact(Fact::Learning(Learning {
        fingerprint: Fingerprint::new(KEY),
        since: Timestamp(BEGIN.0 - 8 * DAY * 1_000_000),
    }));
    story.fact(Fact::User(CredentialUser {
        fingerprint: Fingerprint::new(KEY),
        identity: "unix:user:deploy".parse().unwrap(),
        exe: "/usr/bin/restic".to_owned(),
        own_mounts: false,
        since: BEGIN,
    }));
    story.runs(&deploy(43), "/usr/bin/restic");
    story.read(&deploy(43));
    assert_eq!(story.told(), [""; 0]);
    story.runs(&deploy(44), "/usr/bin/cat");
    story.read(&deploy(44));
    assert_eq!(story.told().len(), 1, "{:?}", story.told());
}

/// A token of a workload that an outsider reads.
fn stolen(kind: CredentialKind) -> Story {
    let mut story = Story::new();
    lies(
        &mut story,
        "/run/app/token",
        78,
        (1000, 0o600),
        &[of_kind("jwt:x", kind)],
    );
    story.wait(8 * DAY);
    story.runs(&deploy(43), "/usr/bin/cat");
    story.access(&deploy(43), file(78), Access::Read, None);
    story
}

#[test]
fn a_token_that_an_outsider_read_is_used() {
    let token = CredentialKind::KubernetesServiceAccountToken;
    for (to, after, called) in [
        ("192.0.2.7:6443", 1_000, true),
        ("10.96.0.1:443", 59_000, true),
        ("192.0.2.7:6443", 61_000, false),
        ("192.0.2.7:443", 1_000, false),
    ] {
        let mut story = stolen(token);
        story.wait(after);
        story.connect(&deploy(43), to);
        let told = story.told();
        let is = told.iter().any(|line| line.starts_with("critical CW-202"));
        assert_eq!(is, called, "{to}: {told:?}");
    }
    // A child, and a name.
    let mut story = stolen(CredentialKind::AwsAccessKey);
    story.name("192.0.2.7", "sts.eu-west-1.amazonaws.com");
    let child = child_of(&deploy(43), 44);
    story.fork(&child);
    story.runs(&child, "/usr/bin/curl");
    story.connect(&child, "192.0.2.7:443");
    insta::assert_snapshot!(story.told().join("\n"));
    // A user of it calls all day.
    let mut story = Story::new();
    lies(
        &mut story,
        "/run/app/token",
        78,
        (1000, 0o600),
        &[of_kind("jwt:x", token)],
    );
    story.runs(&deploy(43), "/usr/bin/api");
    story.access(&deploy(43), file(78), Access::Read, None);
    story.connect(&deploy(43), "192.0.2.7:6443");
    assert_eq!(story.told(), [""; 0]);
}

const KINDS: [CredentialKind; 3] = [
    CredentialKind::SshPrivateKey,
    CredentialKind::AwsAccessKey,
    CredentialKind::NpmToken,
];

/// Files of deploy with as many kinds, each read by a process of its own below one shell.
fn searched(kinds: usize, files: u64, apart: i64, shell: &Task, exe: &str) -> Vec<String> {
    let mut story = Story::new();
    for number in 0..files {
        let kind = KINDS[usize::try_from(number).unwrap() % kinds];
        let held = [of_kind(&format!("k{number}"), kind)];
        lies(
            &mut story,
            &format!("/home/a/{number}"),
            100 + number,
            (1000, 0o644),
            &held,
        );
    }
    story.wait(8 * DAY);
    story.runs(shell, "/usr/bin/bash");
    for number in 0..files {
        let child = with_program(child_of(shell, 1_000 + u32::try_from(number).unwrap()));
        story.fork(&child);
        story.runs(&child, exe);
        story.access(&child, file(100 + number), Access::Read, None);
        story.exit(&child);
        story.wait(apart);
    }
    let told = story.told().into_iter();
    told.filter(|line| line.contains("CW-204")).collect()
}

#[test]
fn one_tree_that_reads_many_is_a_harvest() {
    let shell = deploy(42);
    assert_eq!(searched(3, 3, 1_000, &shell, "/usr/bin/cat").len(), 1);
    assert_eq!(searched(2, 10, 1_000, &shell, "/usr/bin/cat").len(), 0);
    let many = searched(1, 11, 1_000, &shell, "/usr/bin/cat");
    insta::assert_snapshot!(many.join("\n"));
    assert_eq!(
        searched(3, 9, 200_000, &shell, "/usr/bin/cat").len(),
        0,
        "too slow"
    );
    // ssh-add of the same user reads keys, which is its work.
    assert_eq!(searched(1, 20, 10, &shell, "/usr/bin/ssh-add").len(), 0);
}

#[test]
fn a_backup_that_ran_while_users_were_learned_is_none() {
    let mut story = Story::new();
    for number in 0..30_u64 {
        let kind = KINDS[usize::try_from(number).unwrap() % 3];
        let held = [of_kind(&format!("k{number}"), kind)];
        lies(
            &mut story,
            &format!("/home/a/{number}"),
            100 + number,
            (1000, 0o600),
            &held,
        );
    }
    story.cgroup(7, "/system.slice/restic.service");
    for night in 0..20_u32 {
        let task = in_cgroup(of_root(50 + night), 7);
        story.runs(&task, "/usr/bin/restic");
        for number in 0..30 {
            story.access(&task, file(100 + number), Access::Read, None);
        }
        story.wait(DAY);
    }
    assert_eq!(story.told(), [""; 0]);
    // An account that gathers what is others' is no backup, from the first night on.
    let other = Task {
        uid: 998,
        euid: 998,
        ..deploy(90)
    };
    let mut story = Story::new();
    for number in 0..3_u64 {
        let held = [of_kind(
            &format!("k{number}"),
            KINDS[usize::try_from(number).unwrap()],
        )];
        lies(
            &mut story,
            &format!("/home/a/{number}"),
            100 + number,
            (1000, 0o644),
            &held,
        );
    }
    story.runs(&other, "/usr/bin/cat");
    for number in 0..3 {
        story.access(&other, file(100 + number), Access::Read, None);
    }
    assert_eq!(story.told().len(), 1, "{:?}", story.told());
}

#[test]
fn two_services_with_one_key_are_told_once() {
    let mut story = Story::new();
    lies(&mut story, "/etc/app/key", 78, (0, 0o640), &[key("k")]);
    for (id, unit) in [(1, "a@1"), (2, "a@2"), (3, "b"), (4, "b"), (5, "cron")] {
        story.cgroup(id, &format!("/system.slice/{unit}.service"));
        let number = u32::try_from(id).unwrap();
        let task = in_cgroup(of_root(40 + number), id);
        story.runs(&task, "/usr/bin/api");
        story.access(&task, file(78), Access::Read, None);
        story.wait(10_000);
    }
    // root outside of a service is whoever administers.
    story.runs(&of_root(60), "/usr/bin/api");
    story.access(&of_root(60), file(78), Access::Read, None);
    insta::assert_snapshot!(story.told().join("\n"));
}

#[test]
fn environments_are_kept_apart() {
    let environment = |name: &str, user: &str, path: &str, address: &str| Environment {
        name: name.to_owned(),
        identities: vec![ActorPattern::new(user).unwrap()],
        credentials: vec![CredentialPattern::new(path).unwrap()],
        addresses: vec![AddressPattern::new(address).unwrap()],
    };
    let both = vec![
        environment("prod", "unix:user:deploy", "/srv/prod/*", "10.1.0.0/16"),
        environment(
            "test",
            "unix:user:svc-legacy",
            "/srv/test/*",
            "*.test.example",
        ),
    ];
    let read = |path: &str, uid: u32, to: Option<&str>| {
        let mut story = Story::new();
        story.settings.environments.clone_from(&both);
        story.name("192.0.2.9", "db.test.example");
        lies(&mut story, path, 78, (uid, 0o600), &[key("k")]);
        let task = Task {
            uid,
            euid: uid,
            ..deploy(43)
        };
        story.runs(&task, "/usr/bin/api");
        story.access(&task, file(78), Access::Read, None);
        if let Some(to) = to {
            story.connect(&task, to);
        }
        story.told()
    };
    assert_eq!(read("/srv/prod/key", 1000, Some("10.1.2.3:443")), [""; 0]);
    assert_eq!(read("/srv/prod/key", 1000, Some("192.0.2.1:443")), [""; 0]);
    assert_eq!(read("/srv/none/key", 998, Some("10.1.2.3:443")), [""; 0]);
    assert_eq!(
        read("/srv/prod/key", 77, None),
        [""; 0],
        "of no environment"
    );
    let told = [
        read("/srv/prod/key", 998, None),
        read("/srv/prod/key", 1000, Some("192.0.2.9:5432")),
    ];
    insta::assert_snapshot!(told.concat().join("\n"));
}

#[test]
fn an_exception_holds_for_its_cause_its_program_and_its_time() {
    let mut story = learned();
    let by = |story: &mut Story, pid, exe: &str| {
        story.wait(120_000);
        story.tick();
        story.runs(&of_root(pid), exe);
        story.read(&of_root(pid));
    };
    by(&mut story, 43, "/usr/bin/cat");
    let alert = story.alerts().remove(0);
    let now = alert.time;
    let end = Timestamp(now.0 + DAY * 1_000_000);
    let allowed = exception_of(
        &alert,
        "a check".to_owned(),
        "ana".to_owned(),
        now,
        Some(end),
    );
    story.fact(Fact::Allowed(allowed.clone()));
    let told = |story: &Story| story.told().len();
    let before = told(&story);
    by(&mut story, 44, "/usr/bin/cat");
    assert_eq!(told(&story), before, "{:?}", story.told());
    // The same path in mounts of its own.
    story.exec(&of_root(45), "/usr/bin/cat");
    story.read(&of_root(45));
    assert_eq!(told(&story), before + 1);
    by(&mut story, 46, "/usr/bin/tac");
    assert_eq!(told(&story), before + 2, "another program");
    let mut removed = story.clone();
    removed.fact(Fact::NotAllowed { id: allowed.id });
    by(&mut removed, 47, "/usr/bin/cat");
    assert_eq!(told(&removed), before + 3);
    story.wait(DAY);
    by(&mut story, 47, "/usr/bin/cat");
    assert_eq!(told(&story), before + 3, "it has run out");
}
