//! Where alerts go: the `[[sinks]]` of the configuration, checked.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use super::reader::{Reader, Value, from_name, key_span, unknown};
use super::sections::{optional_absolute_path, path_fault};
use crate::model::Severity;

/// One sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkConfig {
    /// Its type with all that the type needs.
    pub kind: SinkKind,
    /// Alerts of less weight are not sent to it.
    pub min_severity: Severity,
}

/// The types of sinks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkKind {
    /// Text for people on stdout.
    Terminal {
        /// When to use colours.
        colour: Colour,
    },
    /// JSON Lines.
    Json {
        /// The file; stdout when `None`.
        path: Option<PathBuf>,
    },
    /// RFC 5424.
    Syslog {
        /// How it gets there.
        transport: SyslogTransport,
        /// The facility of all messages.
        facility: Facility,
    },
}

impl fmt::Display for SinkKind {
    /// Type and target, as status shows them: `syslog tcp 10.0.0.5:601`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminal { .. } => f.write_str("terminal stdout"),
            Self::Json { path: None } => f.write_str("json stdout"),
            Self::Json { path: Some(path) } => write!(f, "json {}", path.display()),
            Self::Syslog { transport, .. } => match transport {
                SyslogTransport::Unix(path) => write!(f, "syslog unix {}", path.display()),
                SyslogTransport::Udp(address) => write!(f, "syslog udp {address}"),
                SyslogTransport::Tcp(address) => write!(f, "syslog tcp {address}"),
            },
        }
    }
}

/// How syslog messages travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogTransport {
    /// A unix socket of this machine, datagram or stream.
    Unix(PathBuf),
    /// `host:port`, one message a datagram (RFC 5426). Loss cannot be noticed.
    Udp(String),
    /// `host:port`, messages with their length in front (RFC 6587, octet counting).
    Tcp(String),
}

/// When the terminal sink uses colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A syslog facility, by the names of syslog.conf(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facility(u8);

/// Names with their codes of RFC 5424, table 1; 12 to 15 have no agreed name.
const FACILITIES: &[(&str, u8)] = &[
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

impl Facility {
    /// Security messages that not every user may read: the default.
    pub const AUTHPRIV: Self = Self(10);

    /// Its code in RFC 5424.
    pub fn code(self) -> u8 {
        self.0
    }

    /// The facility of that name, in lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        FACILITIES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, code)| Self(*code))
    }
}

impl<'de> Deserialize<'de> for Facility {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        Self::from_name(&name).ok_or_else(|| {
            let names: Vec<&str> = FACILITIES.iter().map(|(name, _)| *name).collect();
            serde::de::Error::custom(unknown("facility", &name, "syslog", &names))
        })
    }
}

/// What the daemon does without configuration: text on stdout, which systemd hands to the journal.
pub(super) fn default_sinks() -> Vec<SinkConfig> {
    vec![SinkConfig {
        kind: SinkKind::Terminal {
            colour: Colour::Auto,
        },
        min_severity: Severity::Low,
    }]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Terminal,
    Json,
    Syslog,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Transport {
    Unix,
    Udp,
    Tcp,
}

/// A sink as it is written, before it is known whether its keys fit its type.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Written {
    r#type: Option<String>,
    #[serde(deserialize_with = "optional_absolute_path")]
    path: Option<PathBuf>,
    transport: Option<Transport>,
    address: Option<String>,
    facility: Option<Facility>,
    min_severity: Option<Severity>,
    colour: Option<Colour>,
}

const PLACE: &str = "[[sinks]]";

/// Reads all of `[[sinks]]`; what is wrong is noted in `reader`.
pub(super) fn read_sinks<'i>(reader: &mut Reader<'i>, value: Value<'i>) -> Vec<SinkConfig> {
    let mut sinks: Vec<SinkConfig> = Vec::new();
    for element in reader.elements(PLACE, value) {
        let Some(sink) = read_sink(reader, element.clone()) else {
            continue;
        };
        let stdout = |sink: &SinkConfig| {
            matches!(
                sink.kind,
                SinkKind::Terminal { .. } | SinkKind::Json { path: None }
            )
        };
        if stdout(&sink) && sinks.iter().any(stdout) {
            let message = "a second sink on stdout; give the json sink a `path`, or remove one";
            reader.problem(key_span(&element, "type"), message);
        } else if let Some(twin) = sinks
            .iter()
            .find(|s| s.kind.to_string() == sink.kind.to_string())
        {
            let message = format!("a second sink `{}`; remove one", twin.kind);
            reader.problem(key_span(&element, "type"), message);
        } else {
            sinks.push(sink);
        }
    }
    sinks
}

fn read_sink<'i>(reader: &mut Reader<'i>, value: Value<'i>) -> Option<SinkConfig> {
    let written: Written = reader.section(PLACE, value.clone())?;
    let Some(name) = &written.r#type else {
        let message = "[[sinks]] needs a `type`: \"terminal\", \"json\" or \"syslog\"";
        reader.problem(value.span(), message);
        return None;
    };
    let Ok(kind) = from_name::<Type>(name) else {
        let types = ["terminal", "json", "syslog"];
        let message = unknown("type", name, PLACE, &types);
        reader.problem(key_span(&value, "type"), message);
        return None;
    };
    let fitting: &[&str] = match kind {
        Type::Terminal => &["type", "min_severity", "colour"],
        Type::Json => &["type", "min_severity", "path"],
        Type::Syslog => &["type", "min_severity", "transport", "address", "facility"],
    };
    let mut fits = true;
    for key in value.get_ref().as_table()?.keys() {
        let key_name = key.get_ref().as_ref();
        if !fitting.contains(&key_name) {
            let keys = fitting.join("`, `");
            reader.problem(
                key.span(),
                format!(
                    "`{key_name}` does not belong to a sink of type `{name}`, which has `{keys}`"
                ),
            );
            fits = false;
        }
    }
    if !fits {
        return None;
    }
    let kind = match kind {
        Type::Terminal => SinkKind::Terminal {
            colour: written.colour.unwrap_or_default(),
        },
        Type::Json => SinkKind::Json { path: written.path },
        Type::Syslog => SinkKind::Syslog {
            transport: match transport(written.transport, written.address) {
                Ok(transport) => transport,
                Err(message) => {
                    reader.problem(key_span(&value, "address"), message);
                    return None;
                }
            },
            facility: written.facility.unwrap_or(Facility::AUTHPRIV),
        },
    };
    Some(SinkConfig {
        kind,
        min_severity: written.min_severity.unwrap_or(Severity::Low),
    })
}

fn transport(
    transport: Option<Transport>,
    address: Option<String>,
) -> Result<SyslogTransport, String> {
    match (transport.unwrap_or(Transport::Unix), address) {
        (Transport::Unix, None) => Ok(SyslogTransport::Unix(PathBuf::from("/dev/log"))),
        (Transport::Unix, Some(address)) => {
            let path = PathBuf::from(address);
            match path_fault(&path) {
                Some(fault) => Err(format!(
                    "{fault}; for a host write transport = \"tcp\" or \"udp\""
                )),
                None => Ok(SyslogTransport::Unix(path)),
            }
        }
        (Transport::Udp, Some(address)) => Ok(SyslogTransport::Udp(host_port(address)?)),
        (Transport::Tcp, Some(address)) => Ok(SyslogTransport::Tcp(host_port(address)?)),
        (Transport::Udp | Transport::Tcp, None) => {
            Err("a sink over udp or tcp needs `address = \"host:port\"`".into())
        }
    }
}

/// Takes `host:port`, `192.0.2.1:514` and `[2001:db8::1]:514`. Whether the host has an address is
/// only seen when a connection is made.
fn host_port(address: String) -> Result<String, String> {
    if let Ok(socket) = address.parse::<SocketAddr>()
        && socket.port() != 0
    {
        return Ok(address);
    }
    let named = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && host.len() <= 253
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
            && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if named {
        Ok(address)
    } else {
        Err(format!(
            "`{}` is no address; write host:port, such as \"siem.example:601\" or \"[2001:db8::1]:514\"",
            address.escape_debug()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "siem.example:601",
            "10.0.0.5:514",
            "[2001:db8::1]:514",
            "a:1",
        ] {
            assert!(host_port(good.into()).is_ok(), "{good}");
        }
        for bad in [
            "",
            ":",
            "a:",
            ":5",
            "a:0",
            "10.0.0.5:0",
            "a:70000",
            "a b:5",
            "2001:db8::1:514",
            "/dev/log",
            "http://a:5",
        ] {
            assert!(host_port(bad.into()).is_err(), "{bad}");
        }
    }
}
