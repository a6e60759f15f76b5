//! Places of credentials that are no files.

use serde::{Deserialize, Serialize};

/// Where a process holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "in", rename_all = "kebab-case")]
pub enum HeldIn {
    /// In its environment.
    Environment {
        /// The variable's name.
        variable: String,
    },
    /// Among its arguments, which every account of the host can read.
    Arguments,
}

/// A key of the kernel's keyrings, as /proc/keys tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelKey {
    /// Its serial number.
    pub serial: u32,
    /// Its type: `user`, `logon`, `encrypted`.
    pub kind: String,
    /// What it is called; never its payload.
    pub description: String,
    /// The uid that owns it.
    pub uid: u32,
    /// Permission bits of its possessor, user, group and others.
    pub permissions: u32,
}
