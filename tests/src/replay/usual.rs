//! CW-301 to CW-307, fact by fact: whose acts they look at.

use monitor::model::Task;

use super::story::{Story, child_of, process, with_program};

const SERVICE: u32 = 998;
/// Telnet, over the Internet: hardly anything that is new is less likely.
const STRANGE: &str = "198.51.100.9:23";

/// A process of a service's account in a cgroup, started by a program.
fn started_by(story: &mut Story, parent: &str, cgroup: &str) -> Task {
    story.cgroup(7, cgroup);
    let parent_task = with_program(Task {
        uid: 0,
        euid: 0,
        gid: 0,
        cgroup: 7,
        ..process(10)
    });
    story.runs(&parent_task, parent);
    let child = Task {
        uid: SERVICE,
        euid: SERVICE,
        gid: SERVICE,
        ..with_program(child_of(&parent_task, 20))
    };
    story.fork(&Task {
        exe: parent_task.exe,
        ..child.clone()
    });
    child
}

/// Whether it is told that it calls what it never called.
fn is_looked_at(parent: &str, cgroup: &str, shown: impl FnOnce(Task) -> Task) -> bool {
    let mut story = Story::new();
    let task = shown(started_by(&mut story, parent, cgroup));
    story.runs(&task, "/usr/bin/curl");
    story.connect(&task, STRANGE);
    let told = story.told();
    told.iter().any(|line| line.starts_with("low CW-301"))
}

#[test]
fn a_login_or_a_terminal_alone_makes_no_person() {
    let nothing = |task| task;
    let login = |task| Task {
        login_uid: Some(SERVICE),
        ..task
    };
    let terminal = |task| Task {
        tty: Some("pts3".to_owned()),
        ..task
    };
    let session = "/user.slice/user-998.slice/session-4.scope";
    let service = "/system.slice/web.service";
    assert!(is_looked_at("/usr/sbin/web", service, nothing));
    // Debian's cron logs in for its jobs, and Red Hat's puts them into sessions.
    assert!(is_looked_at(
        "/usr/sbin/cron",
        "/system.slice/cron.service",
        login
    ));
    assert!(is_looked_at("/usr/sbin/cron", "/", login));
    assert!(is_looked_at("/usr/sbin/crond", session, login));
    // Who has broken into a service makes a terminal, and writes to /proc/self/loginuid.
    assert!(is_looked_at("/usr/sbin/web", service, terminal));
    assert!(is_looked_at("/usr/sbin/web", service, login));

    assert!(!is_looked_at(
        "/usr/sbin/sshd",
        "/system.slice/ssh.service",
        login
    ));
    assert!(!is_looked_at("/usr/sbin/sshd", session, login));
    assert!(!is_looked_at("/usr/sbin/sshd", session, terminal));
}
