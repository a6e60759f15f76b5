//! Declared secrets whose content has no known shape. When one is moved, nothing in its bytes
//! leads to it, so its inode is held open (without the right to read) and asked where it is now.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};

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

    /// Every file that is no longer where it was last known, with where it is now; `None` when it
    /// is deleted. A deleted one is let go.
    pub(super) fn moves(&mut self) -> Vec<(LocatedFile, Option<LocatedFile>)> {
        let mut moves = Vec::new();
        self.0.retain(|file, (fd, located)| {
            if look::is(&located.path, *file) {
                return true;
            }
            let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
            let now = std::fs::read_link(link).ok();
            let now = now.filter(|path| look::is(path, *file));
            let from = located.clone();
            if let Some(path) = &now {
                located.path.clone_from(path);
            }
            moves.push((from, now.is_some().then(|| located.clone())));
            now.is_some()
        });
        moves
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
        let moves = files.moves();
        let [(from, Some(to))] = moves.as_slice() else {
            panic!("it was moved: {moves:?}");
        };
        assert_eq!((&from.path, &to.path), (&old, &new));
        assert!(files.moves().is_empty());
        std::fs::remove_file(&new).unwrap();
        assert!(matches!(&files.moves()[..], [(from, None)] if from.path == new));
        assert!(files.is_empty());
    }
}
