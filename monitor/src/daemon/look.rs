//! Where a file lies that the kernel half saw: from a device and a path below its file system's
//! root to a path that the daemon can open.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::model::FileId;

/// Every path of the daemon's mount namespace at which this inode lies, the likeliest first.
pub(super) fn paths(file: FileId, below_root: &str) -> Vec<PathBuf> {
    // A walk that was cut short cannot be resolved.
    let Some(below_root) = below_root.strip_prefix('/') else {
        return Vec::new();
    };
    let Ok(mounts) = procfs::process::Process::myself().and_then(|process| process.mountinfo())
    else {
        return Vec::new();
    };
    let device = format!(
        "{}:{}",
        rustix::fs::major(file.dev),
        rustix::fs::minor(file.dev)
    );
    let below_root = Path::new("/").join(below_root);
    mounts
        .into_iter()
        .filter(|mount| mount.majmin == device)
        .filter_map(|mount| {
            // A bind mount shows a part of the file system only.
            let below = below_root.strip_prefix(&mount.root).ok()?;
            Some(mount.mount_point.join(below))
        })
        .filter(|path| is(path, file))
        .collect()
}

/// Whether this inode lies at a path.
pub(super) fn is(path: &Path, file: FileId) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| id(&metadata) == file)
}

/// A directory's inode.
pub(super) fn directory_id(path: &Path) -> Option<FileId> {
    let metadata = std::fs::metadata(path).ok()?;
    metadata.is_dir().then(|| id(&metadata))
}

/// The inode to which a path leads.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|metadata| id(&metadata))
}

fn id(metadata: &Metadata) -> FileId {
    FileId {
        dev: metadata.dev(),
        ino: metadata.ino(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_file_by_its_device_and_inode() {
        let path = Path::new("/etc/passwd");
        let file = file_id(path).unwrap();
        assert!(paths(file, "/etc/passwd").contains(&path.to_owned()));
        assert!(paths(file, "…/passwd").is_empty());
        assert!(paths(file, "/etc/group").is_empty());
    }
}
