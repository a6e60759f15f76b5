//! Handles of files: a name for an inode that survives renames, costs no descriptor, keeps no file
//! system busy, and is not taken for another file that gets the same inode number later.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::model::FileId;

/// Room for the longest handle that any file system makes.
const BYTES: usize = libc::MAX_HANDLE_SZ as usize;

/// `struct file_handle` with its room.
#[repr(C)]
#[derive(Clone)]
struct Raw {
    bytes: u32,
    kind: i32,
    handle: [u8; BYTES],
}

/// A handle of one file.
#[derive(Clone)]
pub struct FileHandle {
    raw: Raw,
    mount: i32,
}

/// Where a file is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    /// At this path of the daemon's mount namespace.
    At(PathBuf),
    /// It exists, and no path to it is known.
    Somewhere,
    /// It was deleted, or its file system is gone.
    Gone,
}

impl FileHandle {
    /// Takes the handle of the file at `path`, which is taken for `file`; a symbolic link is not followed.
    ///
    /// # Errors
    /// When the path is gone, another file lies there by now, or the file system makes no handles
    /// (overlayfs, most often).
    pub fn of(path: &Path, file: FileId) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let there = rustix::fs::open(path, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&there)?;
        if (stat.st_dev, stat.st_ino) != (file.dev, file.ino) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut raw = Raw {
            bytes: BYTES as u32,
            kind: 0,
            handle: [0; BYTES],
        };
        let mut mount = 0;
        // SAFETY: the descriptor is open and the path a C string; `raw` begins like `struct file_handle`
        // and has the room that its `bytes` says; `mount` is an int. All live through the call.
        let result = unsafe {
            libc::name_to_handle_at(
                there.as_raw_fd(),
                c"".as_ptr(),
                (&raw mut raw).cast(),
                &raw mut mount,
                libc::AT_EMPTY_PATH,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { raw, mount })
    }

    /// Finds the file. Needs CAP_DAC_READ_SEARCH.
    pub fn whereabouts(&self) -> Whereabouts {
        let Some(file) = self.open() else {
            return Whereabouts::Gone;
        };
        match rustix::fs::fstat(&file) {
            Ok(stat) if stat.st_nlink > 0 => {}
            _ => return Whereabouts::Gone,
        }
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let path = std::fs::read_link(link).ok();
        let here = |path: &PathBuf| same_file(path, &file);
        path.filter(here)
            .map_or(Whereabouts::Somewhere, Whereabouts::At)
    }

    fn open(&self) -> Option<OwnedFd> {
        let mounts = procfs::process::Process::myself()
            .and_then(|process| process.mountinfo())
            .ok()?;
        let mount = mounts.into_iter().find(|of| of.mnt_id == self.mount)?;
        let mount = File::open(mount.mount_point).ok()?;
        let mut raw = self.raw.clone();
        // SAFETY: `raw` is as name_to_handle_at filled it, `mount` is open through the call, and
        // the descriptor that comes back is ours alone.
        unsafe {
            let fd = libc::open_by_handle_at(
                mount.as_raw_fd(),
                (&raw mut raw).cast(),
                libc::O_PATH | libc::O_CLOEXEC,
            );
            (fd >= 0).then(|| OwnedFd::from_raw_fd(fd))
        }
    }
}

fn same_file(path: &Path, file: &OwnedFd) -> bool {
    let there = rustix::fs::lstat(path);
    let here = rustix::fs::fstat(file);
    matches!((there, here), (Ok(there), Ok(here))
        if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_file_until_it_is_deleted() {
        // Not every /tmp is on a file system with handles; this one's tests run on such.
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("deep/new"));
        std::fs::create_dir(dir.path().join("deep")).unwrap();
        std::fs::write(&old, "x").unwrap();
        let id = |path: &Path| {
            let stat = rustix::fs::stat(path).unwrap();
            FileId {
                dev: stat.st_dev,
                ino: stat.st_ino,
            }
        };
        let handle = FileHandle::of(&old, id(&old)).unwrap();
        assert!(FileHandle::of(&old, id(dir.path())).is_err());
        if rustix::process::getuid().is_root() {
            assert_eq!(handle.whereabouts(), Whereabouts::At(old.clone()));
            std::fs::rename(&old, &new).unwrap();
            assert_eq!(handle.whereabouts(), Whereabouts::At(new.clone()));
            std::fs::remove_file(&new).unwrap();
            std::fs::write(&old, "another, perhaps at the same inode number").unwrap();
            assert_eq!(handle.whereabouts(), Whereabouts::Gone);
        }
    }
}
