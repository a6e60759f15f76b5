//! Who is behind a pid that fanotify names.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::shared::Shared;
use crate::decode::{self, Clock};
use crate::model::Task;

/// The process `pid`, as the kernel half knows it, with the uids that it has now.
///
/// The process waits in its open while this runs, so neither its pid nor its uids can change; its
/// task storage was written at its last event and may be older than a setuid.
pub(super) fn of(pid: u32, shared: &Shared, clock: &Clock) -> Option<Task> {
    if let Some(processes) = shared.processes() {
        return processes.of(pid, clock);
    }
    let number = i32::try_from(pid).ok()?;
    let pidfd = pidfd_open(Pid::from_raw(number)?, PidfdFlags::empty()).ok()?;
    let known = shared.tasks.get(pid, pidfd.as_fd())?;
    let mut task = decode::task(&known, clock);
    let ids = pidfd_ids(pidfd.as_fd()).or_else(|| proc_ids(number))?;
    (task.uid, task.euid, task.gid) = ids;
    Some(task)
}

/// The path of what a process runs, while it runs that: for kernels that do not let the kernel half
/// read names.
pub(super) fn executable(task: &Task) -> Option<String> {
    let link = format!("/proc/{}/exe", task.pid);
    let metadata = std::fs::metadata(&link).ok()?;
    let same = (metadata.dev(), metadata.ino()) == (task.exe.dev, task.exe.ino);
    let path = std::fs::read_link(link).ok().filter(|_| same)?;
    Some(path.to_string_lossy().into_owned())
}

/// Real uid, effective uid and real gid in one call: Linux 6.13.
fn pidfd_ids(pidfd: BorrowedFd<'_>) -> Option<(u32, u32, u32)> {
    /// The first form of `struct pidfd_info`; a newer kernel fills this much of its own.
    #[repr(C)]
    #[derive(Default)]
    struct PidfdInfo {
        mask: u64,
        cgroup: u64,
        pid: u32,
        tgid: u32,
        ppid: u32,
        ruid: u32,
        rgid: u32,
        euid: u32,
        egid: u32,
        suid: u32,
        sgid: u32,
        fsuid: u32,
        fsgid: u32,
        exit_code: i32,
    }
    const _: () = assert!(size_of::<PidfdInfo>() == 64);
    const PIDFD_INFO_CREDS: u64 = 1 << 1;
    /// `_IOWR(0xFF, 11, struct pidfd_info)` of that form.
    const PIDFD_GET_INFO: libc::Ioctl = 0xc040_ff0b;

    let mut info = PidfdInfo {
        mask: PIDFD_INFO_CREDS,
        ..PidfdInfo::default()
    };
    // SAFETY: the request writes 64 bytes to `info`, which has them and lives through the call.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    (result == 0 && info.mask & PIDFD_INFO_CREDS != 0).then_some((info.ruid, info.euid, info.rgid))
}

/// The same on older kernels, at some thirty times the price.
fn proc_ids(pid: i32) -> Option<(u32, u32, u32)> {
    let status = procfs::process::Process::new(pid)
        .and_then(|process| process.status())
        .ok()?;
    Some((status.ruid, status.euid, status.rgid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_name_the_same_ids() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let own = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
        let by_proc = proc_ids(pid).unwrap();
        assert_eq!(by_proc.0, rustix::process::getuid().as_raw());
        // Older kernels have only the one way.
        if let Some(by_pidfd) = pidfd_ids(own.as_fd()) {
            assert_eq!(by_pidfd, by_proc);
        }
    }
}
