//! Who is behind a pid that fanotify names.

use std::os::fd::AsFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::maps::TaskStorage;
use crate::decode::{self, Clock};
use crate::model::Task;

/// The process `pid`, as the kernel half knows it, with the uids that it has now.
///
/// The process waits in its open while this runs, so neither its pid nor its uids can change; its
/// task storage was written at its last event and may be older than a setuid.
pub(super) fn of(pid: i32, storage: &TaskStorage, clock: &Clock) -> Option<Task> {
    let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    let mut task = decode::task(&storage.get(pidfd.as_fd())?, clock);
    let status = procfs::process::Process::new(pid)
        .and_then(|process| process.status())
        .ok()?;
    task.uid = status.ruid;
    task.euid = status.euid;
    task.gid = status.rgid;
    Some(task)
}
