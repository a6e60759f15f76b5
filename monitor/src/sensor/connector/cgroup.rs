//! Ids of a process's cgroups: the inodes of their directories, which is what the kernel half calls
//! them too.

use std::path::{Path, PathBuf};

use procfs::ProcessCGroups;

use crate::model::Task;

/// Where cgroups are mounted.
pub(super) struct Hierarchies {
    v2: Option<PathBuf>,
    /// The controller's name and mount point.
    v1: Option<(String, PathBuf)>,
}

impl Hierarchies {
    /// As they are mounted now. The v1 hierarchy is that of memory, or else of pids.
    pub(super) fn find() -> Self {
        let mounts = procfs::process::Process::myself()
            .and_then(|process| process.mountinfo())
            .map_or_else(|_| Vec::new(), |mounts| mounts.0);
        let v2 = mounts
            .iter()
            .find(|mount| mount.fs_type == "cgroup2")
            .map(|mount| mount.mount_point.clone());
        let v1 = ["memory", "pids"].into_iter().find_map(|controller| {
            mounts
                .iter()
                .filter(|mount| mount.fs_type == "cgroup")
                .find(|mount| mount.super_options.contains_key(controller))
                .map(|mount| (controller.to_owned(), mount.mount_point.clone()))
        });
        Self { v2, v1 }
    }

    /// [`Task::cgroup`] and [`Task::cgroup_v1`] of what `/proc/PID/cgroup` says.
    pub(super) fn ids(&self, of: &ProcessCGroups) -> (u64, u64) {
        let v2 = self.v2.as_deref().and_then(|root| {
            let group = of.into_iter().find(|group| group.hierarchy == 0)?;
            inode(root, &group.pathname)
        });
        let v1 = self.v1.as_ref().and_then(|(controller, root)| {
            let group = of
                .into_iter()
                .find(|group| group.controllers.contains(controller))?;
            inode(root, &group.pathname)
        });
        let v1 = v1.map_or(0, |id| id | Task::V1_HIERARCHY);
        (v2.unwrap_or(0), v1)
    }
}

/// `None` for a cgroup that was removed.
fn inode(root: &Path, path: &str) -> Option<u64> {
    let path = root.join(path.trim_start_matches('/'));
    rustix::fs::stat(path).ok().map(|stat| stat.st_ino)
}
