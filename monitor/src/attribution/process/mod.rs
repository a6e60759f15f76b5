//! The table of processes: executables, parents, and which credentials each has read.

mod lineage;
mod reads;

use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;

use super::actors::Actors;
use super::{ANCESTORS, Actor, Host, is_forgotten};
use crate::model::{FileId, ProcessKey, Selector, Task, Timestamp};

pub use lineage::Switch;
use reads::Reads;
pub use reads::{Holder, Reading, Recent};

/// Most processes that are kept. Beyond it those that have ended go first.
const CAPACITY: usize = 65_536;

/// One process.
#[derive(Debug, Clone)]
pub struct Process {
    /// The task as it was last seen.
    pub task: Task,
    exe: Option<Arc<str>>,
    parent: ProcessKey,
    ended: Option<Timestamp>,
    /// Whether it was forked and has started no program of its own since.
    forked: bool,
    reads: Reads,
    /// Whether its program was there before anybody looked, so that it may have read more than is
    /// known.
    from_before: bool,
    switch: Option<Switch>,
    job: Option<Selector>,
}

impl Process {
    /// The path of its executable.
    pub fn exe(&self) -> Option<&str> {
        self.exe.as_deref()
    }
}

/// All processes that matter: those that run, and for a minute those that have ended.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    table: HashMap<ProcessKey, Process>,
    last_sweep: Timestamp,
    /// Each must hear of what changes an actor.
    pub(super) actors: Actors,
}

impl Processes {
    /// A task's actor, as [`Actor::of`] makes it; made anew only where something has changed.
    pub fn actor(&mut self, task: &Task, host: &Host) -> Arc<Actor> {
        if let Some(actor) = self.actors.get(task, host) {
            return Arc::clone(actor);
        }
        let actor = Arc::new(Actor::of(task, self, host));
        let asked: Vec<_> = self.asked_above(task).take(ANCESTORS).collect();
        self.actors.keep(&actor, asked.into_iter());
        actor
    }

    /// A process and its program: at start, or after exec.
    pub fn started(&mut self, task: &Task, exe: Option<&str>, now: Timestamp) {
        let process = self.known(task, now);
        if process.task.uid != task.uid {
            // It has changed its uid since its last program began, or since it was forked.
            process.switch = Some(Switch::by(process));
        }
        process.task = task.clone();
        process.from_before = false;
        process.forked = false;
        if let Some(exe) = exe {
            process.reads.new_program();
            if process.exe.as_deref() != Some(exe) {
                process.exe = Some(exe.into());
                self.actors.changed(task.key());
            }
        }
    }

    /// A process that was there already.
    pub fn running(&mut self, task: &Task, exe: Option<&str>, now: Timestamp) {
        let is_new = !self.table.contains_key(&task.key());
        self.started(task, exe, now);
        if let Some(process) = self.table.get_mut(&task.key()) {
            process.from_before = is_new;
        }
    }

    /// A child, which runs its parent's program and holds what that has read.
    pub fn forked(&mut self, task: &Task, now: Timestamp) {
        let (exe, inherited, from_before) = self
            .table
            .get(&task.parent())
            .map(|parent| (parent.exe.clone(), parent.reads.clone(), parent.from_before))
            .unwrap_or_default();
        let child = self.known(task, now);
        // Hooks may deliver out of order: what the child has already done is newer.
        let runs_another = child.exe.is_some();
        let is_told = !runs_another && exe.is_some();
        child.exe = child.exe.take().or(exe);
        child.from_before |= from_before && !runs_another;
        child.forked = !runs_another;
        child.reads.inherit(inherited, runs_another);
        if is_told {
            self.actors.changed(task.key());
        }
    }

    /// A process ended.
    pub fn ended(&mut self, task: &Task, now: Timestamp) {
        if let Some(process) = self.table.get_mut(&task.key()) {
            process.ended = Some(now);
        }
        self.actors.ended(task.key());
    }

    /// Whether a process is known to have ended: what is heard of it now comes late.
    pub fn has_ended(&self, process: ProcessKey) -> bool {
        let known = self.table.get(&process);
        known.is_some_and(|process| process.ended.is_some())
    }

    /// The latest process that has had a pid, for what tells of a pid only. `None` once its end is
    /// forgotten.
    pub fn with_pid(&self, pid: u32, now: Timestamp) -> Option<&Task> {
        self.table
            .values()
            .filter(|process| process.task.pid == pid)
            .filter(|process| process.ended.is_none_or(|at| !is_forgotten(at, now)))
            .max_by_key(|process| process.task.start)
            .map(|process| &process.task)
    }

    /// The path of a task's executable.
    pub fn exe(&self, task: &Task) -> Option<&str> {
        self.table.get(&task.key())?.exe.as_deref()
    }

    /// Those that run programs that were started before anybody looked: what they have read is not
    /// all known.
    pub fn from_before(&self) -> impl Iterator<Item = &Task> {
        let running = self.table.values().filter(|of| of.ended.is_none());
        running.filter(|of| of.from_before).map(|of| &of.task)
    }

    /// The program's inode of a process.
    pub fn program(&self, process: ProcessKey) -> Option<FileId> {
        self.table.get(&process).map(|process| process.task.exe)
    }

    /// The processes that have not ended, each with whether it runs a program that was started before
    /// anybody looked.
    pub fn living(&self) -> impl Iterator<Item = (&Process, bool)> {
        let living = self.table.values().filter(|of| of.ended.is_none());
        living.map(|of| (of, of.from_before))
    }

    /// Whether a task runs a program that was started before anybody looked, or nothing was heard
    /// of it: then what it has read is not all known.
    pub fn is_from_before(&self, task: &Task) -> bool {
        self.table
            .get(&task.key())
            .is_none_or(|process| process.from_before)
    }

    /// Notes that a task, and with it all that it starts, runs a job.
    pub fn runs_job(&mut self, task: &Task, job: &Selector, now: Timestamp) {
        self.known(task, now).job = Some(job.clone());
        self.actors.changed(task.key());
    }

    /// The job that a task runs.
    pub fn job(&self, task: &Task) -> Option<&Selector> {
        let process = self.table.get(&task.key());
        // Of a process that nothing was heard of yet the parent tells.
        let process = process.or_else(|| self.table.get(&task.parent()))?;
        process.job.as_ref()
    }

    /// The entry of a process, made where there is none.
    fn known(&mut self, task: &Task, now: Timestamp) -> &mut Process {
        let key = task.key();
        if !self.table.contains_key(&key) {
            self.make_room(now);
            self.actors.changed(key);
        }
        let parent = self.table.get(&task.parent());
        // What runs under another uid than its parent began with was given it there.
        let switch = parent.and_then(|parent| {
            if parent.task.uid == task.uid {
                parent.switch.clone()
            } else {
                Some(Switch::by(parent))
            }
        });
        let job = parent.and_then(|parent| parent.job.clone());
        self.table.entry(key).or_insert_with(|| Process {
            switch,
            job,
            task: task.clone(),
            exe: None,
            parent: task.parent(),
            ended: None,
            forked: false,
            reads: Reads::default(),
            from_before: false,
        })
    }

    /// Drops what ended a while ago; when that is not enough, what is oldest.
    fn make_room(&mut self, now: Timestamp) {
        if apart(self.last_sweep, now) > Duration::from_secs(10) || self.table.len() >= CAPACITY {
            self.last_sweep = now;
            let actors = &mut self.actors;
            self.table.retain(|key, process| {
                let is_kept = process.ended.is_none_or(|at| !is_forgotten(at, now));
                if !is_kept {
                    actors.changed(*key);
                }
                is_kept
            });
        }
        if self.table.len() >= CAPACITY {
            let mut ended: Vec<_> = self
                .table
                .iter()
                .map(|(key, process)| (process.ended.is_none(), key.start, *key))
                .collect();
            ended.sort_unstable();
            for (_, _, key) in ended.into_iter().take(CAPACITY / 8) {
                self.table.remove(&key);
                self.actors.changed(key);
            }
        }
    }
}

/// The time between two points, whichever is first.
fn apart(a: Timestamp, b: Timestamp) -> Duration {
    a.since(b).max(b.since(a))
}

#[cfg(test)]
mod tests;
