//! Who acts, from what the host said of itself. Absent things are null and never invented.

use monitor::model::{AlertProcess, Fact, Task};
use serde_json::{Value, json};

use super::story::{Story, child_of, process};

/// The actor of a retired key's read in these cgroups: identity, and the alert's process.
fn actor(v2: Option<&str>, v1: Option<&str>) -> (String, AlertProcess) {
    let mut story = Story::with_retired_key();
    let task = Task {
        cgroup: 7,
        cgroup_v1: 7 | Task::V1_HIERARCHY,
        ..process(50)
    };
    if let Some(path) = v2 {
        story.cgroup(7, path);
    }
    if let Some(path) = v1 {
        story.cgroup(7 | Task::V1_HIERARCHY, path);
    }
    story.exec(&task, "/usr/bin/cat");
    story.read(&task);
    let alert = story.alert();
    (alert.identity.unwrap().to_string(), alert.process.unwrap())
}

#[track_caller]
fn check(
    v2: Option<&str>,
    v1: Option<&str>,
    identity: &str,
    unit: Option<&str>,
    container: Option<&str>,
) {
    let (found, process) = actor(v2, v1);
    assert_eq!(found, identity);
    assert_eq!(process.unit.as_deref(), unit);
    assert_eq!(process.container.as_deref(), container);
}

#[test]
fn units_and_containers_come_from_either_hierarchy() {
    let id = "3f4a".repeat(16);
    let id = id.as_str();
    let contained = format!("container:id:{id}");
    let user = "unix:user:deploy";
    check(None, None, user, None, None);
    check(Some("/"), Some("/"), user, None, None);
    check(
        Some("/system.slice/backup.service"),
        None,
        "systemd:unit:backup.service",
        Some("backup.service"),
        None,
    );
    // Only the v1 hierarchy has one, as on hosts that mount both.
    check(
        Some("/"),
        Some("/system.slice/backup.service"),
        "systemd:unit:backup.service",
        Some("backup.service"),
        None,
    );
    let scope = format!("docker-{id}.scope");
    check(
        Some(&format!("/system.slice/{scope}")),
        None,
        &contained,
        Some(&scope),
        Some(id),
    );
    check(
        None,
        Some(&format!("/docker/{id}")),
        &contained,
        None,
        Some(id),
    );
    // Each gives what the other has not; where both have it, v2 goes first.
    check(
        Some("/system.slice/runner.service"),
        Some(&format!("/docker/{id}")),
        &contained,
        Some("runner.service"),
        Some(id),
    );
    check(
        Some("/system.slice/a.service"),
        Some("/system.slice/b.service"),
        "systemd:unit:a.service",
        Some("a.service"),
        None,
    );
    check(
        Some(&format!("/kubepods/burstable/pod9/{id}")),
        None,
        &contained,
        None,
        Some(id),
    );
    check(
        Some("/user.slice/user-1000.slice/session-4.scope"),
        None,
        user,
        Some("session-4.scope"),
        None,
    );
}

#[test]
fn a_uid_without_a_name_is_its_number() {
    let mut story = Story::with_retired_key();
    let nameless = Task {
        uid: 4321,
        euid: 4321,
        ..process(50)
    };
    story.read(&nameless);
    let alert = story.alert();
    assert_eq!(alert.identity.unwrap().as_str(), "unix:uid:4321");
    assert_eq!(alert.process.unwrap().user, None);
    // A name that was taken away is not remembered.
    let mut story = Story::with_retired_key();
    story.user(1000, None);
    story.read(&process(42));
    assert_eq!(story.alert().identity.unwrap().as_str(), "unix:uid:1000");
}

#[test]
fn absent_things_are_null() {
    let mut story = Story::with_retired_key();
    story.user(1000, None);
    story.read(&process(50));
    let alert: Value = serde_json::to_value(story.alert()).unwrap();
    let process = &alert["process"];
    for absent in ["user", "exe", "unit", "container", "login_user", "terminal"] {
        assert!(
            process.as_object().unwrap().contains_key(absent),
            "{absent}"
        );
        assert_eq!(process[absent], Value::Null, "{absent}");
    }
    assert_eq!(process["ancestors"], json!([]));
    assert_eq!(alert["destination"], Value::Null);
    assert_eq!(alert["credential"]["last_used"], Value::Null);
}

#[test]
fn ancestors_are_the_nearest_eight_and_outlive_their_end() {
    let mut story = Story::with_retired_key();
    let mut task = process(100);
    story.fact(Fact::Running {
        task: task.clone(),
        path: Some("/sbin/init".to_owned()),
        permitted: None,
    });
    for pid in 101..=110 {
        let child = child_of(&task, pid);
        story.fork(&child);
        story.exec(&child, &format!("/bin/{pid}"));
        story.exit(&task);
        task = child;
    }
    story.read(&task);
    let ancestors = story.alert().process.unwrap().ancestors;
    let named: Vec<_> = ancestors
        .iter()
        .map(|parent| format!("{} {}", parent.pid, parent.exe.as_deref().unwrap_or("-")))
        .collect();
    let expected: Vec<_> = (102..110)
        .rev()
        .map(|pid| format!("{pid} /bin/{pid}"))
        .collect();
    assert_eq!(named, expected);
}

#[test]
fn a_fork_that_arrives_behind_its_child_s_exec_takes_nothing_back() {
    let mut story = Story::with_retired_key();
    let child = child_of(&process(42), 43);
    story.exec(&child, "/usr/bin/tac");
    story.fork(&child);
    story.read(&child);
    let process = story.alert().process.unwrap();
    assert_eq!(process.exe.as_deref(), Some("/usr/bin/tac"));
    assert_eq!(process.ancestors[0].exe.as_deref(), Some("/usr/bin/cat"));
}
