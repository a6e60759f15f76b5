//! An alert: one detection with its evidence, in plain words and in the form that programs rely on.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{CredentialKind, CredentialState, Fingerprint, Selector, Timestamp, time::rfc3339};

macro_rules! detections {
    ($($name:ident = $id:literal,)*) => {
        /// The detections that this version can raise. Ids are stable once published.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[expect(
            missing_docs,
            reason = "the catalog in `detection` says what each one is"
        )]
        pub enum DetectionId {
            $(#[serde(rename = $id)] $name,)*
        }

        impl DetectionId {
            /// All of them, in the order of their ids.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As it is printed: `CW-101`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $id,)*
                }
            }
        }
    };
}

detections! {
    RetiredCredentialRead = "CW-101",
    RetiredCredentialUsed = "CW-102",
    RetiredIdentityActive = "CW-103",
    DormantUsed = "CW-104",
    AccountReactivated = "CW-105",
    StaleHolder = "CW-106",
    DecoyTouched = "CW-107",
    LongLived = "CW-108",
    OutsiderReads = "CW-201",
    ReadThenCall = "CW-202",
    MetadataService = "CW-203",
    Harvest = "CW-204",
    EnvironScrape = "CW-205",
    MemoryScrape = "CW-206",
    ControlSocket = "CW-207",
    SystemSecret = "CW-208",
    HumanUse = "CW-209",
    Reuse = "CW-210",
    WrongEnvironment = "CW-211",
    LeakedByPlace = "CW-213",
    Overprivileged = "CW-214",
    NewDestination = "CW-301",
    UnusualRate = "CW-302",
    UnusualVolume = "CW-303",
    Beacon = "CW-304",
    UnusualHour = "CW-305",
    SlowExfiltration = "CW-306",
    NewProgram = "CW-307",
    HookFailed = "CW-901",
    EventsLost = "CW-902",
    NotWatched = "CW-903",
    Tampered = "CW-904",
}

impl std::str::FromStr for DetectionId {
    type Err = UnknownDetection;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL
            .iter()
            .find(|id| id.as_str().eq_ignore_ascii_case(text));
        known.copied().ok_or_else(|| UnknownDetection {
            text: text.to_owned(),
        })
    }
}

/// A text that is no detection's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no detection of this version; they are {}", DetectionId::ALL.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", "))]
pub struct UnknownDetection {
    text: String,
}

impl fmt::Display for DetectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much an alert matters, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they are their names")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// As it is written: `critical`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// How strong the evidence is that a credential was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// It was opened or read.
    Read,
    /// Its reader then opened a connection.
    ReadThenConnect,
    /// It was seen on the wire.
    OnTheWire,
}

impl Evidence {
    /// As it is written: `read-then-connect`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadThenConnect => "read-then-connect",
            Self::OnTheWire => "on-the-wire",
        }
    }
}

/// Whether an alert still gathers repeats of its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    /// Shown; repeats are being counted.
    Open,
    /// The cause has been quiet: this is the sum.
    Ended,
}

/// One detection with its evidence. Absent things are null and never invented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Unique, and the same on every replay of the same recording.
    pub alert_id: String,
    /// When the first event of this cause happened.
    #[serde(with = "rfc3339")]
    pub time: Timestamp,
    /// The detection.
    pub id: DetectionId,
    /// How much it matters.
    pub severity: Severity,
    /// One line, the same for every such act: `A retired credential was read`.
    pub title: String,
    /// One sentence that stands alone in a SIEM: who did what with which, since when retired.
    pub summary: String,
    /// The acting identity.
    pub identity: Option<Selector>,
    /// The acting process.
    pub process: Option<AlertProcess>,
    /// The credential, for detections that speak of one.
    pub credential: Option<AlertCredential>,
    /// The other end, for detections that speak of one.
    pub destination: Option<AlertDestination>,
    /// The process that was reached into, for detections that speak of one.
    #[serde(default)]
    pub target: Option<AlertProcess>,
    /// The file or socket, for detections that speak of one that is no credential.
    #[serde(default)]
    pub path: Option<String>,
    /// The grade of evidence.
    pub evidence: Option<Evidence>,
    /// MITRE ATT&CK techniques: `T1552.004`.
    pub attack: Vec<String>,
    /// OWASP Non-Human Identities Top 10: `NHI1`.
    pub owasp: Vec<String>,
    /// Open, or ended with its sum.
    pub status: AlertStatus,
    /// How often the cause repeated after the first event.
    pub repeats: u64,
    /// When it last repeated.
    #[serde(with = "rfc3339")]
    pub last_time: Timestamp,
}

/// The process of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertProcess {
    /// Thread group id.
    pub pid: u32,
    /// When it started.
    #[serde(with = "rfc3339")]
    pub start_time: Timestamp,
    /// Real uid.
    pub uid: u32,
    /// The uid's name.
    pub user: Option<String>,
    /// The executable's path.
    pub exe: Option<String>,
    /// The systemd unit, from the cgroup.
    pub unit: Option<String>,
    /// The container's id, from the cgroup.
    pub container: Option<String>,
    /// The person who logged in, where a login was audited.
    pub login_user: Option<String>,
    /// The controlling terminal.
    pub terminal: Option<String>,
    /// Parents, nearest first.
    pub ancestors: Vec<AlertAncestor>,
}

/// A parent of an alert's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertAncestor {
    /// Thread group id.
    pub pid: u32,
    /// The executable's path.
    pub exe: Option<String>,
}

/// The credential of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertCredential {
    /// Its name.
    pub fingerprint: Fingerprint,
    /// What it is.
    pub kind: CredentialKind,
    /// Where it lay when it was touched.
    pub path: Option<String>,
    /// Its state at that time.
    pub state: CredentialState,
    /// Since when it is retired.
    #[serde(with = "rfc3339::option")]
    pub retired_at: Option<Timestamp>,
    /// Who retired it.
    pub retired_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When it was last used before this.
    #[serde(with = "rfc3339::option")]
    pub last_used: Option<Timestamp>,
}

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertDestination {
    /// IPv4 or IPv6.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// What the domain name system last called the address on this host: words from the network.
    #[serde(default)]
    pub name: Option<String>,
}
