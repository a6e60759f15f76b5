//! Drains the rings and hands on what they held, in order of time.

use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use bytes::BytesMut;
use monitor_common::{Hook, HookCounters};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use tokio::sync::mpsc;

use super::actor;
use super::control_sockets::{ControlSockets, Guard};
use super::family::Family;
use super::gateway::{Flows, Table};
use super::maps::Counters;
use super::shared::{Shared, boot_time};
use crate::decode::{self, Decoded, DnsBytes, FlowBegin, Names};
use crate::model::{Fact, Protocol, Record, Timestamp};

/// Most records that one batch takes from the ring, so that a flood does not grow it without end.
const BATCH: usize = 4_096;
/// Most that goes on at once.
const SENT_AT_ONCE: usize = 1_024;
/// Shortest time between two batches. The first event after a quiet moment goes on at once; a
/// flood is taken in by the hundreds, or each event would cost a wake-up of every stage.
const BREATH: Duration = Duration::from_millis(4);
/// How often the table of flows is looked through.
const FLOWS_EVERY: Duration = Duration::from_secs(5);
/// How often losses are looked up.
const LOSSES_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Drain {
    pub(super) rings: Rings,
    pub(super) shared: Arc<Shared>,
    pub(super) counters: Arc<Counters>,
    pub(super) sockets: Arc<ControlSockets>,
    pub(super) interval: Duration,
    pub(super) sender: mpsc::Sender<Vec<Decoded>>,
    /// Traffic of devices; `None` where no interface is watched.
    pub(super) gateway: Option<Devices>,
}

/// What is known of devices' traffic.
pub(super) struct Devices {
    pub(super) table: Table,
    pub(super) flows: Flows,
    /// How often a flow is told again.
    pub(super) interval: Duration,
}

/// The rings of the kernel half.
pub(super) struct Rings {
    /// What happens to watched credentials.
    pub(super) credentials: RingBuf<MapData>,
    /// Everything else.
    pub(super) events: RingBuf<MapData>,
}

impl Drain {
    pub(super) fn run(mut self) {
        let mut known = vec![Vec::new(); Hook::ALL.len()];
        let (mut known_mark_losses, mut undecodable) = (0, 0u64);
        let mut next_losses = Instant::now();
        let mut next_flows = Instant::now();
        let mut records = Records::default();
        let mut family = Family::new(self.shared.own_pid);
        let mut names = Names::default();
        let waiter = match Waiter::new(&self.rings, &self.shared, self.interval) {
            Ok(waiter) => waiter,
            Err(error) => {
                tracing::error!(%error, "the rings cannot be waited for; the sensor stops");
                return;
            }
        };
        let (mut full, mut last) = (false, Instant::now());
        loop {
            let stopping = self.shared.stopping();
            if !stopping && !full {
                waiter.wait(&self.shared);
                if let Some(early) = BREATH.checked_sub(last.elapsed()) {
                    std::thread::sleep(early);
                }
                last = Instant::now();
            }
            let mut seen = Vec::new();
            // Opens first, then credentials: an actor's exec is in the ring of events before its
            // deed is anywhere.
            self.shared.take_opens(&mut seen);
            full = records.fill(&mut self.rings.credentials);
            full |= records.fill(&mut self.rings.events);
            let clock = self.shared.clock();
            for bytes in records.drain() {
                match (decode::hook(&bytes), decode::decode(&bytes, &clock)) {
                    (Some(hook), Ok(decoded)) => seen.push((hook, decoded)),
                    (_, result) => {
                        undecodable += 1;
                        let error = result.err();
                        tracing::error!(?error, "a record of the kernel half was not understood");
                    }
                }
            }
            seen.sort_by_key(|(_, decoded)| decoded.time());
            let mut batch = Vec::with_capacity(seen.len());
            for (hook, decoded) in seen {
                match decoded {
                    Decoded::Dns(dns) => batch.extend(self.take_names(&dns, &mut names)),
                    Decoded::Flow(begin) => batch.extend(self.take_flow(begin)),
                    decoded => batch.extend(self.take_in(hook, decoded, &mut family)),
                }
            }
            if let Some(devices) = &self.gateway
                && (Instant::now() >= next_flows || stopping)
            {
                next_flows = Instant::now() + FLOWS_EVERY.min(devices.interval);
                self.sweep_flows(&mut batch);
            }
            if Instant::now() >= next_losses || stopping {
                next_losses = Instant::now() + LOSSES_EVERY;
                self.shared.adjust_clock();
                self.losses(
                    &mut known,
                    &mut known_mark_losses,
                    &mut undecodable,
                    &mut names,
                    &mut batch,
                );
            }
            while !batch.is_empty() {
                // Whoever asks the daemon something is answered between two of these.
                let rest = batch.split_off(batch.len().min(SENT_AT_ONCE));
                if self.sender.blocking_send(batch).is_err() {
                    return;
                }
                batch = rest;
            }
            if stopping && !full {
                return;
            }
        }
    }

    /// Adds what only the daemon knows. `None` for acts of the self-test, which are proof that a
    /// hook works and nothing else.
    fn take_in(&self, hook: Hook, mut decoded: Decoded, family: &mut Family) -> Option<Decoded> {
        if family.is_own(&decoded) {
            self.shared.count_heard(hook);
            return None;
        }
        match &mut decoded {
            Decoded::UnixSocket { time, task, file } => {
                let Guard { path, owner } = self.sockets.guard(*file)?;
                let task = task.clone();
                let fact = Fact::UnixConnect { task, path, owner };
                return Some(Decoded::Fact(Record { time: *time, fact }));
            }
            Decoded::Fact(Record { fact, .. }) => match fact {
                // The call named it by its number, and nothing more is known in the kernel.
                Fact::MemoryAccess { target, .. } if target.start == Timestamp::default() => {
                    let clock = self.shared.clock();
                    if let Some(found) = actor::of(target.pid, &self.shared, &clock) {
                        *target = found;
                    }
                }
                Fact::Exec { task, path, .. } if path.is_empty() => {
                    *path = actor::executable(task).unwrap_or_default();
                }
                Fact::Running { task, path, .. } if path.is_none() => {
                    *path = actor::executable(task);
                }
                _ => {}
            },
            Decoded::Look(_) | Decoded::Dns(_) | Decoded::Flow(_) => {}
        }
        Some(decoded)
    }

    /// What a resolver's answer names. An empty datagram is the self-test's.
    fn take_names(&self, dns: &DnsBytes, names: &mut Names) -> impl Iterator<Item = Decoded> {
        let records = if dns.protocol == Protocol::Udp && dns.bytes.is_empty() {
            self.shared.count_heard(Hook::Dns);
            Vec::new()
        } else {
            names.take(dns)
        };
        records.into_iter().map(Decoded::Fact)
    }

    /// The first packet of a flow, unless the table has told it before.
    fn take_flow(&mut self, begin: FlowBegin) -> Option<Decoded> {
        let time = begin.time;
        let flow = self.gateway.as_mut()?.flows.begins(begin, boot_time())?;
        let fact = Fact::Flow(flow);
        Some(Decoded::Fact(Record { time, fact }))
    }

    /// What has come since in flows, and how many of them the table has lost.
    fn sweep_flows(&mut self, batch: &mut Vec<Decoded>) {
        let Some(Devices { table, flows, .. }) = &mut self.gateway else {
            return;
        };
        let (told, count) = table.sweep(flows, &self.counters, boot_time());
        let time = self.shared.now().1;
        let told = told.into_iter().map(Fact::Flow);
        let lost = (count > 0).then(|| Fact::Lost {
            hook: Hook::GatewayFlow.name().to_owned(),
            cpu: None,
            count,
        });
        let facts = told.chain(lost);
        batch.extend(facts.map(|fact| Decoded::Fact(Record { time, fact })));
        self.shared.count_flow_losses(count);
    }

    fn losses(
        &self,
        known: &mut [Vec<HookCounters>],
        known_mark_losses: &mut u64,
        undecodable: &mut u64,
        names: &mut Names,
        batch: &mut Vec<Decoded>,
    ) {
        let time = self.shared.now().1;
        let mut lost = |hook: &str, cpu, count| {
            let fact = Fact::Lost {
                hook: hook.to_owned(),
                cpu,
                count,
            };
            batch.push(Decoded::Fact(Record { time, fact }));
        };
        for (hook, known) in Hook::ALL.iter().zip(known) {
            let counters = self.counters.read(*hook);
            for (cpu, now) in counters.iter().enumerate() {
                let before = known
                    .get(cpu)
                    .map_or(0, |before| before.lost + before.errors);
                let count = (now.lost + now.errors).saturating_sub(before);
                if count > 0 {
                    let HookCounters {
                        lost: ring, errors, ..
                    } = now;
                    tracing::debug!(hook = hook.name(), cpu, ring, errors, "events were lost");
                    lost(hook.name(), u32::try_from(cpu).ok(), count);
                }
            }
            *known = counters;
        }
        let mark_losses = self.shared.mark_counts().lost;
        if mark_losses > *known_mark_losses {
            lost("file_open", None, mark_losses - *known_mark_losses);
            *known_mark_losses = mark_losses;
        }
        if *undecodable > 0 {
            lost("decode", None, std::mem::take(undecodable));
        }
        let given_up = names.take_given_up();
        if given_up > 0 {
            lost("dns_streams", None, given_up);
        }
        self.shared.count_garbled(names.take_garbled());
    }
}

/// Records copied out of the ring into one allocation, so that the ring is free again before any
/// of them is decoded.
#[derive(Default)]
struct Records {
    buffer: BytesMut,
    ranges: Vec<Range<usize>>,
}

impl Records {
    /// Takes what is there; `true` when there may be more.
    fn fill(&mut self, ring: &mut RingBuf<MapData>) -> bool {
        let most = self.ranges.len() + BATCH;
        while self.ranges.len() < most {
            let Some(record) = ring.next() else {
                return false;
            };
            let start = self.buffer.len();
            self.buffer.extend_from_slice(&record);
            self.ranges.push(start..self.buffer.len());
        }
        true
    }

    fn drain(&mut self) -> impl Iterator<Item = bytes::Bytes> {
        let bytes = std::mem::take(&mut self.buffer).freeze();
        std::mem::take(&mut self.ranges)
            .into_iter()
            .map(move |range| bytes.slice(range))
    }
}

/// Waits for the kernel half, for an open, or for the interval to pass.
///
/// The rings are watched edge-triggered: records are submitted without a wake-up, and a level
/// trigger would report each of them at once and undo that.
struct Waiter {
    epoll: OwnedFd,
    timeout: Timespec,
}

impl Waiter {
    fn new(rings: &Rings, shared: &Shared, interval: Duration) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for ring in [&rings.credentials, &rings.events] {
            // SAFETY: the ring owns this descriptor and outlives the call.
            let ring = unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) };
            let events = EventFlags::IN | EventFlags::ET;
            epoll::add(&epoll, ring, EventData::new_u64(0), events)?;
        }
        epoll::add(
            &epoll,
            shared.wake_fd(),
            EventData::new_u64(1),
            EventFlags::IN,
        )?;
        let timeout = Timespec::try_from(interval).map_err(io::Error::other)?;
        Ok(Self { epoll, timeout })
    }

    fn wait(&self, shared: &Shared) {
        let mut events = [MaybeUninit::uninit(); 3];
        // Interrupted or timed out: either way it is time to look.
        let _ = epoll::wait(&self.epoll, &mut events, Some(&self.timeout));
        shared.clear_wake();
    }
}
