//! What can go wrong with the database, in words that say what to do next.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// What every function of this module returns.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// Why the database could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no database where one is to be read.
    #[error(
        "there is no database at {path}: nothing was recorded there yet. Start `credwatch run`, \
         or name another directory with --state-dir"
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The state directory or a file in it could not be made or opened.
    #[error("cannot {doing} {path}: {source}{}", hint(source))]
    Io {
        /// What was being done: `open`, `create`.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could put their own database into the state directory.
    #[error(
        "the state directory {path} {problem}: give it to the user that runs credwatch with \
         `chown`, and `chmod 0700` it"
    )]
    UnsafeDirectory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A later version wrote the database.
    #[error(
        "{path} was written by a newer credwatch (its schema is {found}, this program knows up to \
         {known}): install that version again, or move the database away to start a new one"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema's number.
        found: u32,
        /// The newest schema that this program knows.
        known: u32,
    },
    /// An earlier version wrote the database, and it was opened for reading only.
    #[error(
        "{path} was written by an older credwatch (its schema is {found}, this program reads \
         {known}): start `credwatch run` once, which brings it up to date"
    )]
    Older {
        /// The database.
        path: PathBuf,
        /// Its schema's number.
        found: u32,
        /// The schema that this program reads.
        known: u32,
    },
    /// Another program's database lies there.
    #[error(
        "{path} is an SQLite database, but not credwatch's: move it away, or name another \
         directory with --state-dir"
    )]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// The database is damaged. It is never replaced by an empty one: it holds what was retired.
    #[error(
        "the database {path} is damaged ({detail}): keep a copy of it, then restore a backup or \
         try `sqlite3 {path} .recover`; moving it and its -wal file away starts an empty one, \
         which knows nothing of what was retired"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// No space is left.
    #[error(
        "the disk that holds {path} is full: free some space; what could not be written is \
         tried again"
    )]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// Anything else that SQLite said.
    #[error("cannot {doing} the database {path}: {source}")]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A value that cannot be stored as it is.
    #[error("cannot store {what}: {source}")]
    Encode {
        /// What kind of value.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The storage thread has ended.
    #[error("the database is closed already")]
    Closed,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => " (run this as root, or as the user that owns it)",
        _ => "",
    }
}

impl StorageError {
    /// Sorts what SQLite says into the errors above.
    pub(super) fn sqlite(doing: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged {
                path,
                detail: source.to_string(),
            },
            _ => Self::Sqlite {
                doing,
                path,
                source,
            },
        }
    }

    /// Whether the same write may succeed later: the disk is full or failing, or another process
    /// holds the database. False where the write itself is what cannot be stored.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Sqlite { source, .. } => !matches!(
                source.sqlite_error_code(),
                Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
                    | None
            ),
            _ => false,
        }
    }
}
