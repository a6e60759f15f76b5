use std::time::Duration;

use super::score::Scored;
use super::*;
use crate::model::{Selector, Timestamp};

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_unix_seconds(minutes * 60)
}

fn who(name: &str) -> Selector {
    Selector::unix_user(name)
}

fn label(kind: &str, name: &str, to: Option<&str>, minutes: (i64, i64)) -> Label {
    Label {
        kind: kind.to_owned(),
        identity: who(name),
        destination: to.map(|to| to.parse().unwrap()),
        begin: at(minutes.0),
        end: at(minutes.1),
        benign: kind == "deploy",
        note: None,
    }
}

fn told(minute: i64, name: &str, to: Option<&str>, is_new: bool) -> Told {
    let to: Option<std::net::SocketAddr> = to.map(|to| to.parse().unwrap());
    Told {
        time: at(minute),
        identity: Some(who(name)),
        destination: to.map(|to| (to.ip(), to.port())),
        id: None,
        is_new,
    }
}

fn scored() -> Scored {
    Scored {
        name: "host".to_owned(),
        begin: at(0),
        end: at(10_000),
        facts: 1,
        series: Vec::new(),
        rules: Vec::new(),
        sent: Sent::default(),
        untold: 0,
    }
}

const A: Option<&str> = Some("203.0.113.9:443");
const B: Option<&str> = Some("203.0.113.9:80");

/// Minutes after which each instance was found.
type Minutes = Vec<Option<u64>>;
/// Minutes of false alerts, with their changes.
type Wrong = Vec<(i64, Option<usize>)>;

fn judged(told: &[Told], labels: &[Label], from: i64) -> (Minutes, Wrong) {
    let span = Split::span(Some(Split::Time(at(from))), at(0), at(10_000));
    let judged = judge(told, labels, &scored(), span);
    let found = judged.instances.iter().map(|(_, found)| {
        let after = |found: Found| found.after.as_secs() / 60;
        found.map(after)
    });
    let wrong = judged.false_alerts.iter();
    let wrong = wrong.map(|(told, change)| (told.time.unix_seconds() / 60, *change));
    (found.collect(), wrong.collect())
}

#[test]
fn an_alert_finds_what_it_speaks_of_and_nothing_else() {
    let labels = [label("exfiltration", "web", A, (100, 200))];
    for (alert, is_found) in [
        (told(100, "web", A, true), true),
        (told(150, "web", None, true), true),
        // An hour after the end, and not later; not before the beginning.
        (told(260, "web", A, true), true),
        (told(261, "web", A, true), false),
        (told(99, "web", A, true), false),
        // Another identity, port, address.
        (told(150, "db", A, true), false),
        (told(150, "web", B, true), false),
        (told(150, "web", Some("203.0.113.8:443"), true), false),
    ] {
        let minute = alert.time.unix_seconds() / 60;
        let (found, wrong) = judged(std::slice::from_ref(&alert), &labels, 0);
        if is_found {
            let after = u64::try_from(minute - 100).unwrap();
            assert_eq!((found, wrong), (vec![Some(after)], vec![]), "{alert:?}");
        } else {
            assert_eq!(
                (found, wrong),
                (vec![None], vec![(minute, None)]),
                "{alert:?}"
            );
        }
    }
    // Where the instance is about no single other end, any will do.
    let labels = [label("harvest", "web", None, (100, 200))];
    let (found, wrong) = judged(&[told(150, "web", B, true)], &labels, 0);
    assert_eq!((found, wrong), (vec![Some(50)], vec![]));
}

#[test]
fn a_repeat_finds_and_is_never_false() {
    let labels = [label("beacon", "web", A, (100, 200))];
    let alerts = [
        told(50, "web", A, true),
        told(110, "web", A, false),
        told(120, "web", A, true),
        told(900, "web", A, false),
    ];
    let (found, wrong) = judged(&alerts, &labels, 0);
    assert_eq!((found, wrong), (vec![Some(10)], vec![(50, None)]));
}

#[test]
fn an_alert_about_an_ordinary_change_is_false_and_counted_by_it() {
    let labels = [
        label("deploy", "web", A, (100, 200)),
        label("exfiltration", "web", A, (150, 160)),
    ];
    let alerts = [
        told(120, "web", A, true),
        // It is about both: about the instance.
        told(155, "web", A, true),
        told(900, "web", A, true),
    ];
    let (found, wrong) = judged(&alerts, &labels, 0);
    assert_eq!(found, [Some(5)]);
    assert_eq!(wrong, [(120, Some(0)), (900, None)]);
}

#[test]
fn warm_up_is_not_judged() {
    let labels = [
        label("early", "web", A, (10, 20)),
        label("poisoned", "web", B, (30, 2_000)),
    ];
    let alerts = [
        told(5, "db", A, true),
        told(15, "web", A, true),
        told(40, "web", B, true),
        told(1_500, "db", A, true),
    ];
    // What goes on behind the split is judged as a whole.
    let (found, wrong) = judged(&alerts, &labels, 1_000);
    assert_eq!((found, wrong), (vec![Some(10)], vec![(1_500, None)]));
}

#[test]
fn an_alert_cannot_be_seen_before_the_fact_that_brought_it() {
    use crate::detection::Detector;
    use crate::model::{Fact, Record};
    let mut detector = Detector::new(crate::config::DetectionConfig::default());
    let lost = Record {
        time: at(5),
        fact: Fact::Lost {
            hook: "file_read".to_owned(),
            cpu: None,
            count: 3,
        },
    };
    let alert = detector.step(&lost).alerts.remove(0);
    let of = Told::of(&alert, at(7), true).unwrap();
    assert_eq!((of.time, of.is_new), (at(7), true));
    let later = at(5).after(Duration::from_secs(1));
    let again = Record {
        time: later,
        ..lost
    };
    let repeat = detector.step(&again).repeated.remove(0);
    assert_eq!(Told::of(&repeat, later, false).unwrap().time, later);
    let sum = detector.finish().remove(0);
    assert_eq!(Told::of(&sum, at(9), true), None);
    assert!(!is_scored(alert.id));
}
