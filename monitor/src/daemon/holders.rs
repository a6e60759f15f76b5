//! Looks for credentials where no file is: in the arguments of a program when it starts, in the
//! environment of one that stays, in what is added to logs, and at the kernel's keys. On a thread of
//! its own: a process that is stuck in the kernel holds up who reads of it.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::keys;
use super::logs::Logs;
use crate::credential::{FingerprintKey, held};
use crate::model::{Fact, HeldIn, KernelKey, ProcessKey, Task};

/// How long a program has to be there before its environment is read. Most end sooner.
const STAYS: Duration = Duration::from_secs(2);
/// Programs that may wait for a look. Those of two seconds on a host that starts thousands a second.
const WAITING: usize = 16_384;
/// How often logs and keys are looked at.
const ROUND: Duration = Duration::from_secs(5);
/// What was found and not taken in yet.
const FOUND: usize = 256;
/// How far the kernel's own time of a process's start, which it gives in hundredths of a second, may
/// be from the one that came with its events.
const SAME_START: Duration = Duration::from_millis(100);

/// What is looked at.
pub(super) struct Options {
    /// Environments, which needs CAP_SYS_PTRACE.
    pub(super) environments: bool,
    /// Directories of logs.
    pub(super) logs: Vec<PathBuf>,
}

/// The thread. Dropping it ends it.
pub(super) struct Holders {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    started: VecDeque<Started>,
    /// In the order in which they are due, or nearly.
    staying: VecDeque<(Instant, Started)>,
    /// When each of them is due. A process that runs one program after the other is looked at as the
    /// last of them: `setpriv` is root still, and what it runs is not.
    due: HashMap<ProcessKey, Instant>,
    lost: u64,
    stop: bool,
}

/// A program that was started.
struct Started {
    task: Task,
    /// When its process started, by the clock that runs since boot.
    at: Duration,
}

impl Holders {
    /// Starts it. What is found comes as facts; the receiver ends it by going away.
    ///
    /// # Errors
    /// When no thread can be made.
    pub(super) fn start(
        options: Options,
        key: Arc<FingerprintKey>,
    ) -> std::io::Result<(Self, mpsc::Receiver<Fact>)> {
        let (to, found) = mpsc::channel(FOUND);
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            shared: Arc::clone(&shared),
            logs: Logs::new(options.logs),
            environments: options.environments,
            keys: Vec::new(),
            key,
            to,
        };
        let thread = std::thread::Builder::new().name("credential-held".to_owned());
        let thread = Some(thread.spawn(move || worker.run())?);
        Ok((Self { shared, thread }, found))
    }

    /// A program was started `ago`.
    pub(super) fn started(&self, task: &Task, ago: Duration) {
        self.push(task, ago, |queue, started| queue.started.push_back(started));
    }

    /// A program that has been there before anybody looked.
    pub(super) fn running(&self, task: &Task, ago: Duration) {
        let due = Instant::now();
        self.push(task, ago, |queue, started| queue.stay(due, started));
    }

    fn push(&self, task: &Task, ago: Duration, to: impl FnOnce(&mut Queue, Started)) {
        let mut queue = lock(&self.shared);
        if queue.started.len() + queue.staying.len() >= WAITING {
            queue.lost += 1;
            return;
        }
        let started = Started {
            task: task.clone(),
            at: since_boot().saturating_sub(ago),
        };
        to(&mut queue, started);
        drop(queue);
        self.shared.wake.notify_one();
    }
}

impl Drop for Holders {
    fn drop(&mut self) {
        lock(&self.shared).stop = true;
        self.shared.wake.notify_one();
        // It may be waiting for the kernel, or for room where nobody takes any more; it holds nothing
        // that has to be put away.
        drop(self.thread.take());
    }
}

impl Queue {
    fn stay(&mut self, due: Instant, started: Started) {
        self.due.insert(started.task.key(), due);
        self.staying.push_back((due, started));
    }

    /// The next that is due, where it has not run another program since.
    fn stayed(&mut self, now: Instant) -> Option<Started> {
        while self.staying.front().is_some_and(|(due, _)| *due <= now) {
            let (due, started) = self.staying.pop_front()?;
            let key = started.task.key();
            if self.due.get(&key) == Some(&due) {
                self.due.remove(&key);
                return Some(started);
            }
        }
        None
    }
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, Queue> {
    shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

struct Worker {
    shared: Arc<Shared>,
    logs: Logs,
    environments: bool,
    keys: Vec<KernelKey>,
    key: Arc<FingerprintKey>,
    to: mpsc::Sender<Fact>,
}

/// What the thread does next.
enum Next {
    Arguments(Started),
    Environment(Started),
    Lost(u64),
    Round,
    Stop,
}

impl Worker {
    fn run(mut self) {
        let mut round = Instant::now();
        loop {
            let facts = match self.next(round) {
                Next::Stop => return,
                Next::Lost(count) => vec![Fact::Lost {
                    hook: "environments".to_owned(),
                    cpu: None,
                    count,
                }],
                Next::Arguments(started) => self.arguments(started),
                Next::Environment(started) => self.environment(&started),
                Next::Round => {
                    round = Instant::now() + ROUND;
                    let mut facts = self.logs.turn(&self.key);
                    facts.extend(self.kernel_keys());
                    facts
                }
            };
            for fact in facts {
                if self.to.blocking_send(fact).is_err() {
                    return;
                }
            }
        }
    }

    /// Waits for what is to be done.
    fn next(&self, round: Instant) -> Next {
        let mut queue = lock(&self.shared);
        loop {
            let now = Instant::now();
            if queue.stop {
                return Next::Stop;
            }
            if queue.lost > 0 {
                return Next::Lost(std::mem::take(&mut queue.lost));
            }
            // First what may be gone in a moment.
            if let Some(started) = queue.started.pop_front() {
                return Next::Arguments(started);
            }
            if let Some(started) = queue.stayed(now) {
                return Next::Environment(started);
            }
            let due = queue.staying.front().map(|(due, _)| *due);
            if round <= now {
                return Next::Round;
            }
            let until = due.map_or(round, |due| due.min(round));
            let wait = until.saturating_duration_since(now);
            let waited = self.shared.wake.wait_timeout(queue, wait);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The arguments of a program that has just started; its environment is read if it stays.
    fn arguments(&self, started: Started) -> Vec<Fact> {
        let found = held::arguments(started.task.pid, &self.key).unwrap_or_default();
        let facts = if found.is_empty() || !started.is_there() {
            Vec::new()
        } else {
            let hold = |credential| Fact::Holds {
                task: started.task.clone(),
                place: HeldIn::Arguments,
                credential,
            };
            found.into_iter().map(hold).collect()
        };
        if self.environments {
            let due = Instant::now() + STAYS;
            lock(&self.shared).stay(due, started);
        }
        facts
    }

    fn environment(&self, started: &Started) -> Vec<Fact> {
        if !self.environments || !started.is_there() {
            return Vec::new();
        }
        let found = match held::environment(started.task.pid, &self.key) {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(pid = started.task.pid, %error, "an environment was not read");
                return Vec::new();
            }
        };
        let hold = |of: held::Variable| Fact::Holds {
            task: started.task.clone(),
            place: HeldIn::Environment { variable: of.name },
            credential: of.credential,
        };
        found.into_iter().map(hold).collect()
    }

    fn kernel_keys(&mut self) -> Option<Fact> {
        let keys = keys::all();
        (keys != self.keys).then(|| {
            self.keys.clone_from(&keys);
            Fact::KernelKeys { keys }
        })
    }
}

impl Started {
    /// Whether the process is there, and no other that has got its pid.
    fn is_there(&self) -> bool {
        let Ok(pid) = i32::try_from(self.task.pid) else {
            return false;
        };
        let stat = procfs::process::Process::new(pid).and_then(|process| process.stat());
        stat.is_ok_and(|stat| {
            let ticks = procfs::ticks_per_second();
            let at = Duration::from_secs_f64(stat.starttime as f64 / ticks as f64);
            at.abs_diff(self.at) <= SAME_START
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FileId, Timestamp};

    fn task(pid: u32) -> Task {
        Task {
            pid,
            start: Timestamp(1),
            ppid: 1,
            parent_start: Timestamp(0),
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
    fn an_environment_is_read_of_the_process_that_was_meant_and_of_no_other() {
        let key = Arc::new(FingerprintKey::generate().unwrap());
        let options = Options {
            environments: true,
            logs: Vec::new(),
        };
        let (holders, mut found) = Holders::start(options, key).unwrap();
        let token = concat!("ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17");
        let mut child = std::process::Command::new("sleep")
            .arg("20")
            .env("DEPLOY_TOKEN", token)
            .spawn()
            .unwrap();
        // Another process, of an hour ago, had this pid.
        holders.running(&task(child.id()), Duration::from_secs(3_600));
        std::thread::sleep(Duration::from_millis(50));
        holders.running(&task(child.id()), Duration::from_millis(50));
        let fact = std::iter::from_fn(|| found.blocking_recv())
            .find(|fact| matches!(fact, Fact::Holds { .. }));
        let _ = child.kill();
        let _ = child.wait();
        let Some(Fact::Holds { place, .. }) = fact else {
            panic!("{fact:?}");
        };
        let variable = "DEPLOY_TOKEN".to_owned();
        assert_eq!(place, HeldIn::Environment { variable });
        let rest: Vec<_> = std::iter::from_fn(|| found.try_recv().ok()).collect();
        let more = rest.iter().any(|fact| matches!(fact, Fact::Holds { .. }));
        assert!(!more, "{rest:?}");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let shared = Arc::new(Shared::default());
        let holders = Holders {
            shared: Arc::clone(&shared),
            thread: None,
        };
        for _ in 0..WAITING + 3 {
            holders.started(&task(1), Duration::ZERO);
        }
        assert_eq!(lock(&shared).lost, 3);
        assert_eq!(lock(&shared).started.len(), WAITING);
    }
}
