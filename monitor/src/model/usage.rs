//! The usage map's rows: who used which credential, with what program, towards where.

use serde::{Deserialize, Serialize};

use super::{Fingerprint, Selector, Timestamp, time::rfc3339};

/// What a usage row is about; one row per key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UsageKey {
    /// The credential.
    pub fingerprint: Fingerprint,
    /// Who used it.
    pub identity: Selector,
    /// The executable's path; empty where it could not be known.
    pub exe: String,
    /// `address:port` that the reader connected to afterwards; empty for the reads themselves.
    pub destination: String,
}

/// One row of the usage map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// What it is about.
    #[serde(flatten)]
    pub key: UsageKey,
    /// The first use seen.
    #[serde(with = "rfc3339")]
    pub first: Timestamp,
    /// The latest use seen.
    #[serde(with = "rfc3339")]
    pub last: Timestamp,
    /// How many uses were seen; an open and the reads that follow it in one process are one use.
    pub count: u64,
    /// What the destination's address is known by now, for people; it is not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
