//! What the daemon notices about itself, from a recording.

use monitor::model::{
    Alert, DetectionId, Fact, Gap, Origin, Relied, Sender, Severity, Task, Timestamp,
};

use super::story::{BEGIN, Story, child_of, process};

const SECOND: i64 = 1_000_000_000;

fn stopping(from: Origin) -> Fact {
    Fact::Stopping {
        signal: "SIGTERM".to_owned(),
        from,
    }
}

fn sender(pid: u32, uid: u32, program: Option<&str>) -> Sender {
    Sender {
        pid,
        uid,
        program: program.map(str::to_owned),
    }
}

/// The one alert about a fact, in a story that knows two processes with pid 42.
fn about(fact: Fact) -> Alert {
    let mut story = Story::new();
    let shell = Task {
        login_uid: Some(1000),
        tty: Some("pts0".to_owned()),
        uid: 0,
        euid: 0,
        ..process(41)
    };
    let before = Task {
        start: Timestamp(BEGIN.0 - 500 * SECOND),
        ..process(42)
    };
    story.exec(&before, "/usr/bin/another");
    story.exit(&before);
    story.exec(&shell, "/usr/bin/bash");
    let kill = child_of(&shell, 42);
    story.fork(&kill);
    story.exec(&kill, "/usr/bin/kill");
    story.exit(&kill);
    story.wait(30);
    story.fact(fact);
    story.alert()
}

#[track_caller]
fn says(fact: Fact, severity: Severity, summary: &str) {
    let alert = about(fact);
    assert_eq!((alert.severity, &*alert.summary), (severity, summary));
}

fn stop_by(by: &str) -> String {
    format!(
        "Credwatch was told to stop (SIGTERM) {by}: nothing is watched until it is started again"
    )
}

#[test]
fn a_stop_by_somebody_names_the_process_though_it_is_gone() {
    let from = Origin::Process(sender(42, 0, Some("/proc's word")));
    insta::assert_snapshot!(
        "stopped",
        serde_json::to_string_pretty(&about(stopping(from))).unwrap()
    );
}

#[test]
fn a_stop_by_init_or_the_terminal_is_ordinary_and_none_else() {
    let init = Origin::Process(sender(1, 0, Some("/usr/lib/systemd/systemd")));
    let low = Severity::Low;
    says(stopping(init), low, &stop_by("by the init system (pid 1)"));
    let terminal = stop_by("by the kernel, as Ctrl-C at its terminal does");
    says(stopping(Origin::Kernel), low, &terminal);
    let high = Severity::High;
    let forged =
        stop_by("by a process that gives itself out as pid 1 of uid 0, which may be false");
    says(stopping(Origin::Claimed(sender(1, 0, None))), high, &forged);
    let unknown = stop_by("by an unknown sender");
    says(stopping(Origin::Unknown), high, &unknown);
    // Some container's own init is not the host's: the kernel maps its uid.
    let other = stop_by("by unix:user:deploy by /sbin/init (pid 1)");
    let not_root = Origin::Process(sender(1, 1000, Some("/sbin/init")));
    says(stopping(not_root), high, &other);
}

#[test]
fn a_sender_that_no_hook_has_told_of_is_named_by_proc() {
    let high = Severity::High;
    let told = Origin::Process(sender(77, 0, Some("/usr/bin/kill")));
    let by = stop_by("by unix:user:root by /usr/bin/kill (pid 77)");
    says(stopping(told), high, &by);
    let gone = Origin::Process(sender(77, 4711, None));
    says(stopping(gone), high, &stop_by("by unix:uid:4711 (pid 77)"));
    let outside = Origin::Process(sender(0, 0, None));
    let by = stop_by("by unix:user:root, from outside of its pid namespace");
    says(stopping(outside), high, &by);
}

#[test]
fn a_run_that_did_not_say_that_it_ends() {
    let gap = |rebooted| Fact::Gap {
        gap: Gap::Unsaid {
            pid: 812,
            started: Timestamp(BEGIN.0 - 7_200 * SECOND),
            last_seen: Timestamp(BEGIN.0 - 3_600 * SECOND),
            unwatched: 3_605_500_000_000,
            rebooted,
        },
    };
    let says_of = |how: &str| {
        format!(
            "The former run of Credwatch (pid 812) ended {how}: it was last known to run at \
             2026-05-01T13:03:20.000000Z, and nothing was watched for 1 h 0 min"
        )
    };
    let killed = says_of("without saying so, as kill -9 does");
    says(gap(false), Severity::High, &killed);
    let crashed = says_of("when the host went down without a shutdown");
    says(gap(true), Severity::Medium, &crashed);
}

#[test]
fn a_daemon_that_was_held_and_a_clock_that_was_set() {
    let held = Fact::Gap {
        gap: Gap::Held {
            lasted: 34_700_000_000,
        },
    };
    says(
        held,
        Severity::High,
        "Credwatch was held for 34 s: it was stopped (SIGSTOP), frozen or starved, and events of \
         that time may be lost or late",
    );
    let set = |from: i64, to: i64| Fact::Gap {
        gap: Gap::ClockSet {
            from: Timestamp(BEGIN.0 + from * SECOND),
            to: Timestamp(BEGIN.0 + to * SECOND),
        },
    };
    says(
        set(0, -3_600),
        Severity::Medium,
        "The clock was set back by 1 h 0 min, from 2026-05-01T14:03:20.000000Z to \
         2026-05-01T13:03:20.000000Z: times before and after do not compare",
    );
    says(
        set(0, 5),
        Severity::Medium,
        "The clock was set ahead by 5 s, from 2026-05-01T14:03:20.000000Z to \
         2026-05-01T14:03:25.000000Z: times before and after do not compare",
    );
}

fn changed(what: Relied, path: &str) -> Fact {
    Fact::Tampered {
        what,
        path: path.into(),
        detail: "was replaced".to_owned(),
    }
}

#[test]
fn what_it_relies_on_is_changed() {
    for (what, name, severity) in [
        (Relied::Database, "The database", Severity::High),
        (
            Relied::FingerprintKey,
            "The fingerprint key",
            Severity::High,
        ),
        (
            Relied::StateDirectory,
            "The state directory",
            Severity::High,
        ),
        (Relied::Registry, "The registry", Severity::Medium),
        (Relied::Configuration, "The configuration", Severity::Medium),
        (Relied::Program, "The program", Severity::Medium),
    ] {
        let summary = format!("{name} /some/path was replaced");
        says(changed(what, "/some/path"), severity, &summary);
    }
}

#[test]
fn one_cause_is_one_alert() {
    let mut story = Story::new();
    for path in ["/a", "/b", "/a", "/a"] {
        story.fact(changed(Relied::Registry, path));
        story.wait(1_000);
    }
    story.fact(changed(Relied::Database, "/a"));
    for lasted in [4, 5] {
        let lasted = lasted * SECOND.unsigned_abs();
        story.fact(Fact::Gap {
            gap: Gap::Held { lasted },
        });
    }
    story.wait(60_000);
    story.tick();
    let said: Vec<_> = story
        .alerts()
        .into_iter()
        .map(|alert| (alert.id, alert.repeats))
        .collect();
    let (changed, gap) = (DetectionId::Tampered, DetectionId::NotWatched);
    let expected = [
        (changed, 0),
        (changed, 0),
        (changed, 0),
        (gap, 0),
        // The sums of /a and of the two times.
        (changed, 2),
        (gap, 1),
    ];
    assert_eq!(said, expected);
}
