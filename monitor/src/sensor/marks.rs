//! fanotify permission marks on credential files and on directories that are made for them.
//!
//! A mark on an inode sees every open of it, by any path and on any file system, and costs files
//! without a mark nothing. The permission form holds the opener until the daemon has noted who it
//! is: 3,000 of 3,000 opens by processes that exit at once were attributed so. Every open is
//! allowed; when the daemon dies, the kernel closes the group and lets all waiting ones go.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use monitor_common::Hook;
use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyEvent, FanotifyResponse, InitFlags, MarkFlags, MaskFlags,
    Response,
};
use rustix::fs::{FileType, fstat};

use super::actor;
use super::shared::Shared;
use crate::decode::Decoded;
use crate::model::{Access, Fact, FileId, LocatedFile, Record};

/// Looks into an open file and says what credentials it holds.
pub type Inspect = Arc<dyn Fn(&File, &Path) -> Option<LocatedFile> + Send + Sync>;

/// The fanotify group.
pub(super) struct Marks {
    group: Fanotify,
    /// Nobody answers any more, so that a mark would hold its openers for ever.
    ended: RwLock<bool>,
}

impl Marks {
    pub(super) fn new() -> nix::Result<Self> {
        let flags = InitFlags::FAN_CLASS_CONTENT
            | InitFlags::FAN_CLOEXEC
            | InitFlags::FAN_UNLIMITED_QUEUE
            | InitFlags::FAN_UNLIMITED_MARKS;
        let files = EventFFlags::O_RDONLY | EventFFlags::O_LARGEFILE | EventFFlags::O_CLOEXEC;
        Ok(Self {
            group: Fanotify::init(flags, files)?,
            ended: RwLock::new(false),
        })
    }

    /// Marks a credential file. Where the page-cache hooks see no reads, those are held too.
    pub(super) fn add_file(&self, path: &Path) -> nix::Result<()> {
        let mut mask = MaskFlags::FAN_OPEN_PERM;
        if !has_page_cache_reads(path) {
            mask |= MaskFlags::FAN_ACCESS_PERM;
        }
        self.add(MarkFlags::FAN_MARK_ADD, mask, path)
    }

    /// Marks all files that are, or come to be, directly in a directory.
    pub(super) fn add_directory(&self, path: &Path) -> nix::Result<()> {
        let mask = MaskFlags::FAN_OPEN_PERM | MaskFlags::FAN_EVENT_ON_CHILD;
        self.add(
            MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_ONLYDIR,
            mask,
            path,
        )
    }

    /// Takes a file's mark away. It is no error when the file or its mark is gone.
    pub(super) fn remove_file(&self, path: &Path) {
        let mask = MaskFlags::FAN_OPEN_PERM | MaskFlags::FAN_ACCESS_PERM;
        let _ = self.mark(MarkFlags::FAN_MARK_REMOVE, mask, path);
    }

    /// Adds a mark while somebody answers. What the daemon takes in at its end still leads to files,
    /// and it opens some of them itself.
    fn add(&self, flags: MarkFlags, mask: MaskFlags, path: &Path) -> nix::Result<()> {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        if *ended {
            return Ok(());
        }
        self.mark(flags, mask, path)
    }

    fn mark(&self, flags: MarkFlags, mask: MaskFlags, path: &Path) -> nix::Result<()> {
        self.group.mark(flags, mask, rustix::fs::CWD, Some(path))
    }

    /// Answers until the sensor stops. Runs on a thread of its own that opens no file by path, so
    /// it never waits for itself.
    pub(super) fn serve(&self, shared: &Shared, inspect: &Inspect) {
        while !shared.stopping() {
            let readable = readable(self.group.as_fd());
            shared.tell_repeats(false);
            if !readable {
                continue;
            }
            match self.group.read_events() {
                Ok(events) => {
                    for event in events {
                        self.answer(&event, shared, inspect);
                    }
                }
                Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
                Err(error) => {
                    shared.count_mark_error();
                    tracing::warn!(%error, "an open of a watched file could not be taken in");
                }
            }
        }
        self.end();
    }

    /// Takes every mark away and lets all go that wait: the group stays open until the last part of
    /// the daemon lets go of it, and nobody would answer any more, not even the daemon's own opens.
    fn end(&self) {
        *self.ended.write().unwrap_or_else(PoisonError::into_inner) = true;
        let flags = MarkFlags::FAN_MARK_FLUSH;
        if let Err(error) = self.mark(flags, MaskFlags::empty(), Path::new("/")) {
            tracing::warn!(%error, "the marks on credential files are not taken away");
        }
        while readable(self.group.as_fd()) {
            let Ok(events) = self.group.read_events() else {
                return;
            };
            for fd in events.iter().filter_map(FanotifyEvent::fd) {
                let _ = self
                    .group
                    .write_response(FanotifyResponse::new(fd, Response::FAN_ALLOW));
            }
        }
    }

    fn answer(&self, event: &FanotifyEvent, shared: &Shared, inspect: &Inspect) {
        let Some(fd) = event.fd() else {
            shared.count_mark_loss();
            return;
        };
        if u32::try_from(event.pid()) != Ok(shared.own_pid) {
            note(event, fd, shared, inspect);
        }
        // The opener waits for this; an error means that it was killed meanwhile.
        let _ = self
            .group
            .write_response(FanotifyResponse::new(fd, Response::FAN_ALLOW));
    }
}

/// Says who opened which file, before the open goes on.
fn note(event: &FanotifyEvent, fd: BorrowedFd<'_>, shared: &Shared, inspect: &Inspect) {
    let Ok(stat) = fstat(fd) else { return };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return;
    }
    let file = FileId {
        dev: stat.st_dev,
        ino: stat.st_ino,
    };
    let path = path_of(fd);
    let mut facts = Vec::new();
    if !shared.is_watched(file) {
        // A child of a credential directory that nobody has looked into yet.
        let Some(found) = inspect_child(fd, path.as_deref(), &stat, shared, inspect) else {
            return;
        };
        shared.expect_watched(file);
        facts.push(Fact::Located(found));
    }
    shared.count_mark_event();
    if facts.is_empty() && shared.is_repeated(event.pid(), file) {
        return;
    }
    let (clock, time) = shared.now();
    let Some(task) = u32::try_from(event.pid())
        .ok()
        .and_then(|pid| actor::of(pid, shared, &clock))
    else {
        shared.count_mark_error();
        return;
    };
    let access = if event.mask().contains(MaskFlags::FAN_ACCESS_PERM) {
        Access::Read
    } else {
        Access::Open
    };
    let path = path.map(|path| path.to_string_lossy().into_owned());
    let count = 1 + shared.told(event.pid(), file, &task);
    facts.push(Fact::FileAccess {
        task,
        file,
        access,
        path,
        count,
    });
    shared.push(
        Hook::FileOpen,
        facts
            .into_iter()
            .map(|fact| Decoded::Fact(Record { time, fact })),
    );
}

fn inspect_child(
    fd: BorrowedFd<'_>,
    path: Option<&Path>,
    stat: &rustix::fs::Stat,
    shared: &Shared,
    inspect: &Inspect,
) -> Option<LocatedFile> {
    if shared.is_known_clean(stat) {
        return None;
    }
    let copy = fd.try_clone_to_owned().ok()?;
    let found = inspect(&File::from(copy), path?);
    if found.is_none() {
        shared.set_known_clean(stat);
    }
    found
}

fn path_of(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()
}

/// Waits for at most a quarter of a second, so that a stop is noticed.
fn readable(fd: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: 250_000_000,
    };
    poll(&mut fds, Some(&timeout)).is_ok_and(|ready| ready > 0)
}

/// Whether the kernel's own programs know a file by another device number than stat(2) gives: btrfs
/// has one for each subvolume.
pub(super) fn has_own_devices(path: &Path) -> bool {
    const BTRFS: i64 = 0x9123_683e;
    rustix::fs::statfs(path).is_ok_and(|fs| fs.f_type == BTRFS)
}

/// Whether reads of this file go through `mm_filemap_get_pages`. tmpfs and ramfs bring their own
/// read path.
pub(super) fn has_page_cache_reads(path: &Path) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    rustix::fs::statfs(path).is_ok_and(|fs| ![TMPFS, RAMFS].contains(&fs.f_type))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_mark_that_comes_after_the_end_holds_nobody() {
        // Permission marks are for root.
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let marks = Marks::new().unwrap();
        marks.end();
        let file = tempfile::NamedTempFile::new().unwrap();
        marks.add_file(file.path()).unwrap();
        let (opened, waits) = mpsc::channel();
        let path = file.path().to_owned();
        let opener = std::thread::spawn(move || {
            let _ = opened.send(File::open(path).is_ok());
        });
        let was_opened = waits.recv_timeout(Duration::from_secs(5));
        // Lets go of whoever waits, whatever came out.
        drop(marks);
        opener.join().unwrap();
        assert_eq!(was_opened, Ok(true));
    }
}
