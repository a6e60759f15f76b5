//! Adds what only the host knows, as facts before the fact that needs it: names of uids, paths of
//! cgroups, and containers.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::accounts::Accounts;
use super::containers::Containers;
use super::digests::Digests;
use super::jobs::Jobs;
use super::programs::Programs;
use crate::credential::FingerprintKey;
use crate::model::{Fact, Origin, Record, Task};

/// Most cgroups whose path is remembered as told, before all are told anew when they are met.
const CGROUPS: usize = 65_536;
/// How long a cgroup that was not found is not looked for again.
const RETRY: Duration = Duration::from_millis(200);
/// How long a new cgroup may turn out to be a container's, and how often that is asked at the most.
const PERHAPS: Duration = Duration::from_secs(3);
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// Most new cgroups that are asked about without anything happening in them.
const ASKED: usize = 64;
/// Deepest cgroup below its hierarchy's root.
const DEEPEST: usize = 16;

/// What was told already.
pub(super) struct Enricher {
    accounts: Accounts,
    cgroups: HashMap<u64, Seen>,
    /// Those that are perhaps a container's, the oldest in front. They are asked about also while nothing
    /// happens in them: a container that waits, acts once and ends has taken its runtime's state along
    /// when its act is told.
    perhaps: VecDeque<u64>,
    containers: Containers,
    /// `None` where no digest is configured.
    digests: Option<Digests>,
    /// `None` where environments are not to be read.
    jobs: Option<Jobs>,
    missed: HashMap<u64, Instant>,
    hierarchies: Hierarchies,
    programs: Programs,
}

/// What a cgroup that was told of is.
enum Seen {
    /// Not a container's.
    Plain,
    /// Perhaps one's: runtimes make the cgroup first and write their state down later.
    Perhaps {
        path: String,
        since: Instant,
        asked: Instant,
    },
    /// A container's.
    Of(String),
}

impl Seen {
    /// What a cgroup of this path is now.
    fn new(path: &str, containers: &Containers) -> Self {
        match containers.named(path) {
            Some(container) => Self::Of(container),
            None => Self::Perhaps {
                path: path.to_owned(),
                since: Instant::now(),
                asked: Instant::now(),
            },
        }
    }

    /// Whether it turned out to be a container's, where that was open and it is time to ask: something
    /// happened in it, or as much time has passed since it was asked as before that.
    fn ask(&mut self, containers: &Containers, is_act: bool) {
        let Self::Perhaps { path, since, asked } = self else {
            return;
        };
        let before = asked.duration_since(*since);
        let rest = if is_act {
            ASK_AGAIN
        } else {
            before.max(ASK_AGAIN)
        };
        if asked.elapsed() <= rest {
            return;
        }
        *asked = Instant::now();
        if let Some(container) = containers.named(path) {
            *self = Self::Of(container);
        } else if since.elapsed() > PERHAPS {
            *self = Self::Plain;
        }
    }
}

/// Where cgroups are mounted.
struct Hierarchies {
    v2: Option<PathBuf>,
    /// The controller's name and mount point.
    v1: Option<(String, PathBuf)>,
}

impl Enricher {
    pub(super) fn new(
        key: Arc<FingerprintKey>,
        reads_jobs: bool,
        digests: Option<Digests>,
    ) -> Self {
        Self {
            accounts: Accounts::default(),
            cgroups: HashMap::new(),
            perhaps: VecDeque::new(),
            containers: Containers::new(key),
            digests,
            jobs: reads_jobs.then(Jobs::default),
            missed: HashMap::new(),
            hierarchies: Hierarchies::find(),
            programs: Programs::default(),
        }
    }

    /// Takes digests from now on, also of the programs that run already.
    ///
    /// # Errors
    /// When the system has no room for the threads.
    pub(super) fn take_digests<'a>(
        &mut self,
        running: impl Iterator<Item = (&'a Task, &'a str)>,
    ) -> std::io::Result<()> {
        if self.digests.is_some() {
            return Ok(());
        }
        let mut digests = Digests::start()?;
        for (task, path) in running {
            // Nothing is known yet that could be taken back.
            let _ = digests.runs(task, path, false);
        }
        self.digests = Some(digests);
        Ok(())
    }

    /// What has to be known before this record, with the record's time.
    pub(super) fn before(&mut self, record: &Record) -> Vec<Record> {
        let mut facts = Vec::new();
        self.ask_perhaps(&mut facts);
        self.containers.look_again(&mut facts);
        if let Some(digests) = &mut self.digests {
            facts.extend(digests.ready());
        }
        if let Fact::Exec { task, path, .. }
        | Fact::Running {
            task,
            path: Some(path),
            ..
        } = &record.fact
        {
            facts.extend(self.programs.tell(task, path));
            if let Some(digests) = &mut self.digests {
                let is_start = matches!(record.fact, Fact::Exec { .. });
                facts.extend(digests.runs(task, path, is_start));
            }
        }
        match &record.fact {
            Fact::IdentityChange { task, uid } => {
                self.user(*uid, &mut facts);
                self.task(task, &mut facts);
            }
            Fact::Stopping {
                from: Origin::Process(sender) | Origin::Claimed(sender),
                ..
            } => self.user(sender.uid, &mut facts),
            Fact::Running { task, .. }
            | Fact::Exec { task, .. }
            | Fact::Fork { task }
            | Fact::FileAccess { task, .. }
            | Fact::Connect { task, .. }
            | Fact::UnixConnect { task, .. }
            | Fact::KeyRead { task, .. }
            | Fact::CapabilityUse { task, .. }
            | Fact::Capped { task, .. } => self.task(task, &mut facts),
            Fact::Located(located) => self.user(located.uid, &mut facts),
            Fact::MemoryAccess { task, target, .. } => {
                self.task(task, &mut facts);
                self.task(target, &mut facts);
            }
            _ => {}
        }
        if let Some(jobs) = &mut self.jobs {
            match &record.fact {
                Fact::Fork { task } => jobs.forked(task),
                Fact::Exit { task } => jobs.ended(task),
                Fact::Exec { task, path, .. } => facts.extend(jobs.started(task, path)),
                _ => {}
            }
        }
        let time = record.time;
        facts
            .into_iter()
            .map(|fact| Record { time, fact })
            .collect()
    }

    /// Asks about new cgroups in which nothing happens.
    fn ask_perhaps(&mut self, facts: &mut Vec<Fact>) {
        let (cgroups, containers) = (&mut self.cgroups, &mut self.containers);
        self.perhaps.retain(|id| {
            let Some(seen) = cgroups.get_mut(id) else {
                return false;
            };
            seen.ask(containers, false);
            if let Seen::Of(container) = seen {
                containers.tell(container, facts);
            }
            matches!(seen, Seen::Perhaps { .. })
        });
    }

    fn task(&mut self, task: &Task, facts: &mut Vec<Fact>) {
        self.user(task.uid, facts);
        if task.euid != task.uid {
            self.user(task.euid, facts);
        }
        if let Some(uid) = task.login_uid {
            self.user(uid, facts);
        }
        self.cgroup(task.cgroup, task.pid, facts);
        self.cgroup(task.cgroup_v1, task.pid, facts);
    }

    fn user(&mut self, uid: u32, facts: &mut Vec<Fact>) {
        self.accounts.tell(uid, facts);
    }

    fn cgroup(&mut self, id: u64, pid: u32, facts: &mut Vec<Fact>) {
        if id == 0 {
            return;
        }
        if let Some(seen) = self.cgroups.get_mut(&id) {
            seen.ask(&self.containers, true);
            if let Seen::Of(container) = seen {
                self.containers.tell(container, facts);
            }
            return;
        }
        if self.missed.get(&id).is_some_and(|at| at.elapsed() < RETRY) {
            return;
        }
        match self.hierarchies.path(id, pid) {
            Some(path) => {
                if self.cgroups.len() >= CGROUPS {
                    self.cgroups.clear();
                }
                self.missed.remove(&id);
                if let Some(jobs) = &mut self.jobs {
                    jobs.cgroup(id, &path);
                }
                let seen = Seen::new(&path, &self.containers);
                match &seen {
                    Seen::Of(container) => self.containers.tell(container, facts),
                    Seen::Perhaps { .. } if self.perhaps.len() < ASKED => {
                        self.perhaps.push_back(id)
                    }
                    _ => {}
                }
                self.cgroups.insert(id, seen);
                facts.push(Fact::CgroupPath { id, path });
            }
            None => {
                self.missed.retain(|_, at| at.elapsed() < RETRY);
                self.missed.insert(id, Instant::now());
            }
        }
    }
}

impl Hierarchies {
    fn find() -> Self {
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

    /// The path of a cgroup: as the process says while it lives, else by a walk.
    fn path(&self, id: u64, pid: u32) -> Option<String> {
        let is_v1 = id & Task::V1_HIERARCHY != 0;
        let inode = id & !Task::V1_HIERARCHY;
        let (root, controller) = match (&self.v1, &self.v2) {
            (Some((controller, root)), _) if is_v1 => (root, controller.as_str()),
            (_, Some(root)) if !is_v1 => (root, ""),
            _ => return None,
        };
        of_process(pid, controller)
            .filter(|path| is_cgroup(&root.join(path.trim_start_matches('/')), inode))
            .or_else(|| walk(root, inode))
    }
}

fn is_cgroup(path: &Path, inode: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.ino() == inode)
}

fn of_process(pid: u32, controller: &str) -> Option<String> {
    let process = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?;
    let groups = process.cgroups().ok()?;
    groups
        .into_iter()
        .find(|group| match controller {
            "" => group.hierarchy == 0,
            name => group.controllers.iter().any(|of| of == name),
        })
        .map(|group| group.pathname)
}

fn walk(root: &Path, inode: u64) -> Option<String> {
    let found = walkdir::WalkDir::new(root)
        .max_depth(DEEPEST)
        .into_iter()
        .filter_entry(|entry| entry.file_type().is_dir())
        .filter_map(Result::ok)
        .find(|entry| {
            entry
                .metadata()
                .is_ok_and(|metadata| metadata.ino() == inode)
        })?;
    let below = found.path().strip_prefix(root).ok()?;
    Some(format!("/{}", below.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_known_although_nothing_happens_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let key = Arc::new(FingerprintKey::generate().unwrap());
        let containers = Containers::below(directory.path(), key);
        let mut seen = Seen::new("/web", &containers);
        let state = directory.path().join("run/runc/web");
        fs::create_dir_all(&state).unwrap();
        fs::write(state.join("state.json"), "{}").unwrap();
        seen.ask(&containers, false);
        assert!(
            matches!(seen, Seen::Perhaps { .. }),
            "it was asked just now"
        );
        std::thread::sleep(ASK_AGAIN * 2);
        seen.ask(&containers, false);
        assert!(matches!(seen, Seen::Of(id) if id == "web"));
    }
}
