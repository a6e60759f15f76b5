//! One process as /proc shows it.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use procfs::process::{Stat, Status};
use procfs::{FromRead, ProcessCGroups};
use rustix::fs::{AtFlags, Mode, OFlags, openat, readlinkat, statat};

use crate::model::FileId;

/// Longest file of /proc/PID that is read here.
const LONGEST: u64 = 16 << 10;

/// A process's directory in /proc. It stays that of the one process: when that is gone, what is
/// read from here fails, though the pid may be another's by then.
pub(super) struct ProcessDirectory {
    fd: OwnedFd,
}

/// What a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Executable {
    pub(super) file: FileId,
    /// As the kernel names it, without its mark for a file that was removed.
    pub(super) path: String,
}

/// The ids that name who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) uid: u32,
    pub(super) euid: u32,
    pub(super) gid: u32,
}

impl ProcessDirectory {
    /// `None` when there is no such process.
    pub(super) fn open(pid: u32) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = format!("/proc/{pid}");
        openat(rustix::fs::CWD, path, flags, Mode::empty())
            .ok()
            .map(|fd| Self { fd })
    }

    pub(super) fn stat(&self) -> Option<Stat> {
        Stat::from_read(self.content("stat")?.as_slice()).ok()
    }

    /// `None` for a kernel thread, and for a process that has ended.
    pub(super) fn executable(&self) -> Option<Executable> {
        let link = readlinkat(&self.fd, "exe", Vec::new()).ok()?;
        let stat = statat(&self.fd, "exe", AtFlags::empty()).ok()?;
        let path = link.to_string_lossy();
        // A file that is there may bear a name that ends so.
        let path = match path.strip_suffix(" (deleted)") {
            Some(path) if stat.st_nlink == 0 => path.to_owned(),
            _ => path.into_owned(),
        };
        let file = FileId {
            dev: stat.st_dev,
            ino: stat.st_ino,
        };
        Some(Executable { file, path })
    }

    pub(super) fn ids(&self) -> Option<Ids> {
        let status = Status::from_read(self.content("status")?.as_slice()).ok()?;
        Some(Ids {
            uid: status.ruid,
            euid: status.euid,
            gid: status.rgid,
        })
    }

    pub(super) fn cgroups(&self) -> Option<ProcessCGroups> {
        ProcessCGroups::from_read(self.content("cgroup")?.as_slice()).ok()
    }

    /// The uid that logged in and the audit session. `None` each where no login was audited, or the
    /// kernel audits none.
    pub(super) fn login(&self) -> (Option<u32>, Option<u32>) {
        (self.number("loginuid"), self.number("sessionid"))
    }

    fn number(&self, name: &str) -> Option<u32> {
        let content = self.content(name)?;
        let number = str::from_utf8(&content).ok()?.trim().parse().ok()?;
        (number != u32::MAX).then_some(number)
    }

    fn content(&self, name: &str) -> Option<Vec<u8>> {
        let file = openat(&self.fd, name, OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut content = Vec::with_capacity(2_048);
        File::from(file)
            .take(LONGEST)
            .read_to_end(&mut content)
            .ok()?;
        Some(content)
    }
}

/// The name of a controlling terminal, such as `pts0`, from its device as `/proc/PID/stat` has it.
pub(super) fn terminal(stat: &Stat) -> Option<String> {
    /// The majors of pseudo terminals, 256 to each, from `Documentation/admin-guide/devices.txt`.
    const PTS: std::ops::RangeInclusive<i32> = 136..=143;
    let (major, minor) = stat.tty_nr();
    match major {
        0 => None,
        major if PTS.contains(&major) => {
            Some(format!("pts{}", (major - PTS.start()) * 256 + minor))
        }
        major => {
            let link = std::fs::read_link(format!("/sys/dev/char/{major}:{minor}")).ok()?;
            Some(link.file_name()?.to_string_lossy().into_owned())
        }
    }
}
