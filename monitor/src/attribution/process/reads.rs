//! What processes have read, and may hold.

use std::sync::Arc;
use std::time::Duration;

use super::{Process, Processes, apart};
use crate::model::{AlertCredential, CredentialState, FileId, Fingerprint, Task, Timestamp};

/// Reads of one credential by one program of one process with no longer pauses than this are one
/// use.
const SAME_USE: Duration = Duration::from_secs(1);
/// A use that goes on for longer than this is another one: what reads without pause must not
/// count as the one use with which it began.
const LONGEST_USE: Duration = Duration::from_secs(10);
/// Most credentials that are remembered as read by one process.
pub(super) const READS: usize = 256;

/// A credential as it stood when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The file that was read.
    pub file: FileId,
    /// The credential, as an alert about this read carries it.
    pub credential: AlertCredential,
    /// Whether its state was that of a declared path, which is forgotten with the file.
    pub by_path: bool,
    /// Whether whoever read it is no user of it.
    pub by_outsider: bool,
}

/// A reading that a process holds.
#[derive(Debug, Clone)]
struct Held {
    reading: Arc<Reading>,
    began: Timestamp,
    last: Timestamp,
    /// Whether the program that runs now has read it, and not one before it or a parent.
    own: bool,
    /// Whether it may still lie in memory: a child gets its parent's, a new program an empty one.
    in_memory: bool,
}

impl Held {
    fn is_of(&self, credential: &Fingerprint) -> bool {
        self.reading.credential.fingerprint == *credential
    }

    fn matters(&self) -> bool {
        !matches!(
            self.reading.credential.state,
            CredentialState::Active | CredentialState::Rotating
        )
    }
}

/// What one process has read, a credential once.
#[derive(Debug, Clone, Default)]
pub(super) struct Reads(Vec<Held>);

impl Reads {
    /// Another program runs: what the one before has read is held still, and a read by this one is
    /// its own.
    pub(super) fn new_program(&mut self) {
        for held in &mut self.0 {
            held.own = false;
            held.in_memory = false;
        }
    }

    /// A fork gets what its parent holds; what it has read itself is newer. One that runs another
    /// program already does not have it in memory.
    pub(super) fn inherit(&mut self, parent: Self, runs_another: bool) {
        for held in parent.0 {
            if self.of(&held.reading.credential.fingerprint).is_none() {
                self.0.push(Held {
                    own: false,
                    in_memory: held.in_memory && !runs_another,
                    ..held
                });
            }
        }
    }

    fn note(&mut self, reading: Reading, now: Timestamp) {
        self.0
            .retain(|held| !held.is_of(&reading.credential.fingerprint));
        if self.0.len() >= READS {
            // What should not be used goes last: else reading much else would hide it.
            let harmless = self.0.iter().position(|held| !held.matters());
            self.0.remove(harmless.unwrap_or(0));
        }
        self.0.push(Held {
            reading: Arc::new(reading),
            began: now,
            last: now,
            own: true,
            in_memory: true,
        });
    }

    fn of(&self, credential: &Fingerprint) -> Option<&Held> {
        self.0.iter().find(|held| held.is_of(credential))
    }

    fn in_memory(&self, credential: &Fingerprint) -> Option<&Held> {
        self.of(credential).filter(|held| held.in_memory)
    }
}

/// What [`Processes::has_read`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent {
    /// What was read.
    pub reading: Arc<Reading>,
    /// Whether the program that runs now has read it, and not one before it or a parent.
    pub own: bool,
}

/// One that runs and may have a credential in memory.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    /// The process.
    pub task: &'a Task,
    /// When it, or what it was forked from, last read the credential.
    pub read: Timestamp,
    reads: &'a Reads,
}

impl Holder<'_> {
    /// Whether it has read another credential at `time` or later.
    pub fn read_since(&self, other: &Fingerprint, time: Timestamp) -> bool {
        let held = self.reads.in_memory(other);
        held.is_some_and(|held| held.last >= time)
    }
}

impl Process {
    /// Whether it may have a credential in memory: its program has read it, or the one that it was
    /// forked from.
    pub fn may_hold(&self, credential: &Fingerprint) -> bool {
        self.reads.in_memory(credential).is_some()
    }
}

impl Processes {
    /// Whether a read of a credential that stands in `state` belongs to a use that is noted.
    pub fn continues_use(
        &mut self,
        task: &Task,
        credential: &Fingerprint,
        state: CredentialState,
        now: Timestamp,
    ) -> bool {
        let process = self.table.get_mut(&task.key());
        let mut reads = process.into_iter().flat_map(|of| &mut of.reads.0);
        let Some(held) = reads.find(|held| held.is_of(credential)) else {
            return false;
        };
        // A clock that was set back makes a new use too: else nothing would be one for as long.
        let same = held.own
            && held.reading.credential.state == state
            && apart(held.last, now) <= SAME_USE
            && apart(held.began, now) <= LONGEST_USE;
        if same {
            held.last = held.last.max(now);
        }
        same
    }

    /// Notes that a task began to use a credential.
    pub fn read(&mut self, task: &Task, reading: Reading, now: Timestamp) {
        // The events that told of this process may have been lost.
        self.known(task, now).reads.note(reading, now);
    }

    /// The secret that a task may have in memory: read by its program, or by the one that it was
    /// forked from. Of several the one that should not be used, else the latest.
    pub fn holds(&self, task: &Task) -> Option<Arc<Reading>> {
        let reads = &self.table.get(&task.key())?.reads.0;
        reads
            .iter()
            .filter(|held| held.in_memory && held.reading.credential.kind.is_secret())
            .max_by_key(|held| (held.matters(), held.last))
            .map(|held| Arc::clone(&held.reading))
    }

    /// Those that run and may have a credential in memory: read by their program, or by the one
    /// that they were forked from.
    pub fn holders<'a>(
        &'a self,
        credential: &'a Fingerprint,
    ) -> impl Iterator<Item = Holder<'a>> + 'a {
        self.living().filter_map(move |(process, _)| {
            Some(Holder {
                task: &process.task,
                read: process.reads.in_memory(credential)?.last,
                reads: &process.reads,
            })
        })
    }

    /// Until when a credential lay in the memory of a process: `None` when no process is known to
    /// have held it, `Some(None)` when one that runs still does.
    pub fn last_held(&self, credential: &Fingerprint) -> Option<Option<Timestamp>> {
        let processes = self.table.values().filter(|of| of.may_hold(credential));
        let ends = processes.map(|of| of.ended);
        ends.max_by_key(|end| (end.is_none(), *end))
    }

    /// What a task, or one that it was forked from, has read within `window`.
    pub fn has_read(&self, task: &Task, window: Duration, now: Timestamp) -> Vec<Recent> {
        let process = self.table.get(&task.key());
        let reads = process.into_iter().flat_map(|of| &of.reads.0);
        reads
            .filter(|held| apart(held.last, now) <= window)
            .map(|held| Recent {
                reading: Arc::clone(&held.reading),
                own: held.own,
            })
            .collect()
    }
}
