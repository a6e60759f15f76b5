//! Conn logs of Zeek on the command line: cuts of real captures.

use std::path::{Path, PathBuf};

use monitor::control::protocol::IdentityView;
use monitor::model::{Alert, DetectionId};
use serde_json::Value;

use crate::cli::{credwatch, outcome};

fn capture(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/iot23");
    fixtures.join(name)
}

#[test]
fn the_device_of_a_capture_is_an_identity() {
    for (name, connections, address, told_of) in [
        (
            "capture-42-1.conn.log.labeled",
            32,
            "192.168.1.197",
            &[
                (DetectionId::UnusualVolume, "104.24.97.120:80"),
                (DetectionId::NewDestination, "185.244.25.183:4975"),
            ][..],
        ),
        (
            "capture-44-1.conn.log.labeled.csv",
            20,
            "192.168.1.199",
            &[(DetectionId::UnusualVolume, "46.101.251.172:80")][..],
        ),
    ] {
        let file = capture(name);
        let file = file.to_str().unwrap();
        let (told, said) = outcome(
            &["replay", "--format", "zeek-conn", file, "--output", "json"],
            0,
        );
        let lines: Vec<_> = told.lines().collect();
        let Some((device, alerts)) = lines.split_last() else {
            panic!("{name}: {told}");
        };
        assert_eq!(alerts.len(), told_of.len(), "{name}: {told}");
        for (alert, (id, of)) in alerts.iter().zip(told_of) {
            let alert: Alert = serde_json::from_str(alert).unwrap();
            assert_eq!(alert.id, *id);
            assert!(alert.summary.contains(of), "{}", alert.summary);
        }
        let device: IdentityView = serde_json::from_str(device).unwrap();
        assert_eq!(device.selector.as_str(), format!("device:ip:{address}"));
        assert_eq!(device.kind, "device");
        let seen = device.device.unwrap();
        assert_eq!(seen.flows, connections);
        assert_eq!(
            seen.addresses,
            [address.parse::<std::net::IpAddr>().unwrap()]
        );
        assert!(
            seen.destinations.len() > 1 && seen.sent.bytes > 0,
            "{seen:#?}"
        );
        assert!(
            said.contains(&format!(
                "{connections} connections, {} alerts",
                told_of.len()
            )),
            "{said}"
        );
        let (table, _) = outcome(&["replay", "--zeek", file], 0);
        let (again, _) = outcome(&["replay", file], 0);
        assert_eq!(table, again, "its first bytes tell what it is");
        assert!(table.contains(&format!("device:ip:{address}")), "{table}");
    }
}

#[test]
fn a_retired_device_in_a_capture_is_told() {
    let registry = tempfile::tempdir().unwrap();
    let declare = |since: &str| {
        let text = format!(
            "[[identity]]\nselector = \"device:ip:192.168.1.197\"\nstate = \"retired\"\n\
             reason = \"sold\"\n{since}\n"
        );
        std::fs::write(registry.path().join("devices.toml"), text).unwrap();
    };
    let file = capture("capture-42-1.conn.log.labeled");
    let directory = registry.path().to_str().unwrap();
    let args = [
        "replay",
        "--zeek",
        file.to_str().unwrap(),
        "--registry",
        directory,
        "--output",
        "json",
    ];
    declare("since = 2019-01-01");
    let (told, _) = outcome(&args, 0);
    let alerts: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(alerts[0]["id"], "CW-103");
    let summary = alerts[0]["summary"].as_str().unwrap();
    let start = "device:ip:192.168.1.197, retired on 2019-01-01 (9 days ago) by devices.toml: \"sold\", sent ";
    assert!(summary.starts_with(start), "{summary}");
    // One cause is one alert, and the sum when it has been quiet.
    let open = |of: &&Value| of["id"] == "CW-103" && of["status"] == "open";
    assert_eq!(alerts.iter().filter(open).count(), 1);
    let (again, _) = outcome(&args, 0);
    assert_eq!(told, again);
    // What was retired later than the capture was not retired in it.
    declare("since = 2020-01-01");
    let (told, _) = outcome(&args, 0);
    assert!(!told.contains("CW-103"), "{told}");
}

#[test]
fn bad_lines_are_told_by_file_and_line_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("conn.log");
    let text = std::fs::read_to_string(capture("capture-42-1.conn.log.labeled")).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines.insert(10, "half a line");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let name = file.to_str().unwrap();
    let (told, said) = outcome(&["replay", "--zeek", name], 1);
    assert!(told.contains("device:ip:192.168.1.197"), "{told}");
    let wrong = format!("{name}:11: it has 1 columns, and the header has 21");
    assert!(said.contains(&wrong), "{said}");
    assert!(said.contains("1 of 33 lines"), "{said}");
    std::fs::write(&file, "no log\n").unwrap();
    let (_, said) = outcome(&["replay", "--zeek", name], 1);
    assert!(said.contains("line 1 is neither"), "{said}");
    // A directory of words is for logs alone.
    credwatch()
        .args(["replay", name, "--registry", "/"])
        .assert()
        .code(2);
}
