//! File systems that are mounted where credentials lie. systemd gives each unit its credentials on one of
//! their own, filled before it is moved in place: no directory that is watched tells of what is in it.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use procfs::process::Process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Where systemd puts them (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS: &str = "/run/credentials";

/// The mounts that are known.
pub(super) struct Mounts {
    /// Polls as urgent whenever the table has changed (proc(5)).
    table: Option<File>,
    known: HashSet<i32>,
}

impl Mounts {
    pub(super) fn new() -> Self {
        Self {
            table: File::open("/proc/self/mountinfo").ok(),
            known: below().into_iter().map(|(id, _)| id).collect(),
        }
    }

    /// Directories that have become mounts since the last call. Asks the kernel for nothing more where
    /// no mount has changed at all.
    pub(super) fn new_ones(&mut self) -> Vec<PathBuf> {
        if !self.has_changed() {
            return Vec::new();
        }
        let now = below();
        let is_new = |(id, _): &&(i32, PathBuf)| !self.known.contains(id);
        let new = now
            .iter()
            .filter(is_new)
            .map(|(_, path)| path.clone())
            .collect();
        self.known = now.into_iter().map(|(id, _)| id).collect();
        new
    }

    fn has_changed(&self) -> bool {
        let Some(table) = &self.table else {
            return false;
        };
        let mut polled = [PollFd::new(table, PollFlags::PRI)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut polled, Some(&at_once)).is_ok_and(|count| count > 0)
    }
}

fn below() -> Vec<(i32, PathBuf)> {
    let mounts = Process::myself().and_then(|process| process.mountinfo());
    let mounts = mounts.map_or_else(|_| Vec::new(), |mounts| mounts.0);
    let below = mounts
        .into_iter()
        .filter(|mount| mount.mount_point.parent() == Some(Path::new(CREDENTIALS)));
    below
        .map(|mount| (mount.mnt_id, mount.mount_point))
        .collect()
}
