//! Declared secrets whose content has no known shape. When one is moved, nothing in its bytes
//! leads to it, so its inode is held open (without the right to read) and asked where it is now.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

use super::look;
use crate::model::{CredentialKind, FileId, LocatedFile};

/// Most files that are held: each takes a descriptor.
const CAPACITY: usize = 256;

#[derive(Default)]
pub(super) struct OpaqueFiles(HashMap<FileId, (OwnedFd, LocatedFile)>);

impl OpaqueFiles {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Holds a file, if it is one of these.
    pub(super) fn hold(&mut self, located: &LocatedFile) {
        let opaque = |held: &crate::model::Credential| held.kind == CredentialKind::Opaque;
        if !located.credentials.iter().any(opaque)
            || (self.0.len() >= CAPACITY && !self.0.contains_key(&located.file))
        {
            return;
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if let Ok(fd) = open(&located.path, flags, Mode::empty()) {
            self.0.insert(located.file, (fd, located.clone()));
        }
    }

    /// Where a file is now that left `from`; `None` when it is deleted, or none of these.
    pub(super) fn moved(&mut self, file: FileId, from: &Path) -> Option<LocatedFile> {
        let (fd, located) = self.0.get(&file)?;
        let now = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
        if now != from && look::is(&now, file) {
            return Some(LocatedFile {
                path: now,
                ..located.clone()
            });
        }
        if File::open(&now).is_err() {
            self.0.remove(&file);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::model::{Credential, Fingerprint, Timestamp};

    #[test]
    fn follows_a_file_and_lets_go_of_a_deleted_one() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        std::fs::write(&old, "x").unwrap();
        let metadata = std::fs::metadata(&old).unwrap();
        let file = FileId {
            dev: metadata.dev(),
            ino: metadata.ino(),
        };
        let mut files = OpaqueFiles::default();
        files.hold(&LocatedFile {
            file,
            path: old.clone(),
            uid: 0,
            gid: 0,
            mode: 0o600,
            modified: Timestamp(0),
            credentials: vec![Credential {
                fingerprint: Fingerprint::new("hmac:x"),
                kind: CredentialKind::Opaque,
                label: None,
                subject: None,
                issued: None,
                expires: None,
            }],
        });
        std::fs::rename(&old, &new).unwrap();
        assert_eq!(files.moved(file, &old).map(|at| at.path), Some(new.clone()));
        std::fs::remove_file(&new).unwrap();
        assert_eq!(files.moved(file, &new), None);
        assert!(files.is_empty());
    }
}
