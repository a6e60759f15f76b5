//! The process connector: the kernel tells over netlink who forks, starts a program, ends, changes
//! ids or is traced. No BPF program is needed, so it is the rung below all others: for kernels that
//! load none or hide what they read, and for ptrace within one uid where nothing else sees it.
//!
//! An event names threads and little else; the rest is read from /proc by the time it is received.
//! What has ended before that is told with what it had inherited, and counted as late.

mod cgroup;
mod loss;
pub mod message;
mod priority;
mod socket;
mod table;
mod task;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::shared::boot_time;
use crate::decode::Clock;
use crate::model::{Fact, MemoryAccess, Record, Task};
use loss::Losses;
use message::{Event, LONGEST, Message, Thread, messages};
use socket::{Socket, Subscription, answer};
use table::{Change, Started, taken_uid};

pub(super) use table::Tasks;

/// The name of this backend's queue in [`Fact::Lost`].
const NAME: &str = "process_connector";
/// Most events that are turned into facts before these are handed on.
const BATCH: usize = 256;
/// How often losses are told.
const LOSSES_EVERY: Duration = Duration::from_secs(1);

/// Which events are turned into facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wants {
    /// Forks, execs and exits.
    pub(super) processes: bool,
    /// Changes of uids.
    pub(super) identity: bool,
    /// Attaching by ptrace(2).
    pub(super) ptrace: bool,
}

/// Who names the process behind a pid. All facts about one process must name it alike.
#[derive(Clone)]
pub(super) enum Actors {
    /// The table that these events and /proc fill: where no BPF program sees processes.
    Table(Arc<Tasks>),
    /// The kernel half's task storage.
    Kernel(Arc<ByKernel>),
}

/// Asks the kernel half.
pub(super) type ByKernel = dyn Fn(u32, &Clock) -> Option<Task> + Send + Sync;

/// How many events came, of each kind, and what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// Processes that were made.
    pub(super) forks: u64,
    /// Programs that were started.
    pub(super) execs: u64,
    /// Processes whose first thread ended.
    pub(super) exits: u64,
    /// Changes of uids, each thread's.
    pub(super) uids: u64,
    /// Threads that were attached to.
    pub(super) attaches: u64,
    /// Threads, gids, names, detached threads and all else that is no fact.
    pub(super) others: u64,
    /// Events that were lost: there was no room in the socket, or no memory for them.
    pub(super) lost: u64,
    /// Execs of processes that had ended before /proc was read: their facts have no path.
    pub(super) late: u64,
    /// Events of processes of which nothing is known, and uids of which is not known what they were
    /// before: no facts.
    pub(super) unknown: u64,
    /// Messages that were not understood.
    pub(super) malformed: u64,
}

/// [`Counts`] as they grow.
#[derive(Debug, Default)]
struct Counters {
    forks: AtomicU64,
    execs: AtomicU64,
    exits: AtomicU64,
    uids: AtomicU64,
    attaches: AtomicU64,
    others: AtomicU64,
    lost: AtomicU64,
    late: AtomicU64,
    unknown: AtomicU64,
    malformed: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Where the facts go.
pub(super) trait Outlet {
    fn stopping(&self) -> bool;
    fn clock(&self) -> Clock;
    fn push(&self, facts: Vec<Record>);
}

/// The subscription to events of processes.
pub(super) struct Connector {
    socket: Socket,
    actors: Actors,
    wants: AtomicU8,
    subscribed: Mutex<Subscription>,
    /// Whether the stream holds all events of all CPUs from the answer to `request` on.
    whole: AtomicBool,
    request: AtomicU32,
    losses: Mutex<Losses>,
    counters: Counters,
}

impl Connector {
    /// Subscribes. What happens from now on waits in the socket until it is served.
    ///
    /// # Errors
    /// A sentence that says why not: no CAP_NET_ADMIN, another namespace than the host's, a kernel
    /// without CONFIG_PROC_EVENTS.
    pub(super) fn open(actors: Actors, wants: Wants) -> Result<Self, String> {
        let socket = Socket::open().map_err(|refused| refused.to_string())?;
        let drops = socket
            .drops()
            .map_err(|error| format!("what is lost cannot be counted (SO_MEMINFO): {error}"))?;
        let connector = Self {
            socket,
            actors,
            wants: AtomicU8::new(0),
            subscribed: Mutex::new(Subscription::Everything),
            whole: AtomicBool::new(true),
            // Other listeners' answers are seen too: they hardly begin here.
            request: AtomicU32::new(clock_gettime(ClockId::Monotonic).tv_nsec as u32),
            losses: Mutex::new(Losses::new(drops)),
            counters: Counters::default(),
        };
        connector.set_wants(wants)?;
        Ok(connector)
    }

    /// Changes which events are turned into facts, and what the kernel is asked for.
    ///
    /// # Errors
    /// A sentence that says why the kernel was not asked; the facts change all the same.
    pub(super) fn set_wants(&self, wants: Wants) -> Result<(), String> {
        self.wants.store(wants.to_bits(), Ordering::Relaxed);
        let to = self.subscription(wants);
        let mut subscribed = self
            .subscribed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *subscribed == to {
            return Ok(());
        }
        let request = self.request.fetch_add(2, Ordering::AcqRel).wrapping_add(2);
        let whole = self.whole.swap(false, Ordering::AcqRel);
        self.socket.subscribe(to, request).map_err(|refused| {
            self.whole.store(whole, Ordering::Release);
            refused.to_string()
        })?;
        *subscribed = to;
        Ok(())
    }

    /// Everything while processes are followed: then the numbers of the events prove that none is
    /// missing. Else only what is wanted, so that nobody pays for each fork and exit of the host.
    fn subscription(&self, wants: Wants) -> Subscription {
        let follows = wants.identity || wants.ptrace;
        if wants.processes || (follows && matches!(self.actors, Actors::Table(_))) {
            return Subscription::Everything;
        }
        let mut events = 0;
        if wants.identity {
            events |= libc::PROC_EVENT_UID;
        }
        if wants.ptrace {
            events |= libc::PROC_EVENT_PTRACE;
        }
        match events {
            0 => Subscription::Nothing,
            _ if !self.socket.has_masks() => Subscription::Everything,
            events => Subscription::Only(events),
        }
    }

    /// How this works on this kernel.
    pub(super) fn backend(&self) -> &'static str {
        if self.socket.has_masks() {
            "process connector with masks"
        } else {
            "process connector"
        }
    }

    /// What came and what was lost. Losses are up to date when the connector is served.
    pub(super) fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        Counts {
            forks: of(&counters.forks),
            execs: of(&counters.execs),
            exits: of(&counters.exits),
            uids: of(&counters.uids),
            attaches: of(&counters.attaches),
            others: of(&counters.others),
            lost: of(&counters.lost),
            late: of(&counters.late),
            unknown: of(&counters.unknown),
            malformed: of(&counters.malformed),
        }
    }

    /// Serves until the sensor stops, on a thread of its own. Losses are told as facts too.
    pub(super) fn serve(&self, outlet: &impl Outlet) {
        let wants = Wants::from_bits(self.wants.load(Ordering::Relaxed));
        // Only paths of programs are read in a race against their end.
        if wants.processes
            && let Err(error) = priority::raise()
        {
            tracing::warn!(
                %error,
                "programs that end at once will often have no path: the process connector's \
                 thread gets no real-time priority (CAP_SYS_NICE)"
            );
        }
        let (mut told, mut next) = (0, Instant::now());
        let mut offset = BootOffset::default();
        loop {
            let stopping = outlet.stopping();
            if !stopping {
                readable(self.socket.as_fd());
            }
            offset.measure();
            let mut facts = Vec::new();
            let full = self.receive(&outlet.clock(), offset, &mut facts);
            self.look_for_losses();
            if Instant::now() >= next || stopping {
                next = Instant::now() + LOSSES_EVERY;
                let lost = self.counters.lost.load(Ordering::Relaxed);
                if lost > told {
                    facts.push(Record {
                        time: outlet.clock().event(boot_time()),
                        fact: Fact::Lost {
                            hook: NAME.to_owned(),
                            cpu: None,
                            count: lost - told,
                        },
                    });
                    told = lost;
                }
            }
            if !facts.is_empty() {
                outlet.push(facts);
            }
            if stopping && !full {
                return;
            }
        }
    }

    /// Takes what is there; `true` when there may be more.
    fn receive(&self, clock: &Clock, offset: BootOffset, facts: &mut Vec<Record>) -> bool {
        let mut buffer = [0; LONGEST];
        for _ in 0..BATCH {
            let datagram = match self.socket.receive(&mut buffer) {
                Ok(Some(datagram)) => datagram,
                Ok(None) => {
                    count(&self.counters.malformed);
                    continue;
                }
                Err(Errno::AGAIN) => return false,
                // A kernel that knows no better way to tell of a loss: it is counted in the socket.
                Err(Errno::INTR | Errno::NOBUFS) => continue,
                Err(error) => {
                    tracing::error!(%error, "events of processes could not be received");
                    return false;
                }
            };
            for message in messages(datagram) {
                match message {
                    Ok(message) => self.take(&message, clock, offset, facts),
                    Err(error) => {
                        count(&self.counters.malformed);
                        tracing::warn!(%error, "an event of a process was not understood");
                    }
                }
            }
        }
        true
    }

    fn take(&self, message: &Message, clock: &Clock, offset: BootOffset, facts: &mut Vec<Record>) {
        self.follow(message);
        let at = message.time.saturating_add(offset.0);
        if let Some(fact) = self.fact(message.event, at, clock) {
            let time = clock.event(at);
            facts.push(Record { time, fact });
        }
    }

    /// Keeps account of what is missing before this message.
    fn follow(&self, message: &Message) {
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        if self.whole.load(Ordering::Acquire) {
            losses.message(message.cpu, message.sequence);
        } else if answer(message, self.request.load(Ordering::Acquire)) == Some(0) {
            losses.begin();
            self.whole.store(true, Ordering::Release);
        }
    }

    fn look_for_losses(&self) {
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        match self.socket.drops() {
            Ok(drops) => losses.socket(drops),
            Err(error) => tracing::error!(%error, "losses of the process connector are not known"),
        }
        let lost = losses.total();
        let before = self.counters.lost.swap(lost, Ordering::Relaxed);
        if let Actors::Table(tasks) = &self.actors
            && lost > before
        {
            tasks.doubt();
        }
    }

    fn fact(&self, event: Event, at: u64, clock: &Clock) -> Option<Fact> {
        let wants = Wants::from_bits(self.wants.load(Ordering::Relaxed));
        let counters = &self.counters;
        match event {
            Event::Fork { parent, child } => {
                count(if child.is_leader() {
                    &counters.forks
                } else {
                    &counters.others
                });
                let Actors::Table(tasks) = &self.actors else {
                    return None;
                };
                let task = tasks.forked(parent, child, at, clock);
                if child.is_leader() && task.is_none() {
                    count(&counters.unknown);
                }
                task.filter(|_| wants.processes)
                    .map(|task| Fact::Fork { task })
            }
            Event::Exec(thread) => {
                count(&counters.execs);
                let Actors::Table(tasks) = &self.actors else {
                    return None;
                };
                let Some(Started { task, path }) = tasks.executed(thread.process, at, clock) else {
                    count(&counters.unknown);
                    return None;
                };
                if path.is_none() {
                    count(&counters.late);
                }
                wants.processes.then(|| Fact::Exec {
                    task,
                    path: path.unwrap_or_default(),
                    permitted: None,
                })
            }
            Event::Exit(thread) => {
                count(if thread.is_leader() {
                    &counters.exits
                } else {
                    &counters.others
                });
                let Actors::Table(tasks) = &self.actors else {
                    return None;
                };
                // One that nobody knows is no news when it ends.
                tasks
                    .exited(thread)
                    .filter(|_| wants.processes)
                    .map(|task| Fact::Exit { task })
            }
            Event::Uid {
                thread,
                real,
                effective,
            } => {
                count(&counters.uids);
                self.identity_change(thread, (real, effective), at, clock)
                    .filter(|_| wants.identity)
            }
            Event::Ptrace { thread, tracer } if tracer.process != 0 => {
                count(&counters.attaches);
                wants
                    .ptrace
                    .then(|| self.attached(thread, tracer, at, clock))?
            }
            Event::Gid { thread, real } => {
                count(&counters.others);
                if let Actors::Table(tasks) = &self.actors {
                    tasks.took_gid(thread, real);
                }
                None
            }
            Event::Ack { .. } | Event::Ptrace { .. } | Event::Other(_) => {
                count(&counters.others);
                None
            }
        }
    }

    fn identity_change(
        &self,
        thread: Thread,
        (real, effective): (u32, u32),
        at: u64,
        clock: &Clock,
    ) -> Option<Fact> {
        let change = match &self.actors {
            Actors::Table(tasks) => tasks.took_uids(thread, (real, effective), at, clock),
            Actors::Kernel(named) => match named(thread.process, clock) {
                None => Change::Unclear,
                Some(task) => match taken_uid(&task, real, effective) {
                    Some(uid) => Change::Uid(Box::new(task), uid),
                    // Task storage has caught up with the first thread. Others follow it.
                    None if thread.is_leader() => Change::Uid(Box::new(task), real),
                    None => Change::None,
                },
            },
        };
        match change {
            Change::Uid(task, uid) => Some(Fact::IdentityChange { task: *task, uid }),
            Change::None => None,
            Change::Unclear => {
                count(&self.counters.unknown);
                None
            }
        }
    }

    fn attached(&self, thread: Thread, tracer: Thread, at: u64, clock: &Clock) -> Option<Fact> {
        let of = |pid| match &self.actors {
            Actors::Table(tasks) => tasks.at(pid, at, clock),
            Actors::Kernel(named) => named(pid, clock),
        };
        let (Some(task), Some(target)) = (of(tracer.process), of(thread.process)) else {
            count(&self.counters.unknown);
            return None;
        };
        Some(Fact::MemoryAccess {
            task,
            target,
            how: MemoryAccess::Ptrace,
            granted: true,
        })
    }
}

impl Wants {
    fn to_bits(self) -> u8 {
        u8::from(self.processes) | u8::from(self.identity) << 1 | u8::from(self.ptrace) << 2
    }

    fn from_bits(bits: u8) -> Self {
        Self {
            processes: bits & 1 != 0,
            identity: bits & 2 != 0,
            ptrace: bits & 4 != 0,
        }
    }
}

/// What CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC, in nanoseconds: the time spent suspended.
#[derive(Debug, Clone, Copy, Default)]
struct BootOffset(u64);

impl BootOffset {
    /// Differences below this are those between two readings.
    const JITTER: u64 = 1_000_000;

    fn measure(&mut self) {
        let now = clock_gettime(ClockId::Monotonic);
        let monotonic = u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000
            + u64::try_from(now.tv_nsec).unwrap_or(0);
        let offset = boot_time().saturating_sub(monotonic);
        if offset.abs_diff(self.0) > Self::JITTER {
            self.0 = offset;
        }
    }
}

/// Waits for at most a quarter of a second, so that a stop is noticed.
fn readable(fd: BorrowedFd<'_>) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: 250_000_000,
    };
    // Interrupted or timed out: either way it is time to look.
    let _ = poll(&mut fds, Some(&timeout));
}
