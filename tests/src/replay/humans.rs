//! CW-209, fact by fact: who is a person, who is a machine, and what is nobody's business.

use monitor::config::ActorPattern;
use monitor::model::{
    Access, Account, AccountClass, Container, Credential, CredentialKind, Fact, FileId, Password,
    Selector, Task,
};

use super::story::{FILE, KEY, Story, child_of, key, process, with_program};

const SERVICE: u32 = 998;

/// ana at a terminal, as process 10, and the account of a service.
fn at_a_terminal() -> (Story, Task) {
    let mut story = Story::new();
    account(&mut story, 0, "root", AccountClass::Root, true);
    account(&mut story, 1000, "ana", AccountClass::Regular, true);
    account(
        &mut story,
        SERVICE,
        "svc-legacy",
        AccountClass::System,
        false,
    );
    story.cgroup(4, "/user.slice/user-1000.slice/session-4.scope");
    let shell = Task {
        login_uid: Some(1000),
        session: Some(4),
        cgroup: 4,
        tty: Some("pts0".to_owned()),
        ..with_program(process(10))
    };
    story.runs(&shell, "/usr/bin/bash");
    (story, shell)
}

fn account(story: &mut Story, uid: u32, name: &str, class: AccountClass, shell: bool) {
    story.fact(Fact::UserName {
        uid,
        name: Some(name.to_owned()),
        account: Some(Account {
            class,
            shell,
            password: Password::Locked,
        }),
    });
}

/// A child that runs a program of the system's.
fn starts(story: &mut Story, parent: &Task, pid: u32, exe: &str) -> Task {
    let child = with_program(child_of(parent, pid));
    let forked = Task {
        exe: parent.exe,
        ..child.clone()
    };
    story.fork(&forked);
    story.runs(&child, exe);
    child
}

fn as_uid(task: &Task, uid: u32) -> Task {
    Task {
        uid,
        euid: uid,
        gid: uid,
        ..task.clone()
    }
}

/// A program that takes the uid in a child, and runs another there.
fn hands_over(story: &mut Story, by: &Task, pid: u32, uid: u32, exe: &str) -> Task {
    let forked = child_of(by, pid);
    story.fork(&forked);
    let task = as_uid(&with_program(forked), uid);
    story.runs(&task, exe);
    task
}

#[track_caller]
fn tells(story: &Story, expected: &[&str]) {
    assert_eq!(story.told(), expected);
}

#[test]
fn sudo_and_its_like_make_a_person_a_machine() {
    for way in ["sudo", "su", "runuser", "setpriv", "doas", "python3.11"] {
        let (mut story, shell) = at_a_terminal();
        let way = format!("/usr/bin/{way}");
        let switcher = starts(&mut story, &shell, 20, &way);
        let psql = hands_over(&mut story, &switcher, 21, SERVICE, "/usr/bin/psql");
        // What follows in the session is no other cause, however late.
        story.wait(600_000);
        starts(&mut story, &psql, 22, "/usr/bin/ls");
        let sentence = format!(
            "medium CW-209: ana (login, terminal pts0) acts as unix:user:svc-legacy by way of {way} and \
             ran /usr/bin/psql (pid 21)"
        );
        tells(&story, &[&sentence]);
    }
}

#[test]
fn a_terminal_that_was_left_behind_is_a_persons_still() {
    let (mut story, shell) = at_a_terminal();
    let shell = Task {
        login_uid: None,
        ..shell
    };
    let su = starts(&mut story, &shell, 20, "/usr/bin/su");
    let own_session = Task {
        tty: None,
        ..su.clone()
    };
    hands_over(&mut story, &own_session, 21, SERVICE, "/usr/bin/psql");
    // What was put elsewhere runs for itself.
    story.cgroup(5, "/a");
    let moved = Task {
        cgroup: 5,
        ..own_session
    };
    hands_over(&mut story, &moved, 22, SERVICE, "/usr/bin/psql");
    tells(
        &story,
        &[
            "medium CW-209: somebody at terminal pts0 acts as unix:user:svc-legacy by way of /usr/bin/su \
             and ran /usr/bin/psql (pid 21)",
        ],
    );
}

#[test]
fn a_program_that_replaces_itself_has_changed_the_uid() {
    let (mut story, shell) = at_a_terminal();
    let setpriv = starts(&mut story, &shell, 20, "/usr/bin/setpriv");
    let after = as_uid(&with_program(child_of(&setpriv, 20)), SERVICE);
    let after = Task {
        ppid: shell.pid,
        parent_start: shell.start,
        start: setpriv.start,
        ..after
    };
    story.runs(&after, "/usr/bin/id");
    tells(
        &story,
        &[
            "medium CW-209: ana (login, terminal pts0) acts as unix:user:svc-legacy by way of \
           /usr/bin/setpriv and ran /usr/bin/id (pid 20)",
        ],
    );
}

#[test]
fn a_program_of_ones_own_that_takes_the_uid_is_a_choice_too() {
    let (mut story, shell) = at_a_terminal();
    let own = child_of(&shell, 20);
    story.fork(&own);
    let own = with_program(own);
    story.exec(&own, "/home/ana/become");
    let taken = as_uid(&own, SERVICE);
    story.connect(&taken, "192.0.2.7:443");
    tells(
        &story,
        &[
            "medium CW-209: ana (login, terminal pts0) acts as unix:user:svc-legacy by way of \
           /home/ana/become and connected with /home/ana/become to 192.0.2.7:443 (pid 20)",
        ],
    );
}

#[test]
fn whoever_logs_in_as_a_machine_is_a_person_at_a_terminal() {
    for (tty, told) in [(Some("pts0".to_owned()), 1), (None, 0)] {
        let (mut story, shell) = at_a_terminal();
        let shell = Task {
            login_uid: Some(SERVICE),
            tty,
            ..as_uid(&with_program(child_of(&shell, 30)), SERVICE)
        };
        story.runs(&shell, "/usr/bin/bash");
        let told_now = story.told();
        assert_eq!(told_now.len(), told, "{told_now:?}");
        if told == 1 {
            assert_eq!(
                told_now[0],
                "medium CW-209: svc-legacy (login, terminal pts0) acts as unix:user:svc-legacy, logged in \
                 as it, and ran /usr/bin/bash (pid 30)"
            );
        }
    }
}

#[test]
fn ordinary_work_is_no_use_of_a_machine() {
    // Root, oneself, and another person are no machines.
    let (mut story, shell) = at_a_terminal();
    account(&mut story, 1001, "ben", AccountClass::Regular, true);
    account(&mut story, 65_534, "nobody", AccountClass::Nobody, false);
    starts(&mut story, &shell, 11, "/usr/bin/ls");
    let sudo = starts(&mut story, &shell, 20, "/usr/bin/sudo");
    for (pid, uid) in [(21, 0), (22, 1001), (23, 65_534), (24, 1000)] {
        hands_over(&mut story, &sudo, pid, uid, "/usr/bin/id");
    }
    // Programs that change to their own account, started as root by a person.
    let root = hands_over(&mut story, &sudo, 30, 0, "/usr/bin/bash");
    for (pid, exe) in [
        (40, "/usr/lib/apt/methods/http"),
        (42, "/usr/bin/man"),
        (44, "/usr/sbin/nginx"),
        (46, "/usr/bin/perl"),
    ] {
        let program = starts(&mut story, &root, pid, exe);
        let dropped = hands_over(&mut story, &program, pid + 1, SERVICE, "/usr/bin/gpgv");
        story.connect(&dropped, "192.0.2.7:443");
        story.connect(&as_uid(&program, SERVICE), "192.0.2.7:443");
    }
    // A package's script.
    let dpkg = starts(&mut story, &root, 50, "/usr/bin/dpkg");
    let script = starts(&mut story, &dpkg, 51, "/usr/bin/dash");
    let su = starts(&mut story, &script, 52, "/usr/bin/su");
    let made = hands_over(&mut story, &su, 53, SERVICE, "/usr/bin/dash");
    starts(&mut story, &made, 54, "/usr/bin/psql");
    tells(&story, &[]);
}

#[test]
fn jobs_and_services_are_no_people() {
    let (mut story, _) = at_a_terminal();
    for (cgroup, path, tty, login) in [
        (5, "/system.slice/cron.service", None, Some(SERVICE)),
        (6, "/system.slice/cron.service", None, Some(0)),
        // A runner that gives its jobs a terminal.
        (
            7,
            "/system.slice/buildkite-agent.service",
            Some("pts7"),
            None,
        ),
    ] {
        story.cgroup(cgroup, path);
        let pid = 100 + u32::try_from(cgroup).unwrap() * 10;
        let parent = Task {
            cgroup,
            login_uid: login,
            tty: tty.map(str::to_owned),
            ..as_uid(&with_program(process(pid)), 0)
        };
        story.runs(&parent, "/usr/bin/dash");
        let su = starts(&mut story, &parent, pid + 1, "/usr/bin/su");
        hands_over(&mut story, &su, pid + 2, SERVICE, "/usr/bin/psql");
    }
    // A service of the account's own manager, which has set the login uid.
    story.cgroup(
        8,
        "/user.slice/user-998.slice/user@998.service/app.slice/a.service",
    );
    let own = Task {
        cgroup: 8,
        login_uid: Some(SERVICE),
        ..as_uid(&with_program(process(200)), SERVICE)
    };
    story.runs(&own, "/usr/bin/podman");
    // cron where there is no systemd.
    story.cgroup(9, "/");
    let cron = Task {
        cgroup: 9,
        ..as_uid(&with_program(process(300)), 0)
    };
    story.runs(&cron, "/usr/sbin/cron");
    let job = Task {
        login_uid: Some(1000),
        ..with_program(child_of(&cron, 301))
    };
    story.runs(&job, "/usr/bin/dash");
    let sudo = starts(&mut story, &job, 302, "/usr/bin/sudo");
    hands_over(&mut story, &sudo, 303, SERVICE, "/usr/bin/psql");
    tells(&story, &[]);
}

#[test]
fn accounts_and_programs_can_be_declared() {
    let work = |declare: &dyn Fn(&mut Story)| {
        let (mut story, shell) = at_a_terminal();
        declare(&mut story);
        let sudo = starts(&mut story, &shell, 20, "/usr/bin/sudo");
        hands_over(&mut story, &sudo, 21, SERVICE, "/usr/bin/psql");
        account(&mut story, 1001, "svc-deploy", AccountClass::Regular, true);
        hands_over(&mut story, &sudo, 22, 1001, "/usr/bin/git");
        story.told().len()
    };
    let pattern = |text: &str| vec![ActorPattern::new(text).unwrap()];
    assert_eq!(work(&|_| ()), 1);
    for allowed in ["unix:user:svc-legacy", "/usr/bin/psql"] {
        let allowed = pattern(allowed);
        assert_eq!(
            work(&|story| story.settings.human_use.allowed = allowed.clone()),
            0
        );
    }
    let machines = pattern("unix:user:svc-*");
    assert_eq!(
        work(&|story| story.settings.human_use.machines = machines.clone()),
        2
    );
}

/// A key that belongs to a uid.
fn owned(story: &mut Story, uid: u32, credential: Credential) {
    story.fact(Fact::Located(monitor::model::LocatedFile {
        file: FILE,
        path: "/srv/svc/key".into(),
        uid,
        gid: uid,
        mode: 0o600,
        modified: super::story::BEGIN,
        credentials: vec![credential],
    }));
}

#[test]
fn a_person_who_reads_a_machines_credential_is_told_of() {
    let (mut story, shell) = at_a_terminal();
    owned(&mut story, SERVICE, key(KEY));
    let sudo = starts(&mut story, &shell, 20, "/usr/bin/sudo");
    let cat = hands_over(&mut story, &sudo, 21, 0, "/usr/bin/cat");
    story.access(&cat, FILE, Access::Open, None);
    story.access(&cat, FILE, Access::Read, None);
    let told = format!(
        "high CW-209: ana (login, terminal pts0) read the active SSH private key {KEY} at /srv/svc/key \
         with /usr/bin/cat (pid 21); it belongs to unix:user:svc-legacy"
    );
    tells(&story, &[&told]);

    // As the machine itself: that is another act, and both are said.
    let (mut story, shell) = at_a_terminal();
    owned(&mut story, SERVICE, key(KEY));
    let sudo = starts(&mut story, &shell, 20, "/usr/bin/sudo");
    let cat = hands_over(&mut story, &sudo, 21, SERVICE, "/usr/bin/cat");
    story.read(&cat);
    assert_eq!(story.told().len(), 2, "{:?}", story.told());
}

#[test]
fn reads_of_ones_own_and_of_nobodys_secrets_are_no_use_of_a_machine() {
    for (uid, credential) in [
        // A person's own, and root's, which is nobody's.
        (1000, key(KEY)),
        (0, key(KEY)),
        // No secret.
        (
            SERVICE,
            Credential {
                kind: CredentialKind::SshAuthorizedKey,
                ..key(KEY)
            },
        ),
        // A person's by its own word, wherever it lies.
        (
            SERVICE,
            Credential {
                subject: Some(Selector::unix_user("ana")),
                ..key(KEY)
            },
        ),
    ] {
        let (mut story, shell) = at_a_terminal();
        owned(&mut story, uid, credential);
        let sudo = starts(&mut story, &shell, 20, "/usr/bin/sudo");
        let cat = hands_over(&mut story, &sudo, 21, 0, "/usr/bin/cat");
        story.read(&cat);
        story.access(&shell, FILE, Access::Denied, None);
        // Lists of authorized keys are the business of another detection.
        let mut told = story.told();
        told.retain(|told| told.contains("CW-209"));
        assert_eq!(told, [""; 0]);
    }
    // The machine itself, and its program that a person has started.
    let (mut story, shell) = at_a_terminal();
    owned(&mut story, SERVICE, key(KEY));
    story.read(&as_uid(&with_program(process(60)), SERVICE));
    let sudo = starts(&mut story, &shell, 20, "/usr/bin/sudo");
    let nginx = starts(&mut story, &as_uid(&sudo, 0), 21, "/usr/sbin/nginx");
    story.read(&as_uid(&nginx, SERVICE));
    tells(&story, &[]);
}

const DEVICE: u64 = 77;
const ID: &str = "3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a";

/// A container whose first process is 500, and that runtime's process.
fn with_container() -> (Story, Task, Task, Task) {
    let (mut story, shell) = at_a_terminal();
    story.cgroup(5, &format!("/system.slice/docker-{ID}.scope"));
    story.cgroup(6, "/system.slice/containerd.service");
    story.fact(Fact::Container(Box::new(Container {
        id: ID.to_owned(),
        image: Some("registry.example/api:1.4".to_owned()),
        init: Some(500),
        device: Some(DEVICE),
        ..Container::default()
    })));
    let shim = Task {
        cgroup: 6,
        ..as_uid(&with_program(process(400)), 0)
    };
    story.runs(&shim, "/usr/bin/containerd-shim-runc-v2");
    let init = Task {
        cgroup: 5,
        tty: Some("pts0".to_owned()),
        ..child_of(&shim, 500)
    };
    story.exec(&in_root(&init), "/bin/api");
    (story, shell, shim, init)
}

fn in_root(task: &Task) -> Task {
    Task {
        exe: FileId {
            dev: DEVICE,
            ino: 7,
        },
        ..task.clone()
    }
}

#[test]
fn a_person_who_goes_into_a_container_is_told_of() {
    // nsenter: its cgroup stays outside, its program comes from within.
    let (mut story, shell, ..) = with_container();
    let sudo = starts(&mut story, &shell, 20, "/usr/bin/sudo");
    let nsenter = hands_over(&mut story, &sudo, 21, 0, "/usr/bin/nsenter");
    story.exec(&in_root(&child_of(&nsenter, 22)), "/bin/sh");
    tells(
        &story,
        &[
            "medium CW-209: ana (login, terminal pts0) acts as container:image:registry.example/api:1.4 \
           from outside the container and ran /bin/sh (pid 22)",
        ],
    );
    // As docker exec -it and kubectl exec -it: by the runtime, with a terminal.
    let (mut story, _, shim, _) = with_container();
    let entered = Task {
        cgroup: 5,
        tty: Some("pts1".to_owned()),
        ..child_of(&shim, 600)
    };
    story.exec(&in_root(&entered), "/bin/sh");
    story.exec(&in_root(&child_of(&entered, 601)), "/bin/ls");
    tells(
        &story,
        &[
            "medium CW-209: somebody at a terminal acts as container:image:registry.example/api:1.4 from \
           outside the container and ran /bin/sh (pid 600)",
        ],
    );
}

#[test]
fn a_containers_own_work_is_its_own() {
    let (mut story, shell, shim, init) = with_container();
    // What it starts itself has its terminal; a probe has none.
    story.exec(&in_root(&child_of(&init, 501)), "/bin/sh");
    let probe = Task {
        cgroup: 5,
        ..child_of(&shim, 600)
    };
    story.exec(&in_root(&probe), "/bin/probe");
    // Its accounts are its own, whatever their numbers are here: podman passes a login uid on.
    let podman = Task {
        login_uid: Some(1000),
        ..child_of(&init, 502)
    };
    story.exec(&in_root(&podman), "/usr/bin/gosu");
    story.exec(&as_uid(&in_root(&podman), SERVICE), "/bin/redis");
    // A person outside runs what lies outside.
    starts(&mut story, &shell, 20, "/usr/bin/ls");
    tells(&story, &[]);
}
