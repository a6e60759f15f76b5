//! Sinks against a real rsyslogd, which each test starts for itself on loopback and ends.

mod rsyslog;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use monitor::config::{Facility, SinkConfig, SinkKind, SyslogTransport};
use monitor::model::alert::{AlertCredential, AlertProcess};
use monitor::model::{
    Alert, AlertStatus, CredentialKind, CredentialState, DetectionId, Evidence, Fingerprint,
    Selector, Severity, Timestamp,
};
use monitor::sinks::{SD_ID, Sinks, visible};

use rsyslog::{Form, Rsyslog};

/// An alert whose texts hold all that RFC 5424 treats specially, and what it leaves to luck.
fn hostile(alert_id: &str) -> Alert {
    let time = Timestamp::from_unix_seconds(1_777_644_201);
    Alert {
        alert_id: alert_id.into(),
        time,
        id: DetectionId::RetiredCredentialRead,
        severity: Severity::Critical,
        title: "A retired credential was read".into(),
        summary: "unix:user:deploy read \"/srv/ключ\", retired since 2026-05-01 [тест]".into(),
        identity: Some(Selector::unix_user("deploy")),
        process: Some(AlertProcess {
            pid: 4242,
            start_time: time,
            uid: 1001,
            user: Some("deploy".into()),
            exe: Some(r#"/opt/a "b" [c]\d=e"#.into()),
            unit: None,
            container: None,
            login_user: None,
            terminal: None,
            ancestors: vec![],
        }),
        credential: Some(AlertCredential {
            fingerprint: Fingerprint::new("SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8"),
            kind: CredentialKind::SshPrivateKey,
            path: Some("/srv/ключ\n<34>1 - forged - - - - line\u{1b}[2J".into()),
            state: CredentialState::Retired,
            retired_at: Some(time),
            retired_by: Some("root".into()),
            reason: Some(r#"said "moved"] [x y="z"] \"#.into()),
            last_used: None,
        }),
        destination: None,
        target: None,
        path: None,
        evidence: Some(Evidence::Read),
        attack: vec!["T1552.004".into(), "T1078".into()],
        owasp: vec!["NHI1".into()],
        status: AlertStatus::Open,
        repeats: 0,
        last_time: time,
    }
}

fn syslog(transport: SyslogTransport) -> SinkConfig {
    SinkConfig {
        kind: SinkKind::Syslog {
            transport,
            facility: Facility::AUTHPRIV,
        },
        min_severity: Severity::Low,
    }
}

/// The structured data that rsyslog found in a message.
fn found(message: &serde_json::Value) -> BTreeMap<&str, &str> {
    let element = message["rfc5424-sd"][SD_ID].as_object();
    let element = element.unwrap_or_else(|| panic!("no structured data in {message:#}"));
    element
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_understands_all_three_transports() {
    let server = Rsyslog::start();
    let transports = [
        ("unix", SyslogTransport::Unix(server.socket())),
        ("udp", SyslogTransport::Udp(server.udp())),
        ("tcp", SyslogTransport::Tcp(server.tcp())),
    ];
    for (name, transport) in transports {
        let sinks = Sinks::open(&[syslog(transport)]).unwrap();
        sinks.send(&Arc::new(hostile(name)));
        let status = sinks.shutdown(Duration::from_secs(10)).await;
        assert_eq!((status[0].sent, status[0].failed), (1, 0), "{status:?}");
    }
    let messages = server.messages(3).await;
    assert_eq!(
        messages.len(),
        3,
        "a forged line came through: {messages:#?}"
    );
    let mut seen = BTreeSet::new();
    for message in &messages {
        let alert = hostile("");
        let process = alert.process.unwrap();
        let credential = alert.credential.unwrap();
        let sent = found(message);
        seen.insert(sent["alert_id"]);
        assert_eq!(sent["id"], "CW-101");
        assert_eq!(sent["severity"], "critical");
        assert_eq!(sent["fingerprint"], credential.fingerprint.as_str());
        assert_eq!(sent["kind"], "ssh-private-key");
        assert_eq!(sent["state"], "retired");
        assert_eq!(sent["identity"], "unix:user:deploy");
        assert_eq!(sent["pid"], "4242");
        assert_eq!(sent["user"], "deploy");
        assert_eq!(sent["exe"], process.exe.unwrap());
        assert_eq!(sent["path"], visible(&credential.path.unwrap()));
        assert_eq!(sent["reason"], credential.reason.unwrap());
        assert_eq!(sent["attack"], "T1552.004,T1078");
        assert_eq!(sent["owasp"], "NHI1");
        assert_eq!(sent.get("unit"), None);

        assert_eq!(message["msgid"], "CW-101");
        assert_eq!(message["app"], "credwatch");
        assert_eq!(message["procid"], std::process::id().to_string());
        assert_eq!(message["facility"], "authpriv");
        assert_eq!(message["severity"], "crit");
        let text = message["msg"].as_str().unwrap();
        assert_eq!(text.trim_start_matches('\u{feff}'), alert.summary);
        assert_eq!(message["time"], "2026-05-01T14:03:21.000000Z");
    }
    assert_eq!(seen, BTreeSet::from(["tcp", "udp", "unix"]));
}

/// Sends alerts one by one while rsyslogd ends and starts again, and wants to find each.
async fn outlives(form: Form, unix: bool) {
    let mut server = Rsyslog::start();
    let transport = if unix {
        SyslogTransport::Unix(server.socket())
    } else {
        SyslogTransport::Tcp(server.tcp())
    };
    let sinks = Sinks::open(&[syslog(transport)]).unwrap();
    let mut expected = BTreeSet::new();
    for number in 0..120 {
        let id = format!("alert-{number}");
        sinks.send(&Arc::new(hostile(&id)));
        expected.insert(id);
        match number {
            // Received before, so that there is a connection to break.
            20 => drop(server.messages(21).await),
            60 => {
                if unix {
                    // Datagrams that the server has not read die with its socket, untold.
                    server.messages(61).await;
                }
                server.stop(form);
            }
            90 => server.restart(),
            _ => tokio::time::sleep(Duration::from_millis(3)).await,
        }
    }
    let status = sinks.shutdown(Duration::from_secs(30)).await;
    assert_eq!((status[0].sent, status[0].failed), (120, 0), "{status:?}");
    assert!(
        status[0].errors > 0,
        "the outage was not noticed: {status:?}"
    );
    let messages = server.messages_until(|messages| {
        let ids: BTreeSet<String> = messages
            .iter()
            .map(|message| found(message)["alert_id"].to_owned())
            .collect();
        ids == expected
    });
    // Each is there; one that came twice is the same both times.
    let mut by_id = BTreeMap::new();
    for message in messages.await {
        let element = message["rfc5424-sd"].clone();
        let id = found(&message)["alert_id"].to_owned();
        let first = by_id.entry(id).or_insert_with(|| element.clone());
        assert_eq!(*first, element);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_loses_nothing_when_rsyslog_is_restarted() {
    outlives(Form::Asked, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_loses_nothing_when_rsyslog_is_killed() {
    outlives(Form::Killed, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unix_socket_is_found_again_after_a_restart() {
    outlives(Form::Asked, true).await;
}
