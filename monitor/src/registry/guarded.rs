//! The system's own files that are known, by inode: whether or not they hold a credential.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::QUEUED;
use crate::model::{FileId, LocatedFile, SystemFile, Timestamp};

/// A file of the system's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardedFile {
    /// What it decides.
    pub kind: SystemFile,
    /// The uid that owns it.
    pub owner: u32,
    /// One of its paths.
    pub path: PathBuf,
}

/// Those that lie somewhere, and those that went a moment ago: an event may still be on its way.
#[derive(Debug, Clone, Default)]
pub(super) struct GuardedFiles {
    present: HashMap<FileId, GuardedFile>,
    departed: HashMap<FileId, (GuardedFile, Timestamp)>,
}

/// Most files that are remembered after they went: they matter for seconds.
const DEPARTED: usize = 1_024;

impl GuardedFiles {
    /// Takes in a file; `false` when it is none of the system's own.
    pub(super) fn locate(&mut self, located: &LocatedFile) -> bool {
        let kinds = located.credentials.iter().map(|of| of.kind);
        let Some(kind) = SystemFile::of(&located.path, kinds) else {
            return false;
        };
        let file = GuardedFile {
            kind,
            owner: located.uid,
            path: located.path.clone(),
        };
        self.departed.remove(&located.file);
        self.present.insert(located.file, file);
        true
    }

    /// Forgets a file at a path; under another path it is told of anew.
    pub(super) fn unlocate(&mut self, file: FileId, path: &Path, now: Timestamp) {
        if self.present.get(&file).is_none_or(|of| of.path != path) {
            return;
        }
        if let Some(gone) = self.present.remove(&file) {
            if self.departed.len() >= DEPARTED {
                self.departed.retain(|_, (_, at)| now.since(*at) <= QUEUED);
            }
            if self.departed.len() < DEPARTED {
                self.departed.insert(file, (gone, now));
            }
        }
    }

    pub(super) fn get(&self, file: FileId) -> Option<&GuardedFile> {
        self.present.get(&file)
    }

    /// The file that lay there at a time.
    pub(super) fn then(&self, file: FileId, time: Timestamp) -> Option<&GuardedFile> {
        let departed = || {
            let (file, at) = self.departed.get(&file)?;
            (time <= *at && at.since(time) <= QUEUED).then_some(file)
        };
        self.present.get(&file).or_else(departed)
    }
}
