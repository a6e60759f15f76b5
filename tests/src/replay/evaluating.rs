//! `credwatch evaluate`: labels, the judge, and what other detectors are given and give back.

use std::fs;
use std::path::{Path, PathBuf};

use monitor::model::Fact;
use serde_json::Value;

use super::story::{Story, process};
use crate::cli::{credwatch, outcome};

fn capture(name: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/iot23");
    fixtures.join(name).to_str().unwrap().to_owned()
}

const CAPTURE_42: &str = "capture-42-1.conn.log.labeled";
const CAPTURE_44: &str = "capture-44-1.conn.log.labeled.csv";

/// The figures of a detector, of the first budget where it has several.
fn figures<'a>(report: &'a Value, detector: &str) -> &'a Value {
    let detectors = report["detectors"].as_array().unwrap();
    let found = detectors.iter().find(|of| of["detector"] == detector);
    found.unwrap_or_else(|| panic!("{report:#}"))
}

fn evaluate(args: &[&str]) -> Value {
    let args = [&["evaluate", "--output", "json"], args].concat();
    serde_json::from_str(&outcome(&args, 0).0).unwrap()
}

#[test]
fn the_same_captures_give_the_same_bytes() {
    let files = [capture(CAPTURE_42), capture(CAPTURE_44)];
    // Each is a process of its own, so that whatever it draws by chance differs.
    let twice = |args: &[&str]| [outcome(args, 0).0, outcome(args, 0).0];
    let [first, second] = twice(&["evaluate", "--output", "json", &files[0], &files[1]]);
    assert!(first.contains("false_alerts"));
    assert_eq!(first, second);
    for file in &files {
        let [first, second] = twice(&["replay", "--output", "json", file]);
        assert!(first.contains("alert_id"));
        assert_eq!(first, second);
    }
}

#[test]
fn the_first_seen_rule_finds_what_the_captures_label() {
    let files = [capture(CAPTURE_42), capture(CAPTURE_44)];
    let report = evaluate(&[&files[0], &files[1], "--budgets", "1,5"]);
    // Counted apart, by a few lines of Python over the same cuts.
    let instances: Vec<_> = report["hosts"].as_array().unwrap().iter().collect();
    assert_eq!(
        (&instances[0]["instances"], &instances[1]["instances"]),
        (&2.into(), &1.into())
    );
    let of = figures(&report, "first-seen");
    assert_eq!(
        (&of["instances"]["found"], &of["instances"]["all"]),
        (&3.into(), &3.into())
    );
    assert_eq!(of["hosts"]["found"], 2);
    let low = of["instances"]["interval"]["low"].as_f64().unwrap();
    assert!((low - 0.292_4).abs() < 1e-4, "{low}");
    assert_eq!(of["seconds_to_detect"]["p90"], 0.0);
    let kinds: Vec<_> = of["kinds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| &of["kind"])
        .collect();
    assert_eq!(kinds, ["C&C-FileDownload", "FileDownload"]);
    // Its other alerts are about ordinary destinations, which are these.
    let wrong = of["false_alerts"]["alerts"].as_u64().unwrap();
    assert_eq!(wrong, of["false_list"].as_array().unwrap().len() as u64);
    assert!(wrong > 0 && of["false_alerts"]["per_host_day"].as_f64().unwrap() > 1.0);
    let budgets: Vec<_> = report["detectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| &of["budget"])
        .collect();
    assert_eq!(
        budgets,
        [&Value::from(1.0), &Value::from(5.0), &Value::Null]
    );
    let args = [
        "evaluate",
        &files[0],
        &files[1],
        "--output",
        "json",
        "--budgets",
        "1,5",
    ];
    assert_eq!(outcome(&args, 0).0, outcome(&args, 0).0);
    let (table, said) = outcome(&["evaluate", &files[0]], 0);
    assert!(
        table.contains("first-seen") && table.contains("2/2"),
        "{table}"
    );
    assert!(said.contains("capture-42-1: 64 facts"), "{said}");
}

/// A recording of a day: deploy connects to one place each hour, and once to another.
fn recording(directory: &Path) -> PathBuf {
    let mut story = Story::new();
    let task = process(42);
    story.exec(&task, "/usr/bin/curl");
    for hour in 0..24 {
        let to = if hour == 15 {
            "203.0.113.9:443"
        } else {
            "198.51.100.7:443"
        };
        story.connect(&task, to);
        story.wait(60_000);
        story.fact(Fact::SocketClose {
            task: task.clone(),
            socket: 9,
            destination: to.parse().unwrap(),
            sent: 5_000,
            received: 100,
        });
        story.wait(59 * 60_000);
    }
    story.tick();
    let file = directory.join("host.rec");
    fs::write(&file, story.bytes()).unwrap();
    file
}

/// The story begins at 2026-05-01T14:03:20Z; fifteen hours later is the connection to find.
const LABELS: &str = concat!(
    r#"{"kind":"exfiltration","identity":"unix:user:deploy","destination":"203.0.113.9:443","begin":"2026-05-02T05:00:00Z","end":"2026-05-02T05:10:00Z","benign":false}"#,
    "\n",
    r#"{"kind":"beacon","identity":"unix:user:svc-legacy","destination":"203.0.113.9:80","begin":"2026-05-02T05:00:00Z","end":"2026-05-02T05:10:00Z","benign":false}"#,
    "\n",
    r#"{"kind":"deploy","identity":"unix:user:deploy","destination":"198.51.100.7:443","begin":"2026-05-01T14:00:00Z","end":"2026-05-01T14:10:00Z","benign":true}"#,
    "\n"
);

#[test]
fn a_recording_is_judged_by_the_labels_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = recording(directory.path());
    let file = file.to_str().unwrap();
    let (_, said) = outcome(&["evaluate", file], 1);
    assert!(
        said.contains("host.labels.jsonl: cannot read the labels"),
        "{said}"
    );
    fs::write(directory.path().join("host.labels.jsonl"), LABELS).unwrap();
    let report = evaluate(&[file]);
    let of = figures(&report, "first-seen");
    assert_eq!(
        (&of["instances"]["found"], &of["instances"]["all"]),
        (&1.into(), &2.into())
    );
    // 15 h after the beginning is 3 min 20 s after the label's.
    assert_eq!(of["seconds_to_detect"]["median"], 200.0);
    assert_eq!(of["bytes_before_alert"]["median"], 0.0);
    assert_eq!(of["missed"][0]["kind"], "beacon");
    assert_eq!(of["false_alerts"]["alerts"], 1);
    let changes = &of["false_alerts"]["by_change"];
    assert_eq!(
        (&changes[0]["change"], &changes[0]["alerts"]),
        (&"deploy".into(), &1.into())
    );
    assert!((report["host_days"].as_f64().unwrap() - 1.0).abs() < 1e-6);
    // Half of the time is warm-up: the alert of the first hour is in it.
    let report = evaluate(&[file, "--split", "0.5"]);
    let of = figures(&report, "first-seen");
    assert_eq!(
        (&of["instances"]["found"], &of["false_alerts"]["alerts"]),
        (&1.into(), &0.into())
    );
    assert!((report["host_days"].as_f64().unwrap() - 0.5).abs() < 1e-6);
    fs::write(directory.path().join("other.jsonl"), &LABELS[..20]).unwrap();
    let other = directory.path().join("other.jsonl");
    let (_, said) = outcome(&["evaluate", file, "--labels", other.to_str().unwrap()], 1);
    assert!(said.contains("other.jsonl: line 1 is no label"), "{said}");
}

#[test]
fn others_are_given_events_and_judged_alike() {
    let directory = tempfile::tempdir().unwrap();
    let file = recording(directory.path());
    fs::write(directory.path().join("host.labels.jsonl"), LABELS).unwrap();
    let file = file.to_str().unwrap();
    let events = directory.path().join("events.jsonl");
    let events = events.to_str().unwrap();
    outcome(&["evaluate", file, "--split", "0.5", "--export", events], 0);
    let given = fs::read_to_string(events).unwrap();
    assert!(!given.contains("exfiltration"));
    let mut lines: Vec<Value> = given
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let host = lines.pop().unwrap();
    assert_eq!((lines.len(), &host["events"]), (48, &48.into()));
    assert_eq!(lines[1]["sent"], 5_000);
    assert_eq!(lines[0]["identity"], "unix:user:deploy");
    let day = host["end"].as_i64().unwrap() - host["begin"].as_i64().unwrap();
    assert_eq!(
        host["judged_from"].as_i64().unwrap() - host["begin"].as_i64().unwrap(),
        day / 2
    );
    // The first-seen rule in a few lines, as another program would have it.
    let mut seen = std::collections::BTreeSet::new();
    let mut alerts = String::new();
    for of in &lines {
        if seen.insert(of["address"].as_str().unwrap()) {
            let to = format!("{}:{}", of["address"].as_str().unwrap(), of["port"]);
            alerts += &format!(
                r#"{{"detector":"other","host":"host","time":{},"identity":{},"destination":"{to}"}}"#,
                of["time"], of["identity"]
            );
            alerts += "\n";
        }
    }
    let scores = directory.path().join("scores.jsonl");
    let silent = r#"{"detector":"silent","budget":1.0,"ran":true}"#;
    fs::write(&scores, format!("{alerts}{silent}\n")).unwrap();
    let report = evaluate(&[file, "--scores", scores.to_str().unwrap()]);
    let mut other = figures(&report, "other").clone();
    other["detector"] = "first-seen".into();
    assert_eq!(&other, figures(&report, "first-seen"));
    assert_eq!(figures(&report, "silent")["instances"]["found"], 0);
    fs::write(
        &scores,
        alerts.replace(r#""host":"host""#, r#""host":"elsewhere""#),
    )
    .unwrap();
    let (_, said) = outcome(&["evaluate", file, "--scores", scores.to_str().unwrap()], 1);
    assert!(said.contains("the host `elsewhere`"), "{said}");
}

#[test]
fn what_cannot_be_judged_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("conn.log");
    let plain =
        "ts|id.orig_h|id.orig_p|id.resp_h|id.resp_p|proto\n1|10.0.0.7|1|198.51.100.7|2|udp\n";
    fs::write(&log, plain).unwrap();
    let log = log.to_str().unwrap();
    let (_, said) = outcome(&["evaluate", log], 1);
    assert!(said.contains("no column `label`"), "{said}");
    fs::write(log, format!("{plain}half a line\n")).unwrap();
    let (_, said) = outcome(&["evaluate", log], 1);
    assert!(
        said.contains("1 lines are no connections, the first is line 3"),
        "{said}"
    );
    let capture = capture(CAPTURE_42);
    for wrong in [
        &["evaluate", log, &capture, "--labels", "x"][..],
        &["evaluate", &capture, &capture],
        &["evaluate", log, "--budgets", "0"],
        &["evaluate", log, "--split", "2"],
        &["evaluate"],
    ] {
        credwatch().args(wrong).assert().code(2);
    }
}
