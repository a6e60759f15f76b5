//! Which programs are those of this host: what lies at the path by which a process runs its own.
//! A process may have mounts of its own, and a file of its own at `/usr/bin/ssh`.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::model::{Fact, FileId, Task};

/// Most programs that are remembered as told, before all are told anew when they are met. At most
/// what the other side keeps.
const PROGRAMS: usize = 16_384;

/// What was told already.
#[derive(Default)]
pub(super) struct Programs {
    told: HashSet<(FileId, String)>,
}

impl Programs {
    /// The fact about a process's program, when it was not told yet and is this host's.
    pub(super) fn tell(&mut self, task: &Task, path: &str) -> Option<Fact> {
        let key = (task.exe, path.to_owned());
        if self.told.contains(&key) {
            return None;
        }
        let metadata = at(task, Path::new(path))?;
        if self.told.len() >= PROGRAMS {
            self.told.clear();
        }
        self.told.insert(key);
        Some(Fact::Program {
            file: task.exe,
            path: path.to_owned(),
            owner: metadata.uid(),
            mode: metadata.mode() & 0o7777,
        })
    }
}

/// The program of a process, if it is what lies at this path, or what lay there until an upgrade
/// put another in its place.
fn at(task: &Task, path: &Path) -> Option<Metadata> {
    if !path.is_absolute() {
        return None;
    }
    let there = fs::metadata(path).ok();
    if let Some(there) = there.filter(|there| is(there, task.exe, path)) {
        return Some(there);
    }
    let own = fs::metadata(format!("/proc/{}/exe", task.pid)).ok()?;
    // Nothing lies at a deleted file's path to compare it with. On the host's own file system only
    // root can have made a file of root's, wherever it was mounted.
    let is_roots = own.uid() == 0 && own.mode() & 0o022 == 0;
    let directory = path.parent()?;
    let same_device = fs::metadata(directory).is_ok_and(|of| of.dev() == own.dev());
    (own.nlink() == 0 && is_roots && same_device && is(&own, task.exe, directory)).then_some(own)
}

/// Whether metadata speaks of an inode that the kernel half named by its file system's own device.
pub(super) fn is(metadata: &Metadata, file: FileId, path: &Path) -> bool {
    metadata.ino() == file.ino && (metadata.dev() == file.dev || is_mounted(file.dev, path))
}

/// Whether a path lies on the file system of a device. Some file systems give `st_dev` another
/// number than the kernel has for them: btrfs for each subvolume, overlayfs for each layer.
fn is_mounted(device: u64, path: &Path) -> bool {
    let device = format!(
        "{}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    );
    let mounts = procfs::process::Process::myself().and_then(|process| process.mountinfo());
    let mounts = mounts.map_or_else(|_| Vec::new(), |mounts| mounts.0);
    // Of mounts at one place the last is on top.
    let over = mounts
        .into_iter()
        .filter(|mount| path.starts_with(&mount.mount_point))
        .max_by_key(|mount| mount.mount_point.components().count());
    over.is_some_and(|mount| mount.majmin == device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn task(exe: FileId) -> Task {
        Task {
            pid: std::process::id(),
            start: Timestamp(0),
            ppid: 0,
            parent_start: Timestamp(0),
            uid: 0,
            euid: 0,
            gid: 0,
            login_uid: None,
            session: None,
            cgroup: 0,
            cgroup_v1: 0,
            exe,
            tty: None,
        }
    }

    #[test]
    fn a_program_is_told_once_and_only_by_its_own_inode() {
        let path = fs::canonicalize("/bin/sh").unwrap();
        let metadata = fs::metadata(&path).unwrap();
        let file = FileId {
            dev: metadata.dev(),
            ino: metadata.ino(),
        };
        let mut programs = Programs::default();
        let path = path.to_str().unwrap();
        let other = FileId {
            ino: file.ino + 1,
            ..file
        };
        assert_eq!(programs.tell(&task(other), path), None);
        let elsewhere = FileId {
            dev: file.dev + 77,
            ..file
        };
        assert_eq!(programs.tell(&task(elsewhere), path), None);
        let told = Fact::Program {
            file,
            path: path.to_owned(),
            owner: 0,
            mode: metadata.mode() & 0o7777,
        };
        assert_eq!(programs.tell(&task(file), path), Some(told));
        assert_eq!(programs.tell(&task(file), path), None);
        assert_eq!(programs.tell(&task(file), "bin/sh"), None);
    }
}
