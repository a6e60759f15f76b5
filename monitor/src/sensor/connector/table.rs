//! Who runs: the processes as events and /proc tell of them.
//!
//! A process is named by its pid and start, so every fact of it must tell the same start: here it
//! is always that of `/proc/PID/stat`, in hundredths of a second. Uids and gids follow the events,
//! which tell every change in order; /proc is ahead of them. What ended before /proc was read still
//! has what it inherited.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashlink::LruCache;
use procfs::process::Stat;

use super::cgroup::Hierarchies;
use super::message::Thread;
use super::task::{Executable, Ids, ProcessDirectory, terminal};
use crate::decode::Clock;
use crate::model::{Fact, FileId, Task};
use crate::sensor::shared::boot_time;

/// Most processes that are kept: as many as attribution does.
const CAPACITY: usize = 65_536;
const SECOND: u64 = 1_000_000_000;

/// The processes that run.
pub(in crate::sensor) struct Tasks {
    table: Mutex<LruCache<u32, Known>>,
    cgroups: Hierarchies,
    /// Nanoseconds of one tick of `/proc/PID/stat`.
    tick: u64,
}

/// One process.
#[derive(Debug, Clone)]
struct Known {
    task: Task,
    /// Up to when its ids hold all changes, in nanoseconds since boot. `None` where one may be
    /// missing.
    ids_until: Option<u64>,
    /// Whether it has, or had, more than its first thread.
    threads: bool,
}

/// What /proc says of a process at this moment.
struct Present {
    directory: ProcessDirectory,
    stat: Stat,
    executable: Option<Executable>,
    /// Nanoseconds since boot.
    start: u64,
}

/// What is known of a program that was started.
pub(super) struct Started {
    pub(super) task: Task,
    /// `None` where the process had ended before /proc was read.
    pub(super) path: Option<String>,
}

/// A change of ids.
pub(super) enum Change {
    /// The process with its ids as they were, and the uid that it has taken.
    Uid(Box<Task>, u32),
    /// Of no uid that names who acts, or told already for another thread.
    None,
    /// Its ids before are not known.
    Unclear,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    pub(in crate::sensor) fn new() -> Self {
        Self {
            table: Mutex::new(LruCache::new(CAPACITY)),
            cgroups: Hierarchies::find(),
            tick: SECOND / rustix::param::clock_ticks_per_second().max(1),
        }
    }

    /// The process `pid` as it is now, or as it was last where it is gone. `None` for one that
    /// nobody knows.
    ///
    /// fanotify asks this while the process waits in its open, so neither its pid nor its ids can
    /// change meanwhile.
    pub(in crate::sensor) fn of(&self, pid: u32, clock: &Clock) -> Option<Task> {
        let Some(present) = self.present(pid) else {
            return self.table().get(&pid).map(|known| known.task.clone());
        };
        let known = self.known(pid, &present, clock);
        let mut task = self.task(pid, &present, known.as_ref(), clock);
        if let Some(ids) = present.directory.ids() {
            (task.uid, task.euid, task.gid) = (ids.uid, ids.euid, ids.gid);
        }
        if known.is_none() {
            // Its fork may not have been heard yet: then that takes its start from here.
            self.note(pid, &task, boot_time(), &present);
        }
        Some(task)
    }

    /// Every process that runs, kernel threads too.
    pub(in crate::sensor) fn running(&self, clock: &Clock) -> impl Iterator<Item = Fact> {
        let directories = std::fs::read_dir("/proc").into_iter().flatten();
        directories
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(move |pid| {
                let present = self.present(pid)?;
                let known = self.known(pid, &present, clock);
                let (task, until) = self.identified(pid, &present, known.as_ref(), clock)?;
                self.note(pid, &task, until, &present);
                let path = present.executable.map(|executable| executable.path);
                Some(Fact::Running {
                    task,
                    path,
                    permitted: None,
                })
            })
    }

    /// Events were lost: ids are read anew before they are believed.
    pub(super) fn doubt(&self) {
        for (_, known) in self.table().iter_mut() {
            known.ids_until = None;
        }
    }

    /// A thread was made, `at` nanoseconds since boot. The task where it is a process.
    pub(super) fn forked(
        &self,
        parent: Thread,
        child: Thread,
        at: u64,
        clock: &Clock,
    ) -> Option<Task> {
        if !child.is_leader() {
            if let Some(known) = self.table().get_mut(&child.process) {
                known.threads = true;
            }
            return None;
        }
        let Some(parent) = self.last(parent.process, at, clock) else {
            return self.last(child.process, at, clock).map(|known| known.task);
        };
        let start = self.start_of_child(child.process, at, clock);
        let task = Task {
            pid: child.process,
            start: clock.start(start),
            ppid: parent.task.pid,
            parent_start: parent.task.start,
            ..parent.task
        };
        let known = Known {
            task: task.clone(),
            ids_until: parent.ids_until,
            threads: false,
        };
        self.table().insert(child.process, known);
        Some(task)
    }

    /// As /proc has it. Where the child is gone by now: as whoever asked meanwhile was told, or by
    /// the event, which the kernel makes microseconds after it has noted the start.
    fn start_of_child(&self, pid: u32, at: u64, clock: &Clock) -> u64 {
        if let Some(start) = self
            .start_in_proc(pid)
            .filter(|start| *start <= at.saturating_add(self.tick))
        {
            return start;
        }
        let by_event = at - at % self.tick;
        let before = by_event.saturating_sub(self.tick);
        let told = self.table().get(&pid).map(|known| known.task.start);
        if told == Some(clock.start(before)) {
            before
        } else {
            by_event
        }
    }

    /// A program was started. `None` for a process of which nothing is known.
    pub(super) fn executed(&self, pid: u32, at: u64, clock: &Clock) -> Option<Started> {
        let Some(present) = self.present_at(pid, at) else {
            let mut table = self.table();
            let task = &mut table.get_mut(&pid)?.task;
            // It ran something else than what was known of it.
            task.exe = FileId::default();
            let task = task.clone();
            return Some(Started { task, path: None });
        };
        let known = self.known(pid, &present, clock);
        let (mut task, until) = self.identified(pid, &present, known.as_ref(), clock)?;
        if present.executable.is_none() {
            task.exe = FileId::default();
        }
        self.note(pid, &task, until, &present);
        let path = present.executable.map(|executable| executable.path);
        Some(Started { task, path })
    }

    /// A thread ended. The task where it was the first of a process that is known.
    pub(super) fn exited(&self, thread: Thread) -> Option<Task> {
        if !thread.is_leader() {
            return None;
        }
        let mut table = self.table();
        let known = table.get(&thread.process)?;
        if known.threads {
            // The others may outlive the first, and /proc tells of no executable then.
            return Some(known.task.clone());
        }
        table.remove(&thread.process).map(|known| known.task)
    }

    /// A thread has other uids.
    pub(super) fn took_uids(
        &self,
        thread: Thread,
        (real, effective): (u32, u32),
        at: u64,
        clock: &Clock,
    ) -> Change {
        let pid = thread.process;
        let known = self.table().get(&pid).cloned();
        // What was known before events were lost is nearer to what was than /proc is by now.
        let known = match known {
            Some(known) if known.ids_until.is_some() || self.is_still(&known, clock) => known,
            _ => match self.last(pid, at, clock) {
                Some(known) => known,
                None => return Change::Unclear,
            },
        };
        if let Some(entry) = self.table().get_mut(&pid) {
            (entry.task.uid, entry.task.euid) = (real, effective);
            entry.ids_until = entry.ids_until.max(Some(at));
        }
        match taken_uid(&known.task, real, effective) {
            Some(uid) => Change::Uid(Box::new(known.task), uid),
            None if known.ids_until.is_some_and(|until| until <= at) => Change::None,
            None => Change::Unclear,
        }
    }

    /// Whether the pid is not that of another process by now.
    fn is_still(&self, known: &Known, clock: &Clock) -> bool {
        self.start_in_proc(known.task.pid)
            .is_none_or(|start| clock.start(start) == known.task.start)
    }

    /// A thread has another gid.
    pub(super) fn took_gid(&self, thread: Thread, real: u32) {
        if let Some(known) = self.table().get_mut(&thread.process) {
            known.task.gid = real;
        }
    }

    /// The process as it was when something happened to it.
    pub(super) fn at(&self, pid: u32, at: u64, clock: &Clock) -> Option<Task> {
        self.last(pid, at, clock).map(|known| known.task)
    }

    /// By the table; where that does not know it, or not for certain, by /proc.
    fn last(&self, pid: u32, at: u64, clock: &Clock) -> Option<Known> {
        let known = self.table().get(&pid).cloned();
        if known
            .as_ref()
            .is_some_and(|known| known.ids_until.is_some())
        {
            return known;
        }
        let Some(present) = self.present_at(pid, at) else {
            return known;
        };
        let known = self.known(pid, &present, clock);
        let (task, until) = self.identified(pid, &present, known.as_ref(), clock)?;
        Some(self.note(pid, &task, until, &present))
    }

    /// `None` also for a process that began after the event, and has its pid from another.
    fn present_at(&self, pid: u32, at: u64) -> Option<Present> {
        self.present(pid)
            .filter(|present| present.start <= at.saturating_add(self.tick))
    }

    fn present(&self, pid: u32) -> Option<Present> {
        let directory = ProcessDirectory::open(pid)?;
        // First what is gone first.
        let executable = directory.executable();
        let stat = directory.stat()?;
        Some(Present {
            start: stat.starttime.saturating_mul(self.tick),
            directory,
            stat,
            executable,
        })
    }

    fn start_in_proc(&self, pid: u32) -> Option<u64> {
        let stat = ProcessDirectory::open(pid)?.stat()?;
        Some(stat.starttime.saturating_mul(self.tick))
    }

    /// What the table has of this very process.
    fn known(&self, pid: u32, present: &Present, clock: &Clock) -> Option<Known> {
        self.table()
            .get(&pid)
            .filter(|known| known.task.start == clock.start(present.start))
            .cloned()
    }

    /// A task with the ids that it had at the latest event, or has now where one may be missing;
    /// and up to when they are right.
    fn identified(
        &self,
        pid: u32,
        present: &Present,
        known: Option<&Known>,
        clock: &Clock,
    ) -> Option<(Task, u64)> {
        let mut task = self.task(pid, present, known, clock);
        if let Some(until) = known.and_then(|known| known.ids_until) {
            return Some((task, until));
        }
        match (present.directory.ids(), known) {
            (Some(Ids { uid, euid, gid }), _) => (task.uid, task.euid, task.gid) = (uid, euid, gid),
            (None, Some(_)) => {}
            (None, None) => return None,
        }
        Some((task, boot_time()))
    }

    /// All but the ids, which are those of the table.
    fn task(&self, pid: u32, present: &Present, known: Option<&Known>, clock: &Clock) -> Task {
        let known = known.map(|known| &known.task);
        let (ppid, parent_start) = match known {
            // Whoever made it: /proc names another parent when that one is gone.
            Some(known) => (known.ppid, known.parent_start),
            None => {
                let ppid = u32::try_from(present.stat.ppid).unwrap_or(0);
                let start = self.start_in_proc(ppid).unwrap_or(0);
                (ppid, clock.start(start))
            }
        };
        let (login_uid, session) = present.directory.login();
        let (cgroup, cgroup_v1) = match (present.directory.cgroups(), known) {
            (Some(groups), _) => self.cgroups.ids(&groups),
            (None, known) => known.map_or((0, 0), |known| (known.cgroup, known.cgroup_v1)),
        };
        Task {
            pid,
            start: clock.start(present.start),
            ppid,
            parent_start,
            uid: known.map_or(0, |known| known.uid),
            euid: known.map_or(0, |known| known.euid),
            gid: known.map_or(0, |known| known.gid),
            login_uid,
            session,
            cgroup,
            cgroup_v1,
            exe: match (&present.executable, known) {
                (Some(executable), _) => executable.file,
                (None, known) => known.map(|known| known.exe).unwrap_or_default(),
            },
            tty: terminal(&present.stat),
        }
    }

    fn note(&self, pid: u32, task: &Task, ids_until: u64, present: &Present) -> Known {
        let known = Known {
            task: task.clone(),
            ids_until: Some(ids_until),
            threads: present.stat.num_threads > 1,
        };
        self.table().insert(pid, known.clone());
        known
    }

    /// A lock that a panicking thread held is still good here: every change is one step.
    fn table(&self) -> MutexGuard<'_, LruCache<u32, Known>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The uid that a task has taken: the real one names who acts; where only the effective one
/// changes, that does.
pub(super) fn taken_uid(before: &Task, real: u32, effective: u32) -> Option<u32> {
    if real != before.uid {
        Some(real)
    } else if effective != before.euid {
        Some(effective)
    } else {
        None
    }
}
