//! Places of credentials that are no files.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Files in which shells and clients keep the lines that were typed.
const HISTORIES: &[&str] = &[
    ".ash_history",
    ".bash_history",
    ".history",
    ".mysql_history",
    ".node_repl_history",
    ".psql_history",
    ".python_history",
    ".rediscli_history",
    ".sh_history",
    ".zsh_history",
    "fish_history",
];

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

/// Whether a file is where lines that were typed are kept.
pub fn is_history(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| HISTORIES.contains(&name))
}
