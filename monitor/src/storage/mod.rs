//! The state of a daemon on disk: one SQLite database that people can query with `sqlite3`.
//!
//! This module knows the model and nothing else. It stands aside of the pipeline: the daemon loads
//! a [`Snapshot`] when it starts and afterwards only writes. A transaction that has been committed
//! outlives the death of the process at any moment; after a power failure the newest ones may be
//! missing, and the database is whole (WAL with `synchronous=NORMAL`).

mod baselines;
mod error;
mod handle;
mod kept;
mod load;
mod open;
mod pending;
mod schema;
mod values;
mod words;
mod write;

#[cfg(test)]
mod durability_tests;
#[cfg(test)]
mod samples;

use std::path::PathBuf;

use rusqlite::Connection;

pub use baselines::{FoundBaseline, SealedBaseline};
pub use error::{Result, StorageError};
pub use handle::{StorageHandle, StorageStats};
pub use kept::{Keep, Kept};
pub use words::SealedWord;

use crate::model::{
    Alert, Credential, CredentialUser, Exception, FileId, Fingerprint, Learning, LocatedFile,
    RegistryChange, Rhythm, Selector, Succession, Timestamp, Usage,
};

/// The database's name in the state directory.
pub const FILE_NAME: &str = "credwatch.db";

/// How a database is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By the daemon: made when it is not there, brought up to date when it is older.
    ReadWrite,
    /// By a client beside or without a daemon: nothing is changed.
    ReadOnly,
}

/// One thing to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A word about a state; appended to the history.
    Change(Timestamp, RegistryChange),
    /// A file with credentials. Takes the place of what was known at the same path.
    Located(Timestamp, LocatedFile),
    /// A file left a path. Without effect where another inode has come to that path meanwhile.
    Unlocated(Timestamp, FileId, PathBuf),
    /// A row of the usage map with its sums so far, not a difference: storing it twice is storing
    /// it once, and a row that was lost is made good by the next one of the same key.
    Usage(Usage),
    /// An identity acted. Widens what is stored.
    IdentitySeen {
        /// Who.
        selector: Selector,
        /// The first act seen.
        first: Timestamp,
        /// The latest act seen.
        last: Timestamp,
    },
    /// An alert; takes the place of the one with the same `alert_id`.
    Alert(Box<Alert>),
    /// A version that was followed by another; takes the place of what was known of it.
    Succession(Succession),
    /// What was learned of a credential or an identity; takes the place of what was known of it.
    Rhythm(Rhythm),
    /// A run of the daemon; takes the place of what was known of it.
    Run(Run),
    /// Since when a credential's users are learned; takes the place of what was known. The first
    /// [`Write::Located`] of a credential says it, too.
    Learning(Learning),
    /// A user of a credential.
    User(CredentialUser),
    /// The users of a credential are forgotten: a successor has taken over.
    Forgotten(Fingerprint),
    /// An operator allowed the cause of an alert; takes the place of one of the same id.
    Allowed(Box<Exception>),
    /// An operator took that back.
    NotAllowed(Timestamp, String),
    /// An operator said something of a baseline; appended to the history.
    Said(Box<SealedWord>),
    /// What is kept beside the pipeline.
    Keep(Box<Keep>),
}

/// A run of the daemon. One that is not the present one and has no end was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// When it began to watch. Names the run.
    pub started: Timestamp,
    /// Its process.
    pub pid: u32,
    /// The kernel's name for the time since the host was booted.
    pub boot_id: String,
    /// When it was last known to run.
    pub last_seen: Timestamp,
    /// The same moment in nanoseconds since boot, which nobody can set.
    pub last_seen_boot: u64,
    /// When it had said that it ends.
    pub ended: Option<Timestamp>,
}

/// All that a daemon needs to go on where it stopped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The history of the registry, oldest first.
    pub changes: Vec<(Timestamp, RegistryChange)>,
    /// Every file that holds credentials, with when it was found.
    pub files: Vec<(Timestamp, LocatedFile)>,
    /// Credentials that were found once and that no file holds any more, with when they were last
    /// found. What is stored of them is from the copy found last.
    pub gone: Vec<(Timestamp, Credential)>,
    /// The usage map.
    pub usage: Vec<Usage>,
    /// Every identity seen, with its first and its latest act.
    pub identities: Vec<(Selector, Timestamp, Timestamp)>,
    /// Alerts that were still counting repeats, oldest first. The times of an alert's process and
    /// credential come back in whole microseconds, as they are printed.
    pub open_alerts: Vec<Alert>,
    /// Versions that were followed by another.
    pub successions: Vec<Succession>,
    /// What was learned of credentials and identities.
    pub rhythms: Vec<Rhythm>,
    /// When each credential was found for the first time.
    pub first_found: Vec<(Fingerprint, Timestamp)>,
    /// The times between the runs, oldest first.
    pub unwatched: Vec<(Timestamp, Timestamp)>,
    /// The run that began last.
    pub last_run: Option<Run>,
    /// Since when each credential's users are learned, by fingerprint.
    pub learning: Vec<Learning>,
    /// Known users of credentials.
    pub users: Vec<CredentialUser>,
    /// What operators allow, in the order in which they said so.
    pub exceptions: Vec<Exception>,
    /// What operators said of baselines, oldest first.
    pub words: Vec<SealedWord>,
    /// What is kept beside the pipeline.
    pub kept: Kept,
}

/// An open database.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}
