//! Who may use a credential: users that were learned or declared, and exceptions that were made.

use serde::{Deserialize, Serialize};

use super::{DetectionId, Fingerprint, Selector, Severity, Timestamp, time::rfc3339};

/// A user of a credential: an identity with a program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CredentialUser {
    /// The credential.
    pub fingerprint: Fingerprint,
    /// Who.
    pub identity: Selector,
    /// The path of the program.
    pub exe: String,
    /// Whether that is a path in mounts of the identity's own, a container's, and not the host's.
    #[serde(default)]
    pub own_mounts: bool,
    /// When it was learned.
    pub since: Timestamp,
}

/// When a credential's users began to be learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learning {
    /// The credential.
    pub fingerprint: Fingerprint,
    /// Since when: from its first find, or its predecessor's.
    pub since: Timestamp,
}

/// What nobody wants to hear of again: the cause of an alert, for a time. Everything that is named
/// must be the same; what is absent was not in the alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// The alert's id; names the exception too.
    pub id: String,
    /// The detection.
    pub detection: DetectionId,
    /// The alert's severity. What is worse is not excepted.
    pub severity: Severity,
    /// The acting identity.
    pub identity: Option<Selector>,
    /// The path of the acting program, which must be the one that lies there on the host.
    pub exe: Option<String>,
    /// The container of the program, whose paths are its own.
    pub container: Option<String>,
    /// The credential.
    pub credential: Option<Fingerprint>,
    /// The other end's address.
    pub destination: Option<std::net::IpAddr>,
    /// The file or socket that is no credential.
    pub path: Option<String>,
    /// The program of the process that was reached into.
    pub target: Option<String>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// Since when, in whole microseconds.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// Until when, in whole microseconds; `None` holds until it is removed.
    #[serde(with = "rfc3339::option")]
    pub expires: Option<Timestamp>,
}

impl Exception {
    /// Whether it holds at a time.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}
