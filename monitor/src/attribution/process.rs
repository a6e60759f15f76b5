//! The table of processes: executables, parents, and which credentials each has read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::is_forgotten;
use crate::model::{AlertAncestor, CredentialState, Fingerprint, ProcessKey, Task, Timestamp};

/// Most processes that are kept. Beyond it those that have ended go first.
const CAPACITY: usize = 65_536;
/// Reads of one credential by one process within this time are one use.
const SAME_USE: Duration = Duration::from_secs(1);
/// Most credentials that are remembered as read by one process.
const READS: usize = 256;

/// One process.
#[derive(Debug, Clone)]
pub struct Process {
    /// The task as it was last seen.
    pub task: Task,
    exe: Option<Arc<str>>,
    parent: ProcessKey,
    ended: Option<Timestamp>,
    reads: Vec<Read>,
}

/// A credential that a process has read.
#[derive(Debug, Clone)]
struct Read {
    fingerprint: Fingerprint,
    last: Timestamp,
    /// Its state at the latest read: a use of an active credential is none of a retired one.
    state: CredentialState,
}

/// All processes that matter: those that run, and for a minute those that have ended.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    table: HashMap<ProcessKey, Process>,
    last_sweep: Timestamp,
}

impl Processes {
    /// A process and its program: at start, or after exec.
    pub fn started(&mut self, task: &Task, exe: Option<&str>, now: Timestamp) {
        self.make_room(now);
        let parent = task.parent();
        let process = self.table.entry(task.key()).or_insert_with(|| Process {
            task: task.clone(),
            exe: None,
            parent,
            ended: None,
            reads: Vec::new(),
        });
        process.task = task.clone();
        if let Some(exe) = exe {
            process.exe = Some(exe.into());
        }
    }

    /// A child, which runs its parent's program and holds what that has read.
    pub fn forked(&mut self, task: &Task, now: Timestamp) {
        self.make_room(now);
        let parent = task.parent();
        let (exe, reads) = self
            .table
            .get(&parent)
            .map(|parent| (parent.exe.clone(), parent.reads.clone()))
            .unwrap_or_default();
        let process = Process {
            task: task.clone(),
            exe,
            parent,
            ended: None,
            reads,
        };
        self.table.insert(task.key(), process);
    }

    /// A process ended.
    pub fn ended(&mut self, task: &Task, now: Timestamp) {
        if let Some(process) = self.table.get_mut(&task.key()) {
            process.ended = Some(now);
        }
    }

    /// The path of a task's executable.
    pub fn exe(&self, task: &Task) -> Option<&str> {
        self.table.get(&task.key())?.exe.as_deref()
    }

    /// A task's parents, nearest first.
    pub fn ancestors(&self, task: &Task) -> impl Iterator<Item = AlertAncestor> {
        let mut next = Some(
            self.table
                .get(&task.key())
                .map_or(task.parent(), |known| known.parent),
        );
        std::iter::from_fn(move || {
            let key = next.take().filter(|key| key.pid != 0)?;
            let parent = self.table.get(&key)?;
            next = Some(parent.parent).filter(|above| *above != key);
            Some(AlertAncestor {
                pid: key.pid,
                exe: parent.exe.as_deref().map(str::to_owned),
            })
        })
    }

    /// Notes that a task read a credential, in the state that it has. `false` when this belongs to
    /// a use that is known. What was begun before the credential was retired is no such use: who
    /// reads it all the time must be seen as well.
    pub fn read(
        &mut self,
        task: &Task,
        credential: &Fingerprint,
        state: CredentialState,
        now: Timestamp,
    ) -> bool {
        let Some(process) = self.table.get_mut(&task.key()) else {
            return true;
        };
        match process
            .reads
            .iter_mut()
            .find(|read| read.fingerprint == *credential)
        {
            Some(read) => {
                let new = now.since(read.last) > SAME_USE || read.state != state;
                (read.last, read.state) = (now, state);
                new
            }
            None => {
                if process.reads.len() >= READS {
                    process.reads.remove(0);
                }
                process.reads.push(Read {
                    fingerprint: credential.clone(),
                    last: now,
                    state,
                });
                true
            }
        }
    }

    /// What a task, or one that it was forked from, has read within `window`.
    pub fn has_read(&self, task: &Task, window: Duration, now: Timestamp) -> Vec<Fingerprint> {
        self.table
            .get(&task.key())
            .map_or_else(Vec::new, |process| {
                let recent = process
                    .reads
                    .iter()
                    .filter(|read| now.since(read.last) <= window);
                recent.map(|read| read.fingerprint.clone()).collect()
            })
    }

    /// All that run, parents first, for the head of a recording.
    pub fn running(&self) -> Vec<(&Task, Option<&str>)> {
        let mut running: Vec<_> = self
            .table
            .values()
            .filter(|process| process.ended.is_none())
            .map(|process| (&process.task, process.exe.as_deref()))
            .collect();
        running.sort_by_key(|(task, _)| task.key());
        running.sort_by_key(|(task, _)| task.start);
        running
    }

    /// Drops what ended a while ago; when that is not enough, what is oldest.
    fn make_room(&mut self, now: Timestamp) {
        if now.since(self.last_sweep) > Duration::from_secs(10) || self.table.len() >= CAPACITY {
            self.last_sweep = now;
            self.table
                .retain(|_, process| process.ended.is_none_or(|at| !is_forgotten(at, now)));
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
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FileId;

    fn task(pid: u32, ppid: u32) -> Task {
        Task {
            pid,
            start: Timestamp(i64::from(pid)),
            ppid,
            parent_start: Timestamp(i64::from(ppid)),
            uid: 0,
            euid: 0,
            gid: 0,
            login_uid: None,
            session: None,
            cgroup: 0,
            cgroup_v1: 0,
            exe: FileId::default(),
            tty: None,
        }
    }

    #[test]
    fn children_inherit_program_and_reads_and_know_their_parents() {
        let (mut table, now) = (Processes::default(), Timestamp(1_000));
        let key = Fingerprint::new("SHA256:x");
        table.started(&task(1, 0), Some("/sbin/init"), now);
        table.forked(&task(2, 1), now);
        table.started(&task(2, 1), Some("/bin/sh"), now);
        let (active, retired) = (CredentialState::Active, CredentialState::Retired);
        assert!(table.read(&task(2, 1), &key, active, now));
        assert!(
            !table.read(&task(2, 1), &key, active, now),
            "an open and its read are one use"
        );
        assert!(
            table.read(&task(2, 1), &key, retired, now),
            "the first read after it was retired is another"
        );
        table.forked(&task(3, 2), now);
        assert_eq!(table.exe(&task(3, 2)), Some("/bin/sh"));
        assert_eq!(
            table.has_read(&task(3, 2), Duration::from_secs(1), now),
            vec![key]
        );
        let parents: Vec<_> = table
            .ancestors(&task(3, 2))
            .map(|parent| parent.pid)
            .collect();
        assert_eq!(parents, [2, 1]);
        table.ended(&task(2, 1), now);
        assert_eq!(table.running().len(), 2);
    }

    #[test]
    fn the_table_is_bounded_and_a_loop_of_parents_ends() {
        let mut table = Processes::default();
        for pid in 1..=u32::try_from(CAPACITY).unwrap() + 10 {
            table.started(&task(pid, pid), None, Timestamp(1));
        }
        assert!(table.table.len() <= CAPACITY);
        let last = u32::try_from(CAPACITY).unwrap() + 10;
        assert!(table.ancestors(&task(last, last)).count() <= 1);
    }
}
