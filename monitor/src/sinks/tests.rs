use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::{TimeZone, offset};
use proptest::prelude::*;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::arbitrary::{self, sample, time};
use super::*;
use crate::config::{Colour, Facility, SinkConfig, SinkKind, SyslogTransport};
use crate::model::alert::AlertDestination;
use crate::model::{AlertStatus, DetectionId, Evidence, Selector};

fn view() -> View {
    View {
        colour: false,
        width: None,
        zone: TimeZone::fixed(offset(2)),
        now: time("2026-10-12T15:00:00Z"),
    }
}

#[test]
fn an_alert_is_shown() {
    insta::assert_snapshot!(render(&sample(), &view()));
}

#[test]
fn a_narrow_terminal_wraps_and_breaks_no_path() {
    let view = View {
        width: Some(64),
        ..view()
    };
    let text = render(&sample(), &view);
    insta::assert_snapshot!(text);
    assert!(
        render(
            &sample(),
            &View {
                width: Some(1),
                ..view
            }
        )
        .contains("/srv/deploy/.ssh/id_ed25519")
    );
}

#[test]
fn colours_are_only_where_asked_for() {
    let coloured = render(
        &sample(),
        &View {
            colour: true,
            ..view()
        },
    );
    insta::assert_snapshot!(coloured.replace('\x1b', "^"));
    let plain = anstream::adapter::strip_str(&coloured).to_string();
    assert_eq!(plain, render(&sample(), &view()));
}

#[test]
fn what_is_absent_is_not_shown() {
    let mut alert = sample();
    alert.id = DetectionId::EventsLost;
    alert.title = "Events were lost".into();
    alert.summary = "1200 events were lost in hook file_read on CPU 3".into();
    (
        alert.identity,
        alert.process,
        alert.credential,
        alert.evidence,
    ) = (None, None, None, None);
    (alert.attack, alert.owasp) = (vec![], vec![]);
    let lost = render(&alert, &view());

    let mut alert = sample();
    let credential = alert.credential.as_mut().unwrap();
    credential.path = None;
    credential.retired_at = None;
    credential.retired_by = None;
    credential.reason = None;
    credential.last_used = None;
    let process = alert.process.as_mut().unwrap();
    (process.user, process.exe, process.unit) = (None, None, None);
    (process.login_user, process.terminal, process.ancestors) = (None, None, vec![]);
    alert.identity = None;
    let bare = render(&alert, &view());

    let mut alert = sample();
    alert.id = DetectionId::RetiredCredentialUsed;
    alert.title = "A retired credential was used".into();
    alert.evidence = Some(Evidence::ReadThenConnect);
    alert.destination = Some(AlertDestination {
        address: "2001:db8::1".parse().unwrap(),
        port: 22,
        name: Some("git.example\u{1b}[2J".into()),
    });
    alert.identity = Some(Selector::systemd_unit("backup.service"));
    alert.process.as_mut().unwrap().container = Some("3f4a".repeat(16));
    alert.time = time("2026-10-11T14:03:21Z");
    let used = render(&alert, &view());

    let mut alert = sample();
    alert.id = DetectionId::MetadataService;
    alert.title = "The metadata service was asked for credentials".into();
    alert.summary = "unix:user:deploy asked 169.254.169.254 for credentials".into();
    alert.credential = None;
    alert.evidence = None;
    alert.destination = Some(AlertDestination {
        address: "169.254.169.254".parse().unwrap(),
        port: 80,
        name: None,
    });
    let metadata = render(&alert, &view());
    insta::assert_snapshot!([lost, bare, used, metadata].join("\n"));
}

#[test]
fn an_end_is_one_line_or_none() {
    let mut alert = sample();
    alert.status = AlertStatus::Ended;
    assert_eq!(render(&alert, &view()), "");
    alert.last_time = time("2026-10-12T14:05:10Z");
    alert.repeats = 1;
    let once = render(&alert, &view());
    alert.repeats = 41;
    insta::assert_snapshot!(once + &render(&alert, &view()));
}

#[test]
fn a_pasted_command_cannot_run_another() {
    let mut alert = sample();
    let credential = alert.credential.as_mut().unwrap();
    credential.fingerprint = crate::model::Fingerprint::new("jwt:a;$(reboot)/b/c");
    assert!(render(&alert, &view()).ends_with(" credwatch usage 'jwt:a;$(reboot)/b/c'\n"));
}

/// A message taken apart strictly by the grammar of RFC 5424, section 6.
#[derive(Debug)]
struct Message {
    priority: u8,
    host: String,
    app: String,
    process: String,
    id: String,
    element: String,
    parameters: BTreeMap<String, String>,
    text: String,
}

fn take_apart(message: &[u8]) -> Option<Message> {
    let message = std::str::from_utf8(message).ok()?;
    let (priority, rest) = message.strip_prefix('<')?.split_once(">1 ")?;
    let mut fields = rest.splitn(6, ' ');
    let time = fields.next()?;
    let _: jiff::Timestamp = time.parse().ok()?;
    let mut header = || {
        let field = fields.next()?;
        let valid = !field.is_empty() && field.bytes().all(|b| b.is_ascii_graphic());
        valid.then(|| field.to_owned())
    };
    let (host, app, process, id) = (header()?, header()?, header()?, header()?);
    let mut rest = fields.next()?.strip_prefix('[')?;
    let end = rest.find([' ', ']'])?;
    let element = rest[..end].to_owned();
    rest = &rest[end..];
    let mut parameters = BTreeMap::new();
    while let Some(parameter) = rest.strip_prefix(' ') {
        let (name, quoted) = parameter.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        rest = loop {
            match characters.next()? {
                (at, '"') => break &quoted[at + 1..],
                (_, ']') => return None,
                (_, '\\') => match characters.next()? {
                    (_, c @ ('"' | '\\' | ']')) => value.push(c),
                    _ => return None,
                },
                (_, c) => value.push(c),
            }
        };
        let valid =
            name.len() <= 32 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !valid || parameters.insert(name.to_owned(), value).is_some() {
            return None;
        }
    }
    let text = rest.strip_prefix(']')?;
    let text = text.strip_prefix(' ').unwrap_or(text);
    let (text, marked) = match text.strip_prefix('\u{feff}') {
        Some(text) => (text, true),
        None => (text, false),
    };
    if marked == text.is_ascii() {
        return None;
    }
    Some(Message {
        priority: priority.parse().ok()?,
        host,
        app,
        process,
        id,
        element,
        parameters,
        text: text.to_owned(),
    })
}

#[test]
fn a_syslog_message_says_all() {
    let encoder = SyslogEncoder::new(Facility::AUTHPRIV, "web 1\n.example", 77);
    let message = encoder.encode(&sample()).unwrap();
    insta::assert_snapshot!(String::from_utf8(message.clone()).unwrap());
    let message = take_apart(&message).unwrap();
    assert_eq!(message.priority, 10 * 8 + 2);
    assert_eq!(message.host, "web1.example");
    assert_eq!((&*message.app, &*message.process), ("credwatch", "77"));
    assert_eq!((&*message.id, &*message.element), ("CW-101", SD_ID));
    assert_eq!(message.parameters["user"], "deploy");
    assert_eq!(message.text, sample().summary);
    let unnamed = SyslogEncoder::new(Facility::AUTHPRIV, "\n", 77);
    let unnamed = take_apart(&unnamed.encode(&sample()).unwrap()).unwrap();
    assert_eq!(unnamed.host, "-");
}

proptest! {
    #[test]
    fn syslog_keeps_its_grammar_whatever_the_alert(alert in arbitrary::alert()) {
        let encoder = SyslogEncoder::new(Facility::AUTHPRIV, "host", 1);
        let bytes = encoder.encode(&alert).unwrap();
        prop_assert!(bytes.len() < 65_000, "{} bytes", bytes.len());
        prop_assert!(!bytes.iter().any(u8::is_ascii_control));
        let message = take_apart(&bytes);
        prop_assert!(message.is_some(), "{}", String::from_utf8_lossy(&bytes));
        let message = message.unwrap();
        let path = alert.credential.as_ref().and_then(|c| c.path.as_deref());
        let path = path.or(alert.path.as_deref());
        match (path, message.parameters.get("path")) {
            (Some(path), Some(sent)) if path.len() < 100 => prop_assert_eq!(sent, &visible(path)),
            (path, sent) => prop_assert_eq!(path.is_some(), sent.is_some()),
        }
    }

    #[test]
    fn json_is_one_line_and_the_same_alert(alert in arbitrary::alert()) {
        let line = json_line(&alert).unwrap();
        prop_assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(value, serde_json::to_value(&alert).unwrap());
    }

    #[test]
    fn the_terminal_gets_no_control_characters(
        alert in arbitrary::alert(),
        width in proptest::option::of(0usize..200),
    ) {
        let text = render(&alert, &View { width, ..view() });
        let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        prop_assert!(!text.contains(hidden), "{:?}", text);
        prop_assert!(text.is_empty() || text.ends_with('\n'));
        if alert.status == AlertStatus::Ended {
            prop_assert!(text.lines().count() <= 1);
        }
    }
}

fn sink(kind: SinkKind) -> SinkConfig {
    SinkConfig {
        kind,
        min_severity: Severity::Low,
    }
}

fn numbered(number: usize) -> Arc<Alert> {
    Arc::new(Alert {
        alert_id: format!("alert-{number}"),
        ..sample()
    })
}

/// Reads one octet-counted message.
async fn message(stream: &mut tokio::net::TcpStream) -> Message {
    let mut length = 0;
    loop {
        match stream.read_u8().await.unwrap() {
            b' ' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.unwrap();
    take_apart(&bytes).unwrap()
}

#[tokio::test]
async fn what_is_too_light_is_not_sent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts.jsonl");
    let config = SinkConfig {
        kind: SinkKind::Json {
            path: Some(path.clone()),
        },
        min_severity: Severity::High,
    };
    let sinks = Sinks::open(&[config]).unwrap();
    let mut light = sample();
    light.severity = Severity::Medium;
    sinks.send(&Arc::new(light));
    sinks.send(&numbered(1));
    let status = sinks.shutdown(Duration::from_secs(5)).await;
    assert_eq!(
        (status[0].sent, status[0].failed, status[0].queued),
        (1, 0, 0)
    );
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.as_bytes(), json_line(&numbered(1)).unwrap());
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_told() {
    let path = PathBuf::from("/nonexistent/alerts.jsonl");
    let error = Sinks::open(&[sink(SinkKind::Json { path: Some(path) })])
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("/nonexistent/alerts.jsonl cannot be opened: No such file")
    );
}

#[tokio::test]
async fn a_failing_sink_never_blocks_and_counts_what_it_loses() {
    let full = sink(SinkKind::Json {
        path: Some("/dev/full".into()),
    });
    let sinks = Sinks::open(&[full]).unwrap();
    // The worker has one in hand and the queue holds the rest; more than that is lost.
    for number in 0..QUEUE + 500 {
        sinks.send(&numbered(number));
    }
    timeout(Duration::from_secs(10), async {
        while sinks.status()[0].errors < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    let status = &sinks.status()[0];
    assert!((499..=500).contains(&status.failed), "{status:?}");
    assert!(
        status.error.as_deref().unwrap().contains("No space left"),
        "{status:?}"
    );
    let status = sinks.shutdown(Duration::from_millis(200)).await;
    assert_eq!(status[0].failed, QUEUE as u64 + 500);
    assert_eq!((status[0].sent, status[0].queued), (0, 0));
}

#[tokio::test]
async fn a_failing_sink_pauses_between_attempts_even_without_its_owner() {
    let full = sink(SinkKind::Json {
        path: Some("/dev/full".into()),
    });
    let sinks = Sinks::open(&[full]).unwrap();
    sinks.send(&numbered(1));
    let tally = Arc::clone(&sinks.sinks[0].tally);
    drop(sinks);
    sleep(Duration::from_millis(500)).await;
    // At 0, 100 and 300 ms.
    let errors = tally.status().errors;
    assert!((1..=3).contains(&errors), "{errors} attempts");
}

#[tokio::test]
async fn tcp_sends_again_what_a_closed_connection_swallowed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let transport = SyslogTransport::Tcp(address.clone());
    let sinks = Sinks::open(&[sink(SinkKind::Syslog {
        transport,
        facility: Facility::AUTHPRIV,
    })])
    .unwrap();
    sinks.send(&numbered(1));
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(message(&mut stream).await.parameters["alert_id"], "alert-1");
    // The second is written, and dies unread with its connection.
    sinks.send(&numbered(2));
    stream.peek(&mut [0]).await.unwrap();
    drop(stream);
    drop(listener);
    sinks.send(&numbered(3));
    sleep(Duration::from_millis(300)).await;
    let status = &sinks.status()[0];
    assert!(status.error.is_some() && status.queued == 1, "{status:?}");

    let listener = TcpListener::bind(&address).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    for expected in ["alert-1", "alert-2", "alert-3"] {
        assert_eq!(message(&mut stream).await.parameters["alert_id"], expected);
    }
    let closing = tokio::spawn(sinks.shutdown(Duration::from_secs(5)));
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    drop(stream);
    let status = closing.await.unwrap();
    assert_eq!((status[0].sent, status[0].failed), (3, 0));
    assert_eq!(status[0].error, None);
}

#[tokio::test]
async fn a_unix_stream_serves_where_there_is_no_datagram() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let sinks = Sinks::open(&[
        sink(SinkKind::Syslog {
            transport: SyslogTransport::Unix(path),
            facility: Facility::AUTHPRIV,
        }),
        sink(SinkKind::Terminal {
            colour: Colour::Never,
        }),
    ])
    .unwrap();
    sinks.send(&numbered(1));
    let (mut stream, _) = listener.accept().await.unwrap();
    sinks.shutdown(Duration::from_secs(5)).await;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.pop(), Some(0));
    assert_eq!(
        take_apart(&bytes).unwrap().parameters["alert_id"],
        "alert-1"
    );
}

#[tokio::test]
async fn tcp_sends_again_at_the_end_too() {
    for unread in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let transport = SyslogTransport::Tcp(listener.local_addr().unwrap().to_string());
        let sinks = Sinks::open(&[sink(SinkKind::Syslog {
            transport,
            facility: Facility::AUTHPRIV,
        })])
        .unwrap();
        sinks.send(&numbered(1));
        let (stream, _) = listener.accept().await.unwrap();
        if unread {
            stream.peek(&mut [0]).await.unwrap();
        }
        // With unread data this is a reset; without, what comes later is answered by one.
        drop(stream);
        let closing = tokio::spawn(sinks.shutdown(Duration::from_secs(5)));
        let again = timeout(Duration::from_secs(4), listener.accept()).await;
        let (mut stream, _) = again.expect("no second connection").unwrap();
        assert_eq!(message(&mut stream).await.parameters["alert_id"], "alert-1");
        drop(stream);
        assert_eq!(closing.await.unwrap()[0].sent, 1);
    }
}
