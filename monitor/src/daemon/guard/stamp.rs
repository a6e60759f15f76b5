//! What lies at a path, by a stat. Own files are never opened: closing a descriptor of the database
//! would let go of SQLite's locks.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::model::Timestamp;

/// One file at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::daemon) struct Stamp {
    dev: u64,
    ino: u64,
    pub(super) uid: u32,
    gid: u32,
    mode: u32,
    pub(super) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The file itself, also where it is a link.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        std::fs::symlink_metadata(path).map(|metadata| Self::from(&metadata))
    }

    /// The file that a link leads to.
    pub(in crate::daemon) fn followed(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self::from(&metadata))
    }

    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }

    pub(super) fn has_same_owner_and_mode(&self, other: &Self) -> bool {
        (self.uid, self.gid, self.mode) == (other.uid, other.gid, other.mode)
    }

    pub(super) fn has_same_content(&self, other: &Self) -> bool {
        (self.size, self.modified) == (other.size, other.modified)
    }

    /// Whose file it is and when it was written: all that is known of who did it.
    pub(in crate::daemon) fn whose(&self) -> String {
        let (seconds, nanoseconds) = self.modified;
        let modified = Timestamp(
            Timestamp::from_unix_seconds(seconds)
                .0
                .saturating_add(nanoseconds),
        );
        format!("owner {}, modified {modified}", user(self.uid))
    }

    /// `root:0 0600`
    pub(super) fn access(&self) -> String {
        format!("{}:{} {:04o}", user(self.uid), self.gid, self.mode & 0o7777)
    }
}

impl From<&Metadata> for Stamp {
    fn from(of: &Metadata) -> Self {
        Self {
            dev: of.dev(),
            ino: of.ino(),
            uid: of.uid(),
            gid: of.gid(),
            mode: of.mode(),
            size: of.size(),
            modified: (of.mtime(), of.mtime_nsec()),
            changed: (of.ctime(), of.ctime_nsec()),
        }
    }
}

fn user(uid: u32) -> String {
    uzers::get_user_by_uid(uid).map_or_else(
        || format!("uid {uid}"),
        |user| user.name().to_string_lossy().into_owned(),
    )
}
