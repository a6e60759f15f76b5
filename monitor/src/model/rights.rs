//! What a program of an identity was given and used: kept over restarts, so that what is not used
//! can be told from what was not seen.

use serde::{Deserialize, Serialize};

use super::{CapabilitySet, Selector, Timestamp};

/// What is known of the rights of one program of an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramRights {
    /// Who runs it.
    pub identity: Selector,
    /// The program's path.
    pub exe: String,
    /// The real uid under which it started.
    pub uid: u32,
    /// The real gid under which it started.
    pub gid: u32,
    /// What its latest start gave it.
    pub given: CapabilitySet,
    /// What any of its starts gave it.
    pub ever_given: CapabilitySet,
    /// What it was seen to use.
    pub used: CapabilitySet,
    /// Since when it has no more than it had before.
    pub since: Timestamp,
    /// The latest start that was seen. `None` where it only ran already: what it did before is not
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it was last known to run.
    pub last: Timestamp,
}
