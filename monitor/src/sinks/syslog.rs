//! Syslog messages as of RFC 5424. The crate `syslog_fmt` writes and escapes them; this says what
//! goes into them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use syslog_fmt::Severity as Priority;
use syslog_fmt::v5424::{Config, Formatter, Msg, Timestamp as Time, write_data, write_msg};

use super::escape::{clipped, visible};
use crate::config::Facility;
use crate::model::{Alert, AlertStatus, CredentialKind, Severity};

/// The id of the structured data. 32473 is the enterprise number that RFC 5612 keeps for
/// documentation: Credwatch has none of its own, and a private one may not be made up.
pub const SD_ID: &str = "credwatch@32473";

/// Bytes of one value at most, and of MSG. Together they keep a message of any alert within a UDP
/// datagram; most receivers take 8 KiB and cut what is longer.
const VALUE_BYTES: usize = 1024;
const MESSAGE_BYTES: usize = 4096;

/// Writes alerts as RFC 5424 messages.
#[derive(Debug, Clone)]
pub struct Encoder {
    formatter: Formatter,
}

impl Encoder {
    /// With this machine's name and this process's id.
    pub fn of_this_host(facility: Facility) -> Self {
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy().into_owned();
        Self::new(facility, &host, std::process::id())
    }

    /// With a host name and a process id of the caller.
    pub fn new(facility: Facility, host: &str, pid: u32) -> Self {
        // RFC 5424, 6.2.4: printable ASCII, 255 characters at most.
        let host: String = host
            .chars()
            .filter(char::is_ascii_graphic)
            .take(255)
            .collect();
        let facility = i32::from(facility.code()).try_into();
        let pid = pid.to_string();
        let config = Config {
            facility: facility.unwrap_or(syslog_fmt::Facility::Authpriv),
            hostname: (!host.is_empty()).then_some(host.as_str()),
            app_name: Some("credwatch"),
            proc_id: Some(&pid),
        };
        Self {
            formatter: config.into_formatter(),
        }
    }

    /// One message without framing: MSGID is the detection, the structured data holds what
    /// programs ask for, MSG is the alert's summary. It holds no control characters.
    ///
    /// # Errors
    /// None that an [`Alert`] can cause.
    pub fn encode(&self, alert: &Alert) -> io::Result<Vec<u8>> {
        let mut message = Vec::with_capacity(1024);
        let time = match alert.status {
            AlertStatus::Open => alert.time,
            AlertStatus::Ended => alert.last_time,
        };
        self.formatter.write_header(
            &mut message,
            priority(alert.severity),
            Time::PreformattedString(time.to_string()),
            Some(alert.id.as_str()),
        )?;
        let parameters: Vec<(&str, String)> = parameters(alert)
            .into_iter()
            .map(|(name, value)| (name, clipped(&visible(&value), VALUE_BYTES).into_owned()))
            .collect();
        let element = parameters
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        write_data(&mut message, [(SD_ID, element.collect::<Vec<_>>())])?;
        let text = summary(alert);
        // The byte order mark tells UTF-8 from ASCII (6.4), and many receivers show it.
        let text = if text.is_ascii() {
            Msg::NonUnicodeBytes(text.as_bytes())
        } else {
            Msg::Utf8Str(&text)
        };
        write_msg(&mut message, text)?;
        Ok(message)
    }
}

/// Emergency and alert are left to what concerns a whole system.
fn priority(severity: Severity) -> Priority {
    match severity {
        Severity::Critical => Priority::Crit,
        Severity::High => Priority::Err,
        Severity::Medium => Priority::Warning,
        Severity::Low => Priority::Notice,
    }
}

fn summary(alert: &Alert) -> String {
    let mut text = clipped(&visible(&alert.summary), MESSAGE_BYTES).into_owned();
    if alert.status == AlertStatus::Ended {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            " (repeated {} times until {})",
            alert.repeats, alert.last_time
        );
    }
    text
}

/// Names and values; what is absent is left out. Lists are one value with commas, because many
/// receivers keep one value a name.
fn parameters(alert: &Alert) -> Vec<(&'static str, Cow<'_, str>)> {
    let status = match alert.status {
        AlertStatus::Open => "open",
        AlertStatus::Ended => "ended",
    };
    let mut list: Vec<(&'static str, Cow<'_, str>)> = vec![
        ("id", alert.id.as_str().into()),
        ("severity", alert.severity.as_str().into()),
        ("alert_id", alert.alert_id.as_str().into()),
        ("status", status.into()),
        ("time", alert.time.to_string().into()),
        ("repeats", alert.repeats.to_string().into()),
    ];
    let mut put = |name, value: Option<Cow<'_, str>>| {
        if let Some(value) = value {
            list.push((name, value.into_owned().into()));
        }
    };
    if let Some(credential) = &alert.credential {
        put("fingerprint", Some(credential.fingerprint.as_str().into()));
        put("kind", Some(kind(credential.kind)));
        put("state", Some(credential.state.as_str().into()));
        put(
            "retired_at",
            credential.retired_at.map(|t| t.to_string().into()),
        );
        put(
            "retired_by",
            credential.retired_by.as_deref().map(Cow::from),
        );
        put("reason", credential.reason.as_deref().map(Cow::from));
        put(
            "last_used",
            credential.last_used.map(|t| t.to_string().into()),
        );
        put("path", credential.path.as_deref().map(Cow::from));
    }
    if alert.credential.as_ref().is_none_or(|of| of.path.is_none()) {
        put("path", alert.path.as_deref().map(Cow::from));
    }
    put(
        "identity",
        alert.identity.as_ref().map(|i| i.as_str().into()),
    );
    if let Some(process) = &alert.process {
        put("pid", Some(process.pid.to_string().into()));
        put("uid", Some(process.uid.to_string().into()));
        put("user", process.user.as_deref().map(Cow::from));
        put("exe", process.exe.as_deref().map(Cow::from));
        put("unit", process.unit.as_deref().map(Cow::from));
        put("container", process.container.as_deref().map(Cow::from));
        put("login_user", process.login_user.as_deref().map(Cow::from));
        put("terminal", process.terminal.as_deref().map(Cow::from));
    }
    if let Some(target) = &alert.target {
        put("target_pid", Some(target.pid.to_string().into()));
        put("target_uid", Some(target.uid.to_string().into()));
        put("target_exe", target.exe.as_deref().map(Cow::from));
        put("target_unit", target.unit.as_deref().map(Cow::from));
        put(
            "target_container",
            target.container.as_deref().map(Cow::from),
        );
    }
    if let Some(to) = &alert.destination {
        let address = SocketAddr::new(to.address, to.port);
        put("dst", Some(address.to_string().into()));
        put("dst_name", to.name.as_deref().map(Cow::from));
    }
    put("evidence", alert.evidence.map(|e| e.as_str().into()));
    let joined = |list: &[String]| (!list.is_empty()).then(|| Cow::from(list.join(",")));
    put("attack", joined(&alert.attack));
    put("owasp", joined(&alert.owasp));
    list
}

/// As JSON has it: `ssh-private-key`.
fn kind(kind: CredentialKind) -> Cow<'static, str> {
    match serde_json::to_value(kind) {
        Ok(serde_json::Value::String(name)) => name.into(),
        _ => kind.label().into(),
    }
}
