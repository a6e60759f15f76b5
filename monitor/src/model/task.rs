//! A process as the kernel saw it at the moment of an event.

use serde::{Deserialize, Serialize};

use super::{FileId, Timestamp};

/// One process through all its life: a pid alone is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessKey {
    /// Thread group id in the host's pid namespace.
    pub pid: u32,
    /// When its first thread started.
    pub start: Timestamp,
}

/// What the kernel half captured of the acting process, together with the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Thread group id.
    pub pid: u32,
    /// When the process started.
    pub start: Timestamp,
    /// The parent's thread group id.
    pub ppid: u32,
    /// When the parent started.
    pub parent_start: Timestamp,
    /// Real uid.
    pub uid: u32,
    /// Effective uid.
    pub euid: u32,
    /// Real gid.
    pub gid: u32,
    /// The uid that logged in; `None` where no login was audited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
    /// The audit session; `None` where no login was audited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u32>,
    /// Id of its cgroup v2; 0 where it has none.
    #[serde(default)]
    pub cgroup: u64,
    /// Id of its cgroup in the v1 memory or pids hierarchy, with [`Task::V1_HIERARCHY`] set,
    /// because each hierarchy counts its own; 0 where there is none.
    #[serde(default)]
    pub cgroup_v1: u64,
    /// The executable's inode.
    pub exe: FileId,
    /// The controlling terminal, such as `pts0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
}

impl Task {
    /// The bit that tells a v1 cgroup's id from a v2 one's.
    pub const V1_HIERARCHY: u64 = 1 << 63;

    /// The process that this is.
    pub fn key(&self) -> ProcessKey {
        ProcessKey {
            pid: self.pid,
            start: self.start,
        }
    }

    /// Its parent.
    pub fn parent(&self) -> ProcessKey {
        ProcessKey {
            pid: self.ppid,
            start: self.parent_start,
        }
    }
}
