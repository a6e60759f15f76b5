//! What the daemon notices about itself: who stopped it, when it did not watch, what was changed
//! under it.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Where a signal came from, as the kernel told it with the signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// From the kernel itself, as a terminal's Ctrl-C is. No process can pretend this.
    Kernel,
    /// From a process, of which the kernel wrote pid and uid.
    Process(Sender),
    /// From a process that wrote pid and uid itself (`rt_sigqueueinfo`), and so may be another.
    Claimed(Sender),
    /// Of a kind that tells no process.
    Unknown,
}

/// Who sent a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The sending process; 0 where it is outside of the daemon's pid namespace.
    pub pid: u32,
    /// Its real uid.
    pub uid: u32,
    /// Its program, where /proc still told it when the signal came: the executable's path, or
    /// else its name. For senders of which no hook has told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// What happened to a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gap {
    /// The former run did not say that it ends.
    Unsaid {
        /// Its process.
        pid: u32,
        /// When it began to watch.
        started: Timestamp,
        /// When it was last known to run. It tells so once a minute.
        last_seen: Timestamp,
        /// How long nobody has watched since, in nanoseconds.
        unwatched: u64,
        /// Whether the host has been booted anew since.
        rebooted: bool,
    },
    /// No thread of the daemon ran.
    Held {
        /// For how long, in nanoseconds. The time that the host was suspended is not in it.
        lasted: u64,
    },
    /// The wall clock was set.
    ClockSet {
        /// What it would show now.
        from: Timestamp,
        /// What it shows now.
        to: Timestamp,
    },
}

/// What the daemon relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relied {
    /// The database, with its write-ahead log and that one's index.
    Database,
    /// The key under which secrets without a public part are named.
    FingerprintKey,
    /// The directory of both.
    StateDirectory,
    /// The file of declared states, or the directory of them.
    Registry,
    /// The configuration.
    Configuration,
    /// The daemon's own program.
    Program,
}

impl Relied {
    /// As a sentence begins with it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Database => "The database",
            Self::FingerprintKey => "The fingerprint key",
            Self::StateDirectory => "The state directory",
            Self::Registry => "The registry",
            Self::Configuration => "The configuration",
            Self::Program => "The program",
        }
    }
}
