//! Runs the process connector while a hook stands on it, and no longer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use monitor_common::Hook;

use super::actor;
use super::connector::{Actors, Connector, Counts, Outlet, Tasks, Wants};
use super::hooks::Attach;
use super::ladder::Ladder;
use super::shared::Shared;
use super::thread;
use crate::decode::{Clock, Decoded};
use crate::model::{Fact, Record};

/// The connector, if any.
pub(super) struct Follower {
    shared: Arc<Shared>,
    /// Whether there is one on this host.
    pub(super) available: Result<(), String>,
    running: Mutex<Option<Running>>,
}

struct Running {
    connector: Arc<Connector>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    /// Whether it is the one that knows who processes are.
    names_processes: bool,
}

/// Puts what the connector tells into the sensor's queue.
struct Queue {
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
}

impl Outlet for Queue {
    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire) || self.shared.stopping()
    }

    fn clock(&self) -> Clock {
        self.shared.clock()
    }

    fn push(&self, facts: Vec<Record>) {
        for record in facts {
            let hook = hook_of(&record.fact);
            self.shared
                .push(hook, std::iter::once(Decoded::Fact(record)));
        }
    }
}

/// The hook that a fact of the connector stands for.
fn hook_of(fact: &Fact) -> Hook {
    match fact {
        Fact::Fork { .. } => Hook::ProcessFork,
        Fact::Exit { .. } => Hook::ProcessExit,
        Fact::IdentityChange { .. } => Hook::IdentityChange,
        Fact::MemoryAccess { .. } => Hook::MemoryAccess,
        Fact::Running { .. } => Hook::RunningTasks,
        _ => Hook::ProcessExec,
    }
}

fn wants(ladder: &Ladder) -> Wants {
    let stands = |hook| ladder.stands_on(hook, Attach::Connector);
    let processes = [Hook::ProcessExec, Hook::ProcessFork, Hook::ProcessExit];
    Wants {
        processes: processes.into_iter().any(stands),
        identity: stands(Hook::IdentityChange),
        ptrace: stands(Hook::MemoryAccess),
    }
}

impl Follower {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let by_kernel = by_kernel(shared);
        Self {
            shared: Arc::clone(shared),
            available: Connector::open(by_kernel, Wants::default()).map(drop),
            running: Mutex::new(None),
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the connector to what the hooks stand on now.
    pub(super) fn follow(&self, ladder: &Ladder) -> Result<(), String> {
        let wants = wants(ladder);
        let mut running = self.running();
        if let Some(now) = running.as_ref()
            && wants != Wants::default()
            && now.names_processes == wants.processes
        {
            return now.connector.set_wants(wants);
        }
        if let Some(before) = running.take() {
            before.end();
        }
        if wants == Wants::default() {
            return Ok(());
        }
        let actors = if wants.processes {
            let tasks = Arc::new(Tasks::new());
            self.shared.name_processes_by(&tasks);
            Actors::Table(tasks)
        } else {
            by_kernel(&self.shared)
        };
        let connector = Arc::new(Connector::open(actors, wants)?);
        let stop = Arc::new(AtomicBool::new(false));
        let queue = Queue {
            shared: Arc::clone(&self.shared),
            stop: Arc::clone(&stop),
        };
        let serving = Arc::clone(&connector);
        let thread = thread::spawn("sensor-connector", move || serving.serve(&queue))
            .map_err(|error| format!("no thread for the process connector: {error}"))?;
        *running = Some(Running {
            connector,
            stop,
            thread,
            names_processes: wants.processes,
        });
        Ok(())
    }

    /// Tells of every process that runs, by /proc.
    pub(super) fn tell_running(&self) {
        let tasks = self.shared.processes().unwrap_or_default();
        let (clock, time) = self.shared.now();
        let facts = tasks.running(&clock);
        let facts = facts.map(|fact| Decoded::Fact(Record { time, fact }));
        self.shared.push(Hook::RunningTasks, facts);
    }

    /// How often the connector told of what a hook watches, and how many events it lost.
    pub(super) fn counts(&self, hook: Hook) -> (u64, u64) {
        let running = self.running();
        let Some(running) = running.as_ref() else {
            return (0, 0);
        };
        let Counts {
            forks,
            execs,
            exits,
            uids,
            attaches,
            lost,
            ..
        } = running.connector.counts();
        match hook {
            Hook::ProcessFork => (forks, 0),
            // Which kind the lost ones were is not known: they are told with one.
            Hook::ProcessExec => (execs, lost),
            Hook::ProcessExit => (exits, 0),
            Hook::IdentityChange => (uids, 0),
            Hook::MemoryAccess => (attaches, 0),
            _ => (0, 0),
        }
    }
}

impl Running {
    fn end(self) {
        self.stop.store(true, Ordering::Release);
        // One that panicked has nothing more to tell.
        let _ = self.thread.join();
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(running) = self.running().take() {
            running.end();
        }
    }
}

fn by_kernel(shared: &Arc<Shared>) -> Actors {
    let shared = Arc::clone(shared);
    Actors::Kernel(Arc::new(move |pid, clock| actor::of(pid, &shared, clock)))
}
