//! Who may read the files that credentials lie in.

use std::collections::HashMap;

use crate::model::{FileId, LocatedFile, Timestamp};

/// What the file system says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// The owner's uid.
    pub uid: u32,
    /// The owner's gid.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// The last change of content.
    pub modified: Timestamp,
    /// Whether every account can read it, also by the directories above it.
    pub exposed: bool,
}

/// By inode: all paths of a file have these in common.
#[derive(Debug, Clone, Default)]
pub(super) struct Files(HashMap<FileId, FileFacts>);

impl Files {
    pub(super) fn locate(&mut self, located: &LocatedFile) {
        let is_readable = located.mode & 0o004 != 0;
        let exposed = is_readable && self.get(located.file).is_some_and(|before| before.exposed);
        let facts = FileFacts {
            uid: located.uid,
            gid: located.gid,
            mode: located.mode,
            modified: located.modified,
            exposed,
        };
        self.0.insert(located.file, facts);
    }

    pub(super) fn expose(&mut self, file: FileId) {
        if let Some(facts) = self.0.get_mut(&file) {
            facts.exposed = true;
        }
    }

    pub(super) fn forget(&mut self, file: FileId) {
        self.0.remove(&file);
    }

    pub(super) fn get(&self, file: FileId) -> Option<FileFacts> {
        self.0.get(&file).copied()
    }
}
