//! The table of processes: executables, parents, and which credentials each has read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::is_forgotten;
use crate::model::{
    AlertAncestor, AlertCredential, CredentialState, FileId, Fingerprint, ProcessKey, Selector,
    Task, Timestamp,
};

/// Most processes that are kept. Beyond it those that have ended go first.
const CAPACITY: usize = 65_536;
/// Reads of one credential by one program of one process with no longer pauses than this are one
/// use.
const SAME_USE: Duration = Duration::from_secs(1);
/// A use that goes on for longer than this is another one: what reads without pause must not
/// count as the one use with which it began.
const LONGEST_USE: Duration = Duration::from_secs(10);
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
    /// Whether it was forked and has started no program of its own since.
    forked: bool,
    reads: Vec<Held>,
    /// Whether its program was there before anybody looked, so that it may have read more than is
    /// known.
    from_before: bool,
    switch: Option<Switch>,
    job: Option<Selector>,
}

/// How a process came to its uid: the program that gave it to it, or to the parent that it has it from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The process that did it.
    pub by: ProcessKey,
    /// That program's inode.
    pub file: FileId,
    /// That program's path, where it is known.
    pub exe: Option<Arc<str>>,
}

impl Switch {
    fn by(process: &Process) -> Self {
        Self {
            by: process.task.key(),
            file: process.task.exe,
            exe: process.exe.clone(),
        }
    }
}

impl Process {
    /// The path of its executable.
    pub fn exe(&self) -> Option<&str> {
        self.exe.as_deref()
    }
}

impl Process {
    /// Whether it may have a credential in memory: its program has read it, or the one that it was
    /// forked from.
    pub fn may_hold(&self, credential: &Fingerprint) -> bool {
        let mut reads = self.reads.iter();
        reads.any(|held| held.in_memory && held.is_of(credential))
    }
}

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
    reads: &'a [Held],
}

impl Holder<'_> {
    /// Whether it has read another credential at `time` or later.
    pub fn read_since(&self, other: &Fingerprint, time: Timestamp) -> bool {
        let mut reads = self.reads.iter();
        reads.any(|held| held.is_of(other) && held.in_memory && held.last >= time)
    }
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
        let process = self.known(task, now);
        if process.task.uid != task.uid {
            // It has changed its uid since its last program began, or since it was forked.
            process.switch = Some(Switch::by(process));
        }
        process.task = task.clone();
        process.from_before = false;
        process.forked = false;
        if let Some(exe) = exe {
            process.exe = Some(exe.into());
            // What the program before has read is held still, and a read by this one is its own.
            for held in &mut process.reads {
                held.own = false;
                held.in_memory = false;
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
        child.exe = child.exe.take().or(exe);
        child.from_before |= from_before && !runs_another;
        child.forked = !runs_another;
        for held in inherited {
            let credential = &held.reading.credential.fingerprint;
            if !child.reads.iter().any(|own| own.is_of(credential)) {
                child.reads.push(Held {
                    own: false,
                    in_memory: held.in_memory && !runs_another,
                    ..held
                });
            }
        }
    }

    /// A process ended.
    pub fn ended(&mut self, task: &Task, now: Timestamp) {
        if let Some(process) = self.table.get_mut(&task.key()) {
            process.ended = Some(now);
        }
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

    /// A task's parents, nearest first. As many as asked for where two name each other.
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

    /// Whether a read of a credential that stands in `state` belongs to a use that is noted.
    pub fn continues_use(
        &mut self,
        task: &Task,
        credential: &Fingerprint,
        state: CredentialState,
        now: Timestamp,
    ) -> bool {
        let held = self
            .table
            .get_mut(&task.key())
            .and_then(|process| process.reads.iter_mut().find(|held| held.is_of(credential)));
        let Some(held) = held else {
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
        let process = self.known(task, now);
        process
            .reads
            .retain(|held| !held.is_of(&reading.credential.fingerprint));
        if process.reads.len() >= READS {
            // What should not be used goes last: else reading much else would hide it.
            let harmless = process.reads.iter().position(|held| !held.matters());
            process.reads.remove(harmless.unwrap_or(0));
        }
        process.reads.push(Held {
            reading: Arc::new(reading),
            began: now,
            last: now,
            own: true,
            in_memory: true,
        });
    }

    /// The secret that a task may have in memory: read by its program, or by the one that it was
    /// forked from. Of several the one that should not be used, else the latest.
    pub fn holds(&self, task: &Task) -> Option<Arc<Reading>> {
        let reads = &self.table.get(&task.key())?.reads;
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
        let running = self.table.values().filter(|of| of.ended.is_none());
        running.filter_map(move |process| {
            let mut reads = process.reads.iter();
            let held = reads.find(|held| held.in_memory && held.is_of(credential))?;
            Some(Holder {
                task: &process.task,
                read: held.last,
                reads: &process.reads,
            })
        })
    }

    /// Until when a credential lay in the memory of a process: `None` when no process is known to
    /// have held it, `Some(None)` when one that runs still does.
    pub fn last_held(&self, credential: &Fingerprint) -> Option<Option<Timestamp>> {
        let held = |of: &&Process| {
            let mut reads = of.reads.iter();
            reads.any(|held| held.in_memory && held.is_of(credential))
        };
        let ends = self.table.values().filter(held).map(|of| of.ended);
        ends.max_by_key(|end| (end.is_none(), *end))
    }

    /// Those that run programs that were started before anybody looked: what they have read is not
    /// all known.
    pub fn from_before(&self) -> impl Iterator<Item = &Task> {
        let running = self.table.values().filter(|of| of.ended.is_none());
        running.filter(|of| of.from_before).map(|of| &of.task)
    }

    /// Whether a task is this process, or was forked from it, with nothing but forks in between.
    pub fn is_fork_of(&self, task: &Task, of: ProcessKey) -> bool {
        const DEEPEST: usize = 16;
        let mut key = task.key();
        for _ in 0..DEEPEST {
            if key == of {
                return true;
            }
            match self.table.get(&key).filter(|process| process.forked) {
                Some(process) => key = process.parent,
                None => return false,
            }
        }
        false
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

    /// A task's parents, nearest first, each with its program's inode and path.
    pub fn lineage(&self, task: &Task) -> impl Iterator<Item = (ProcessKey, FileId, &str)> {
        let mut next = self.table.get(&task.key()).map(|known| known.parent);
        next = next.or_else(|| Some(task.parent()));
        std::iter::from_fn(move || {
            let key = next.take().filter(|key| key.pid != 0)?;
            let parent = self.table.get(&key)?;
            next = Some(parent.parent).filter(|above| *above != key);
            let exe = parent.exe.as_deref().unwrap_or_default();
            Some((key, parent.task.exe, exe))
        })
    }

    /// A task's parents, nearest first, each as it was when its program began.
    pub fn parents(&self, task: &Task) -> impl Iterator<Item = &Process> {
        let mut next = self.table.get(&task.key()).map(|known| known.parent);
        next = next.or_else(|| Some(task.parent()));
        std::iter::from_fn(move || {
            let key = next.take().filter(|key| key.pid != 0)?;
            let parent = self.table.get(&key)?;
            next = Some(parent.parent).filter(|above| *above != key);
            Some(parent)
        })
    }

    /// What gave a task its uid. `None` where nobody saw it change.
    pub fn switch(&self, task: &Task) -> Option<Switch> {
        let process = self.table.get(&task.key())?;
        if process.task.uid == task.uid {
            process.switch.clone()
        } else {
            Some(Switch::by(process))
        }
    }

    /// Notes that a task, and with it all that it starts, runs a job.
    pub fn runs_job(&mut self, task: &Task, job: &Selector, now: Timestamp) {
        self.known(task, now).job = Some(job.clone());
    }

    /// The job that a task runs.
    pub fn job(&self, task: &Task) -> Option<&Selector> {
        let process = self.table.get(&task.key());
        // Of a process that nothing was heard of yet the parent tells.
        let process = process.or_else(|| self.table.get(&task.parent()))?;
        process.job.as_ref()
    }

    /// What a task, or one that it was forked from, has read within `window`.
    pub fn has_read(&self, task: &Task, window: Duration, now: Timestamp) -> Vec<Recent> {
        self.table
            .get(&task.key())
            .map_or_else(Vec::new, |process| {
                process
                    .reads
                    .iter()
                    .filter(|held| apart(held.last, now) <= window)
                    .map(|held| Recent {
                        reading: Arc::clone(&held.reading),
                        own: held.own,
                    })
                    .collect()
            })
    }

    /// The entry of a process, made where there is none.
    fn known(&mut self, task: &Task, now: Timestamp) -> &mut Process {
        if !self.table.contains_key(&task.key()) {
            self.make_room(now);
        }
        // What runs under another uid than its parent began with was given it there.
        let parent = self.table.get(&task.parent());
        let switch = parent.and_then(|parent| {
            if parent.task.uid == task.uid {
                parent.switch.clone()
            } else {
                Some(Switch::by(parent))
            }
        });
        let job = parent.and_then(|parent| parent.job.clone());
        self.table.entry(task.key()).or_insert_with(|| Process {
            switch,
            job,
            task: task.clone(),
            exe: None,
            parent: task.parent(),
            ended: None,
            forked: false,
            reads: Vec::new(),
            from_before: false,
        })
    }

    /// Drops what ended a while ago; when that is not enough, what is oldest.
    fn make_room(&mut self, now: Timestamp) {
        if apart(self.last_sweep, now) > Duration::from_secs(10) || self.table.len() >= CAPACITY {
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

/// The time between two points, whichever is first.
fn apart(a: Timestamp, b: Timestamp) -> Duration {
    a.since(b).max(b.since(a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CredentialKind;

    const SECOND: i64 = 1_000_000_000;
    const NOW: Timestamp = Timestamp(1_000 * SECOND);
    const MINUTE: Duration = Duration::from_secs(60);

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

    fn reading(fingerprint: &str, state: CredentialState) -> Reading {
        Reading {
            file: FileId::default(),
            by_path: false,
            by_outsider: false,
            credential: AlertCredential {
                fingerprint: Fingerprint::new(fingerprint),
                kind: CredentialKind::SshPrivateKey,
                path: None,
                state,
                retired_at: None,
                retired_by: None,
                reason: None,
                last_used: None,
            },
        }
    }

    /// One read at `now`; `true` when it is a use of its own.
    fn reads(table: &mut Processes, pid: u32, state: CredentialState, now: Timestamp) -> bool {
        let task = task(pid, 1);
        let new = !table.continues_use(&task, &Fingerprint::new("x"), state, now);
        if new {
            table.read(&task, reading("x", state), now);
        }
        new
    }

    fn after(milliseconds: i64) -> Timestamp {
        Timestamp(NOW.0 + milliseconds * 1_000_000)
    }

    #[test]
    fn children_inherit_program_and_reads_and_know_their_parents() {
        let mut table = Processes::default();
        table.started(&task(1, 0), Some("/sbin/init"), NOW);
        table.forked(&task(2, 1), NOW);
        table.started(&task(2, 1), Some("/bin/sh"), NOW);
        assert!(reads(&mut table, 2, CredentialState::Active, NOW));
        table.forked(&task(3, 2), NOW);
        assert_eq!(table.exe(&task(3, 2)), Some("/bin/sh"));
        let held = table.has_read(&task(3, 2), MINUTE, NOW);
        assert_eq!((held.len(), held[0].own), (1, false));
        let parents: Vec<_> = table
            .ancestors(&task(3, 2))
            .map(|parent| parent.pid)
            .collect();
        assert_eq!(parents, [2, 1]);
    }

    #[test]
    fn a_pid_names_the_latest_process_that_has_had_it() {
        let mut table = Processes::default();
        let (old, new) = (
            Task {
                start: Timestamp(NOW.0 - 5),
                ..task(7, 1)
            },
            Task {
                start: NOW,
                ..task(7, 1)
            },
        );
        table.started(&new, Some("/bin/new"), NOW);
        table.started(&old, Some("/bin/old"), NOW);
        table.ended(&old, Timestamp(NOW.0 - 1));
        assert_eq!(table.with_pid(7, after(1)), Some(&new));
        assert_eq!(table.with_pid(8, after(1)), None);
        table.ended(&new, after(1));
        assert_eq!(table.with_pid(7, after(59_000)), Some(&new));
        assert_eq!(table.with_pid(7, after(70_000)), None);
    }

    #[test]
    fn memory_is_inherited_by_a_fork_and_emptied_by_a_new_program() {
        let mut table = Processes::default();
        table.started(&task(2, 1), Some("/usr/sbin/nginx"), NOW);
        table.read(&task(2, 1), reading("a", CredentialState::Retired), NOW);
        table.read(
            &task(2, 1),
            reading("b", CredentialState::Active),
            after(10),
        );
        let mut public = reading("c", CredentialState::Active);
        public.credential.kind = CredentialKind::SshAuthorizedKey;
        table.read(&task(2, 1), public, after(20));
        table.forked(&task(3, 2), after(30));
        let held = |table: &Processes, pid, ppid| {
            let held = table.holds(&task(pid, ppid))?;
            Some(held.credential.fingerprint.to_string())
        };
        assert_eq!(held(&table, 3, 2).as_deref(), Some("a"));
        table.started(&task(3, 2), Some("/bin/sh"), after(40));
        assert_eq!(held(&table, 3, 2), None);
        assert_eq!(held(&table, 2, 1).as_deref(), Some("a"));
        // The fork is told of behind the child's exec.
        table.started(&task(4, 2), Some("/bin/sh"), after(50));
        table.forked(&task(4, 2), after(45));
        assert_eq!(held(&table, 4, 2), None);
    }

    #[test]
    fn what_ran_before_is_told_from_what_was_seen_to_start() {
        let mut table = Processes::default();
        table.running(&task(2, 1), Some("/usr/sbin/nginx"), NOW);
        table.forked(&task(3, 2), NOW);
        assert!(table.is_from_before(&task(2, 1)) && table.is_from_before(&task(3, 2)));
        table.started(&task(3, 2), Some("/bin/sh"), NOW);
        assert!(!table.is_from_before(&task(3, 2)));
        // The list of what runs may come behind the first event of a process.
        table.started(&task(4, 1), Some("/bin/sh"), NOW);
        table.running(&task(4, 1), Some("/bin/sh"), NOW);
        assert!(!table.is_from_before(&task(4, 1)));
        assert!(table.is_from_before(&task(9, 1)));
    }

    #[test]
    fn an_open_and_its_reads_are_one_use_of_one_program() {
        let mut table = Processes::default();
        let active = CredentialState::Active;
        assert!(reads(&mut table, 2, active, NOW));
        assert!(!reads(&mut table, 2, active, after(900)));
        assert!(!reads(&mut table, 2, active, after(1_800)));
        assert!(reads(&mut table, 2, CredentialState::Retired, after(1_900)));
        assert!(!reads(
            &mut table,
            2,
            CredentialState::Retired,
            after(1_950)
        ));
        table.started(&task(2, 1), Some("/bin/cat"), after(1_960));
        assert!(reads(&mut table, 2, CredentialState::Retired, after(1_970)));
        table.forked(&task(3, 2), after(1_980));
        assert!(reads(&mut table, 3, CredentialState::Retired, after(1_990)));
    }

    #[test]
    fn what_reads_without_pause_uses_again_and_again() {
        let mut table = Processes::default();
        let uses = (0..600)
            .filter(|i| reads(&mut table, 2, CredentialState::Retired, after(i * 100)))
            .count();
        assert_eq!(uses, 6, "in a minute");
    }

    #[test]
    fn a_clock_that_is_set_back_hides_no_use() {
        let mut table = Processes::default();
        assert!(reads(&mut table, 2, CredentialState::Active, NOW));
        let before = after(-3_600_000);
        assert!(table.has_read(&task(2, 1), MINUTE, before).is_empty());
        assert!(reads(&mut table, 2, CredentialState::Active, before));
        assert_eq!(table.has_read(&task(2, 1), MINUTE, before).len(), 1);
    }

    #[test]
    fn a_process_of_which_nothing_was_heard_is_known_by_its_read() {
        let mut table = Processes::default();
        assert!(reads(&mut table, 7, CredentialState::Retired, NOW));
        assert!(!reads(&mut table, 7, CredentialState::Retired, NOW));
        assert_eq!(table.has_read(&task(7, 1), MINUTE, NOW).len(), 1);
    }

    #[test]
    fn a_fork_that_comes_late_takes_nothing_back() {
        let mut table = Processes::default();
        table.started(&task(2, 1), Some("/bin/sh"), NOW);
        table.started(&task(3, 2), Some("/bin/cat"), NOW);
        assert!(reads(&mut table, 3, CredentialState::Retired, NOW));
        table.forked(&task(3, 2), NOW);
        assert_eq!(table.exe(&task(3, 2)), Some("/bin/cat"));
        assert!(table.has_read(&task(3, 2), MINUTE, NOW)[0].own);
    }

    #[test]
    fn reading_much_else_does_not_make_a_retired_credential_forgotten() {
        let (mut table, task) = (Processes::default(), task(2, 1));
        table.read(&task, reading("retired", CredentialState::Retired), NOW);
        for number in 0..READS * 2 {
            let name = format!("active-{number}");
            table.read(&task, reading(&name, CredentialState::Active), NOW);
        }
        let held = table.has_read(&task, MINUTE, NOW);
        assert_eq!(held.len(), READS);
        let is_it = |held: &Recent| held.reading.credential.fingerprint.as_str() == "retired";
        assert!(held.iter().any(is_it));
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

    #[test]
    fn those_that_ended_go_first() {
        let mut table = Processes::default();
        for pid in 1..=u32::try_from(CAPACITY).unwrap() {
            table.started(&task(pid, 0), Some("/bin/sh"), NOW);
            if pid > 1 {
                table.ended(&task(pid, 0), NOW);
            }
        }
        table.started(&task(99_999, 0), None, NOW);
        assert!(table.table.len() < CAPACITY);
        assert!(
            table.exe(&task(1, 0)).is_some(),
            "it is the oldest, and runs"
        );
    }
}
