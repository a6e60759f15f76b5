//! What the sensor's threads share.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use monitor_common::Hook;
use rustix::event::{EventfdFlags, eventfd};
use rustix::time::{ClockId, clock_gettime};

use super::connector::Tasks;
use super::maps::TaskStorage;
use super::repeats::Repeats;
use crate::decode::{Clock, Decoded};
use crate::model::{Access, Fact, FileId, Record, Task, Timestamp};

/// Opens that wait to be put in order with the ring's events. Beyond this they are counted as lost.
const QUEUE: usize = 65_536;
/// Files of credential directories that were looked at and hold nothing.
const CLEAN: usize = 16_384;

pub(super) struct Shared {
    pub(super) own_pid: u32,
    pub(super) tasks: TaskStorage,
    /// Who processes are, where no program of the kernel half knows that.
    processes: RwLock<Option<Arc<Tasks>>>,
    clock: Mutex<Clock>,
    watched: RwLock<HashSet<FileId>>,
    clean: Mutex<HashMap<FileId, Version>>,
    opens: Mutex<Vec<(Hook, Decoded)>>,
    heard: [AtomicU64; Hook::COUNT as usize],
    repeats: Mutex<Repeats>,
    wake: OwnedFd,
    stop: AtomicBool,
    mark_events: AtomicU64,
    mark_folded: AtomicU64,
    mark_losses: AtomicU64,
    mark_errors: AtomicU64,
    garbled: AtomicU64,
    flow_losses: AtomicU64,
}

/// What came by marks.
pub(super) struct MarkCounts {
    pub(super) events: u64,
    pub(super) folded: u64,
    pub(super) lost: u64,
}

/// What changes whenever content does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    changed: (i64, u64),
    size: i64,
}

impl Version {
    fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            changed: (stat.st_ctime, stat.st_ctime_nsec),
            size: stat.st_size,
        }
    }
}

/// A lock that a panicking thread held is still good here: every change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nanoseconds of CLOCK_BOOTTIME.
pub(super) fn boot_time() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

impl Shared {
    pub(super) fn new(tasks: TaskStorage) -> std::io::Result<Self> {
        Ok(Self {
            own_pid: std::process::id(),
            tasks,
            processes: RwLock::default(),
            clock: Mutex::new(Clock::new(Timestamp::now(), boot_time())),
            watched: RwLock::default(),
            clean: Mutex::default(),
            opens: Mutex::default(),
            heard: [const { AtomicU64::new(0) }; Hook::COUNT as usize],
            repeats: Mutex::default(),
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            stop: AtomicBool::new(false),
            mark_events: AtomicU64::new(0),
            mark_folded: AtomicU64::new(0),
            mark_losses: AtomicU64::new(0),
            mark_errors: AtomicU64::new(0),
            garbled: AtomicU64::new(0),
            flow_losses: AtomicU64::new(0),
        })
    }

    /// From now on this says who processes are.
    pub(super) fn name_processes_by(&self, tasks: &Arc<Tasks>) {
        let mut processes = self
            .processes
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *processes = Some(Arc::clone(tasks));
    }

    /// Who processes are, where no program of the kernel half knows that.
    pub(super) fn processes(&self) -> Option<Arc<Tasks>> {
        let processes = self.processes.read();
        processes.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn clock(&self) -> Clock {
        *lock(&self.clock)
    }

    /// The clock and this moment by it.
    pub(super) fn now(&self) -> (Clock, Timestamp) {
        let clock = self.clock();
        (clock, clock.event(boot_time()))
    }

    /// Follows a clock that was set or is being slewed.
    pub(super) fn adjust_clock(&self) {
        lock(&self.clock).adjust(Timestamp::now(), boot_time());
    }

    pub(super) fn is_watched(&self, file: FileId) -> bool {
        self.watched
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&file)
    }

    /// Takes a file for watched before the daemon has said so, so that its next open is not
    /// inspected again.
    pub(super) fn expect_watched(&self, file: FileId) {
        self.watched
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(file);
    }

    pub(super) fn forget_watched(&self, file: FileId) {
        self.watched
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&file);
    }

    pub(super) fn watched_files(&self) -> usize {
        self.watched
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    pub(super) fn is_known_clean(&self, stat: &rustix::fs::Stat) -> bool {
        let file = FileId {
            dev: stat.st_dev,
            ino: stat.st_ino,
        };
        lock(&self.clean).get(&file) == Some(&Version::of(stat))
    }

    pub(super) fn set_known_clean(&self, stat: &rustix::fs::Stat) {
        let mut clean = lock(&self.clean);
        if clean.len() >= CLEAN {
            // Only costs another look at each.
            clean.clear();
        }
        clean.insert(
            FileId {
                dev: stat.st_dev,
                ino: stat.st_ino,
            },
            Version::of(stat),
        );
    }

    /// Whether this process opened this file a moment ago; then it is counted there. Two opens in a
    /// row are one use; asking who it is again would only make its loop dear for everybody.
    pub(super) fn is_repeated(&self, pid: i32, file: FileId) -> bool {
        let repeated = lock(&self.repeats).note(pid, file, Instant::now());
        if repeated {
            self.mark_folded.fetch_add(1, Ordering::Relaxed);
        }
        repeated
    }

    /// This process opened this file, and that is told now. Returns how often it had done so before,
    /// untold.
    pub(super) fn told(&self, pid: i32, file: FileId, task: &Task) -> u64 {
        lock(&self.repeats).told(pid, file, task, Instant::now())
    }

    /// Tells how often opens were repeated by whoever has not done so for a moment; of `everybody`,
    /// when the next open of anything is of interest.
    pub(super) fn tell_repeats(&self, everybody: bool) {
        let ended = lock(&self.repeats).ended(Instant::now(), everybody);
        if ended.is_empty() {
            return;
        }
        let time = self.now().1;
        let facts = ended.into_iter().map(|repeated| Fact::FileAccess {
            task: repeated.task,
            file: repeated.file,
            access: Access::Open,
            path: None,
            count: repeated.count,
        });
        let records = facts.map(|fact| Decoded::Fact(Record { time, fact }));
        self.push(Hook::FileOpen, records);
    }

    /// An event of the self-test came through a hook to the daemon.
    pub(super) fn count_heard(&self, hook: Hook) {
        if let Some(heard) = self.heard.get(hook as usize) {
            heard.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many did.
    pub(super) fn heard(&self, hook: Hook) -> u64 {
        let heard = self.heard.get(hook as usize);
        heard.map_or(0, |heard| heard.load(Ordering::Relaxed))
    }

    /// Queues what a thread of the sensor saw beside the rings, and wakes the thread that puts it
    /// in order.
    pub(super) fn push(&self, hook: Hook, facts: impl Iterator<Item = Decoded>) {
        let mut opens = lock(&self.opens);
        for fact in facts {
            if opens.len() < QUEUE {
                opens.push((hook, fact));
            } else {
                self.count_mark_loss();
            }
        }
        drop(opens);
        self.wake();
    }

    pub(super) fn take_opens(&self, into: &mut Vec<(Hook, Decoded)>) {
        into.append(&mut lock(&self.opens));
    }

    pub(super) fn wake(&self) {
        // Full means that a wake-up is pending already.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    pub(super) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    pub(super) fn clear_wake(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(super) fn count_mark_event(&self) {
        self.mark_events.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_mark_loss(&self) {
        self.mark_losses.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_mark_error(&self) {
        self.mark_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages from port 53 that were none.
    pub(super) fn count_garbled(&self, count: u64) {
        self.garbled.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn garbled(&self) -> u64 {
        self.garbled.load(Ordering::Relaxed)
    }

    /// Flows that the table has lost.
    pub(super) fn count_flow_losses(&self, count: u64) {
        self.flow_losses.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn flow_losses(&self) -> u64 {
        self.flow_losses.load(Ordering::Relaxed)
    }

    /// An open whose actor could not be named is lost too.
    pub(super) fn mark_counts(&self) -> MarkCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MarkCounts {
            events: of(&self.mark_events),
            folded: of(&self.mark_folded),
            lost: of(&self.mark_losses) + of(&self.mark_errors),
        }
    }
}
