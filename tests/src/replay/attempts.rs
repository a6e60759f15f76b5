//! What was refused, what was changed, what was counted, how addresses are called, and what the
//! sensor says of itself.

use monitor::model::{Access, AlertStatus, CredentialState, DetectionId, Evidence, Fact, Target};

use super::story::{FILE, KEY, PATH, Story, by_fingerprint, process};

const WHO: &str = "unix:user:deploy by /usr/bin/cat (pid 42)";

fn retired() -> String {
    format!(
        "the retired SSH private key {KEY} at {PATH}, retired on 2026-04-21 (10 days ago) by root: \
         \"moved to OIDC\""
    )
}

#[test]
fn each_act_is_told_as_what_it_was() {
    for (access, told) in [
        (
            Access::Open,
            format!("critical CW-101: {WHO} opened {}", retired()),
        ),
        (
            Access::Read,
            format!("critical CW-101: {WHO} read {}", retired()),
        ),
        (
            Access::Map,
            format!("critical CW-101: {WHO} mapped {}", retired()),
        ),
        (
            Access::Write,
            format!("critical CW-101: {WHO} changed {}", retired()),
        ),
        (
            Access::Denied,
            format!(
                "medium CW-101: {WHO} tried to open {}; it was refused",
                retired()
            ),
        ),
    ] {
        let mut story = Story::with_retired_key();
        story.access(&process(42), FILE, access, None);
        assert_eq!(story.told(), [told]);
    }
}

#[test]
fn an_open_that_was_refused_is_no_use() {
    let mut story = Story::with_retired_key();
    for access in [Access::Denied, Access::Write] {
        story.access(&process(42), FILE, access, None);
        story.connect(&process(42), "192.0.2.7:22");
    }
    assert_eq!(story.usage(), [""; 0]);
    let alerts = story.alerts();
    let titles: Vec<_> = alerts.iter().map(|alert| alert.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "An open of a retired credential was refused",
            "A retired credential was changed"
        ]
    );
    for alert in &alerts {
        assert_eq!(alert.evidence, None);
        assert_eq!(alert.credential.as_ref().unwrap().last_used, None);
    }
    // A read that follows is a use and a cause of its own.
    story.wait(10);
    story.read(&process(42));
    let last = story.alerts().pop().unwrap();
    assert_eq!(last.evidence, Some(Evidence::Read));
    assert_eq!(story.usage().len(), 1);
}

#[test]
fn a_decoy_that_was_refused_is_as_grave() {
    let mut story = Story::with_key();
    story.said(by_fingerprint(KEY), CredentialState::Decoy);
    story.exec(&process(42), "/usr/bin/cat");
    story.access(&process(42), FILE, Access::Denied, None);
    assert!(story.told()[0].starts_with("critical CW-107"));
    assert_eq!(
        story.alert().title,
        "An open of a decoy credential was refused"
    );
}

#[test]
fn a_loop_that_is_refused_is_one_cause_and_counted() {
    let mut story = Story::with_retired_key();
    let mut told = |count| {
        story.fact(Fact::FileAccess {
            task: process(42),
            file: FILE,
            access: Access::Denied,
            path: None,
            count,
        });
    };
    told(1);
    told(999_998);
    told(0);
    told(1);
    let alerts = story.alerts();
    assert_eq!(alerts.len(), 2);
    assert_eq!(
        (alerts[1].status, alerts[1].repeats),
        (AlertStatus::Ended, 999_999)
    );
}

#[test]
fn what_the_kernel_has_counted_is_counted() {
    let mut story = Story::with_retired_key();
    let mut told = |count| {
        story.fact(Fact::FileAccess {
            task: process(42),
            file: FILE,
            access: Access::Open,
            path: None,
            count,
        });
    };
    told(1);
    // Its read: the same use.
    told(1);
    told(40_000);
    assert_eq!(
        story.usage(),
        ["KEY unix:user:deploy /usr/bin/cat - +0ms..+0ms x40001"]
    );
    let sum = story.alerts().pop().unwrap();
    assert_eq!((sum.status, sum.repeats), (AlertStatus::Ended, 40_000));
}

#[test]
fn addresses_are_told_with_their_latest_name() {
    let mut story = Story::with_retired_key();
    story.name("192.0.2.7", "old.example");
    story.name("192.0.2.7", "API.example.");
    story.name("192.0.2.7", "evil\u{1b}[2J.example");
    story.name("192.0.2.7", &"a".repeat(300));
    story.read(&process(42));
    story.connect(&process(42), "192.0.2.7:443");
    story.connect(&process(42), "192.0.2.8:443");
    let alerts = story.alerts();
    let names: Vec<_> = alerts[1..]
        .iter()
        .map(|alert| alert.destination.as_ref().unwrap().name.as_deref())
        .collect();
    assert_eq!(names, [Some("api.example"), None]);
    assert!(
        alerts[1]
            .summary
            .ends_with("then connected to api.example (192.0.2.7:443)")
    );
    assert!(
        alerts[2]
            .summary
            .ends_with("then connected to 192.0.2.8:443")
    );
}

#[test]
fn a_name_makes_no_cause() {
    let mut story = Story::with_retired_key();
    story.read(&process(42));
    for name in ["a.example", "b.example"] {
        story.name("192.0.2.7", name);
        story.connect(&process(42), "192.0.2.7:443");
    }
    let alerts = story.alerts();
    let used = |alert: &&_| -> bool {
        let alert: &monitor::model::Alert = alert;
        alert.id == DetectionId::RetiredCredentialUsed && alert.status == AlertStatus::Open
    };
    assert_eq!(alerts.iter().filter(used).count(), 1);
    // The rows of the usage map are by address.
    assert_eq!(story.usage().len(), 2);
}

#[test]
fn a_process_that_floods_is_named_with_the_exact_number() {
    let mut story = Story::with_retired_key();
    let mut capped = |hook: &str, count| {
        story.fact(Fact::Capped {
            hook: hook.to_owned(),
            task: process(42),
            count,
        });
    };
    capped("connect4", 5_321);
    capped("connect4", 0);
    capped("connect4", 679);
    capped("file_read", 1);
    let by = "by /usr/bin/cat (pid 42)";
    let much = "counted and not looked at: it makes more of them a second than are taken in";
    assert_eq!(
        story.told(),
        [
            format!("high CW-902: 5321 events of connect4 {by} were {much}"),
            format!("high CW-902: 1 event of file_read {by} was {much}"),
            format!("high CW-902 ended x5999: 6000 events of connect4 {by} were {much}"),
        ]
    );
    let alert = &story.alerts()[0];
    assert_eq!(alert.process.as_ref().unwrap().pid, 42);
}

#[test]
fn a_hook_that_works_again_ends_its_failure_and_no_other() {
    let failed = |hook: &str| Fact::HookFailed {
        hook: hook.to_owned(),
        backend: "tp_btf".to_owned(),
        reason: "it did not fire".to_owned(),
    };
    let works = |hook: &str| Fact::HookWorks {
        hook: hook.to_owned(),
        backend: "kprobe".to_owned(),
    };
    let mut story = Story::new();
    story.fact(failed("file_read"));
    story.fact(failed("connect4"));
    story.lost("file_read", None, 2);
    story.wait(1_000);
    story.fact(failed("file_read"));
    story.wait(1_000);
    story.fact(works("file_read"));
    story.wait(1_000);
    story.fact(failed("file_read"));
    story.fact(failed("connect4"));
    let told: Vec<_> = story
        .alerts()
        .iter()
        .map(|alert| {
            let hook = alert.summary.split(' ').nth(2).unwrap();
            format!("{} {} {:?}", alert.id, hook, alert.status)
        })
        .collect();
    assert_eq!(
        told,
        [
            "CW-901 file_read Open",
            "CW-901 connect4 Open",
            "CW-902 of Open",
            "CW-901 file_read Ended",
            "CW-901 file_read Open",
            "CW-902 of Ended",
            "CW-901 connect4 Ended",
        ]
    );
}

#[test]
fn recordings_from_before_these_facts_had_owners_are_read() {
    let task = serde_json::to_string(&process(42)).unwrap();
    let old = [
        format!(r#"{{"time":1,"fact":"unix-connect","task":{task},"path":"/run/docker.sock"}}"#),
        format!(r#"{{"time":1,"fact":"key-read","task":{task},"serial":7}}"#),
        format!(
            r#"{{"time":1,"fact":"file-access","task":{task},"file":{{"dev":1,"ino":2}},"access":"open"}}"#
        ),
    ];
    for line in old {
        let record: monitor::model::Record = serde_json::from_str(&line).unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), line);
    }
}

#[test]
fn a_declared_path_that_is_refused_is_told_by_that_path() {
    let mut story = Story::with_key();
    story.retire(Target::Path(PATH.into()));
    story.exec(&process(42), "/usr/bin/cat");
    story.access(&process(42), FILE, Access::Denied, Some(PATH));
    assert_eq!(
        story.alert().credential.unwrap().path.as_deref(),
        Some(PATH)
    );
}
