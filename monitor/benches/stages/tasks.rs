//! Processes for the benchmarks.

use monitor::model::{FileId, Task, Timestamp};

/// Process `pid`, each a child of the one an eighth of its way down.
pub(super) fn task(pid: u32) -> Task {
    let ppid = pid / 8;
    Task {
        pid,
        start: start(pid),
        ppid,
        parent_start: start(ppid),
        uid: 1000 + pid % 5,
        euid: 1000 + pid % 5,
        gid: 1000,
        login_uid: pid.is_multiple_of(3).then_some(1000),
        session: None,
        cgroup: u64::from(pid % 100) + 1,
        cgroup_v1: 0,
        exe: FileId { dev: 1, ino: 5 },
        tty: pid.is_multiple_of(3).then(|| "pts0".to_owned()),
    }
}

fn start(pid: u32) -> Timestamp {
    Timestamp(1_777_644_200_000_000_000 + i64::from(pid))
}
