//! Files with credentials, by handle: when one leaves its path, this says where it went. Renamed
//! out of every watched directory it would be lost else; and a secret whose content has no known
//! shape cannot be found again by it.

use std::collections::HashMap;

use super::look;
use crate::model::{Credential, CredentialKind, FileId, LocatedFile};
use crate::sensor::handle::{FileHandle, Whereabouts};

/// Most files that are followed: some 200 bytes each, and their names.
const CAPACITY: usize = 65_536;

#[derive(Default)]
pub(super) struct Followed {
    files: HashMap<FileId, (FileHandle, LocatedFile)>,
    /// How many of them have a secret without a shape: nobody else tells when those move.
    opaque: usize,
}

pub(super) fn is_opaque(located: &LocatedFile) -> bool {
    let opaque = |held: &Credential| held.kind == CredentialKind::Opaque;
    located.credentials.iter().any(opaque)
}

impl Followed {
    /// Whether any secret without a shape is known.
    pub(super) fn has_opaque(&self) -> bool {
        self.opaque > 0
    }

    /// Follows a file, or learns its present path.
    pub(super) fn follow(&mut self, located: &LocatedFile) {
        self.forget(located.file);
        if self.files.len() >= CAPACITY {
            return;
        }
        if let Ok(handle) = FileHandle::of(&located.path, located.file) {
            self.opaque += usize::from(is_opaque(located));
            self.files.insert(located.file, (handle, located.clone()));
        }
    }

    pub(super) fn forget(&mut self, file: FileId) {
        if let Some((_, located)) = self.files.remove(&file) {
            self.opaque -= usize::from(is_opaque(&located));
        }
    }

    /// Whether this is what a deleted file held, found by a look that had begun before.
    pub(super) fn is_past(&self, located: &LocatedFile) -> bool {
        let before = self.files.get(&located.file);
        let is_same = before.is_some_and(|(_, before)| {
            before.modified == located.modified && before.credentials == located.credentials
        });
        is_same && self.is_deleted(located.file)
    }

    /// Where a file is now, with what it held when it was last looked at; `None` when it is deleted
    /// or was not followed.
    pub(super) fn find(&self, file: FileId) -> Option<(Whereabouts, LocatedFile)> {
        let (handle, located) = self.files.get(&file)?;
        match handle.whereabouts() {
            Whereabouts::Gone => None,
            whereabouts => Some((whereabouts, located.clone())),
        }
    }

    /// Whether a followed file is deleted: its inode number may be another file's by now.
    pub(super) fn is_deleted(&self, file: FileId) -> bool {
        let followed = self.files.get(&file);
        followed.is_some_and(|(handle, _)| handle.whereabouts() == Whereabouts::Gone)
    }

    /// Secrets without a shape that are no longer at their path.
    pub(super) fn moved_opaque(&self) -> Vec<LocatedFile> {
        if self.opaque == 0 {
            return Vec::new();
        }
        let files = self.files.iter();
        files
            .filter(|(file, (_, located))| is_opaque(located) && !look::is(&located.path, **file))
            .map(|(_, (_, located))| located.clone())
            .collect()
    }
}
