//! Who has more than it uses: told once a month, as one alert, and by no day sooner.

use monitor::detection::exception_of;
use monitor::model::{CapabilitySet, Fact, Task};

use super::story::{Story, process, with_program};

const DAY: i64 = 86_400_000;
const CHOWN: u64 = 1;
const KILL: u64 = 1 << 5;

/// A program of a service, by the number of its cgroup.
fn program(number: u32) -> Task {
    Task {
        cgroup: u64::from(number),
        ..with_program(process(40 + number))
    }
}

/// A host that is watched, with services of these capabilities, which use CAP_CHOWN.
fn services(given: &[u64]) -> Story {
    let mut story = Story::new();
    story.fact(Fact::Watching {
        since: None,
        rebooted: false,
    });
    for (number, given) in (1..).zip(given) {
        let task = program(number);
        story.cgroup(task.cgroup, &format!("/system.slice/api{number}.service"));
        story.fact(Fact::Exec {
            task: task.clone(),
            path: format!("/usr/bin/api{number}"),
            permitted: Some(CapabilitySet(*given)),
        });
        story.fact(Fact::CapabilityUse {
            task,
            capability: 0,
            exact: true,
        });
    }
    story
}

fn days(story: &mut Story, days: usize) {
    for _ in 0..days {
        story.wait(DAY);
        story.tick();
    }
}

fn told(story: &Story) -> Vec<String> {
    let told = story.told().into_iter();
    told.filter(|line| line.contains("CW-214")).collect()
}

#[test]
fn one_alert_names_all_after_a_month_and_again_after_another() {
    let mut story = services(&[CHOWN | KILL, CHOWN, CHOWN | KILL]);
    days(&mut story, 29);
    assert_eq!(told(&story), [""; 0]);
    days(&mut story, 2);
    let expected = "low CW-214: 2 identities have rights that they have not used in the 30 d 0 h and more for \
                    which that was watched: systemd:unit:api1.service (CAP_KILL); \
                    systemd:unit:api3.service (CAP_KILL)";
    assert_eq!(told(&story), [expected]);
    days(&mut story, 28);
    assert_eq!(told(&story).len(), 1);
    days(&mut story, 3);
    assert_eq!(told(&story).len(), 2);
}

#[test]
fn what_is_used_at_last_or_allowed_or_was_there_before_is_not_told() {
    let mut used = services(&[CHOWN | KILL]);
    days(&mut used, 20);
    used.fact(Fact::CapabilityUse {
        task: program(1),
        capability: 5,
        exact: true,
    });
    days(&mut used, 40);
    assert_eq!(told(&used), [""; 0]);

    let mut story = services(&[CHOWN | KILL]);
    days(&mut story, 31);
    let alerts = story.alerts();
    let alert = alerts.iter().find(|of| of.id.as_str() == "CW-214").unwrap();
    let exception = exception_of(
        alert,
        "needs it for a restore".to_owned(),
        "ana".to_owned(),
        alert.time,
        None,
    );
    let mut allowed = services(&[CHOWN | KILL]);
    allowed.fact(Fact::Allowed(exception));
    days(&mut allowed, 40);
    assert_eq!(told(&allowed), [""; 0]);

    let mut before = Story::new();
    before.fact(Fact::Watching {
        since: None,
        rebooted: false,
    });
    before.cgroup(1, "/system.slice/api1.service");
    before.fact(Fact::Running {
        task: program(1),
        path: Some("/usr/bin/api1".to_owned()),
        permitted: Some(CapabilitySet(KILL)),
    });
    days(&mut before, 40);
    assert_eq!(told(&before), [""; 0]);
}
