//! The life of a credential between its first and its last day: who follows whom, and how it rests.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Fingerprint, Target, Timestamp};

/// A version of a credential that was followed by another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// The version before.
    pub old: Fingerprint,
    /// The version now.
    pub new: Fingerprint,
    /// Where the new one was found in place of the old.
    #[serde(with = "super::path")]
    pub path: PathBuf,
    /// When that was noticed.
    pub began: Timestamp,
}

/// What was learned of a credential or an identity, beside the usage map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rhythm {
    /// Of what.
    pub target: Target,
    /// The longest time between two uses, of the time that somebody watched, in nanoseconds.
    /// Zero where none was long enough to matter.
    pub longest: u64,
    /// When it was last told that it lives too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Timestamp>,
}
