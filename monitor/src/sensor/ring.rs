//! Drains the ring and hands on what it held, in order of time.

use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use bytes::BytesMut;
use monitor_common::HookCounters;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use tokio::sync::mpsc;

use super::control_sockets::ControlSockets;
use super::hooks::HOOKS;
use super::maps::Counters;
use super::shared::Shared;
use crate::decode::{Decoded, decode};
use crate::model::{Fact, Record};

/// Most records that one batch takes from the ring, so that a flood does not grow it without end.
const BATCH: usize = 4_096;
/// Shortest time between two batches. The first event after a quiet moment goes on at once; a
/// flood is taken in by the hundreds, or each event would cost a wake-up of every stage.
const BREATH: Duration = Duration::from_millis(4);
/// How often losses are looked up.
const LOSSES_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Drain {
    pub(super) ring: RingBuf<MapData>,
    pub(super) shared: Arc<Shared>,
    pub(super) counters: Arc<Counters>,
    pub(super) sockets: Arc<ControlSockets>,
    pub(super) interval: Duration,
    pub(super) sender: mpsc::Sender<Vec<Decoded>>,
}

impl Drain {
    pub(super) fn run(mut self) {
        let mut known = vec![Vec::new(); HOOKS.len()];
        let (mut known_mark_losses, mut undecodable) = (0, 0u64);
        let mut next_losses = Instant::now();
        let mut records = Records::default();
        let waiter = match Waiter::new(&self.ring, &self.shared, self.interval) {
            Ok(waiter) => waiter,
            Err(error) => {
                tracing::error!(%error, "the ring cannot be waited for; the sensor stops");
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
            let mut batch = Vec::new();
            // Opens first: an opener's exec is in the ring before its open is queued.
            self.shared.take_opens(&mut batch);
            full = records.fill(&mut self.ring);
            let clock = self.shared.clock();
            for bytes in records.drain() {
                match decode(&bytes, &clock) {
                    Ok(Decoded::UnixSocket { time, task, file }) => {
                        if let Some(path) = self.sockets.path(file) {
                            let fact = Fact::UnixConnect { task, path };
                            batch.push(Decoded::Fact(Record { time, fact }));
                        }
                    }
                    Ok(decoded) => batch.push(decoded),
                    Err(error) => {
                        undecodable += 1;
                        tracing::error!(%error, "a record of the kernel half was not understood");
                    }
                }
            }
            batch.sort_by_key(Decoded::time);
            if Instant::now() >= next_losses || stopping {
                next_losses = Instant::now() + LOSSES_EVERY;
                self.shared.adjust_clock();
                self.losses(
                    &mut known,
                    &mut known_mark_losses,
                    &mut undecodable,
                    &mut batch,
                );
            }
            if !batch.is_empty() && self.sender.blocking_send(batch).is_err() {
                return;
            }
            if stopping && !full {
                return;
            }
        }
    }

    fn losses(
        &self,
        known: &mut [Vec<HookCounters>],
        known_mark_losses: &mut u64,
        undecodable: &mut u64,
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
        for (spec, known) in HOOKS.iter().zip(known) {
            let counters = self.counters.read(spec.hook);
            for (cpu, now) in counters.iter().enumerate() {
                let before = known
                    .get(cpu)
                    .map_or(0, |before| before.lost + before.errors);
                let count = (now.lost + now.errors).saturating_sub(before);
                if count > 0 {
                    lost(spec.name, u32::try_from(cpu).ok(), count);
                }
            }
            *known = counters;
        }
        let mark_losses = self.shared.mark_counts().1;
        if mark_losses > *known_mark_losses {
            lost("file_open", None, mark_losses - *known_mark_losses);
            *known_mark_losses = mark_losses;
        }
        if *undecodable > 0 {
            lost("decode", None, std::mem::take(undecodable));
        }
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
        while self.ranges.len() < BATCH {
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
/// The ring is watched edge-triggered: records are submitted without a wake-up, and a level
/// trigger would report each of them at once and undo that.
struct Waiter {
    epoll: OwnedFd,
    timeout: Timespec,
}

impl Waiter {
    fn new(ring: &RingBuf<MapData>, shared: &Shared, interval: Duration) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        // SAFETY: the ring owns this descriptor and outlives the call.
        let ring = unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) };
        epoll::add(
            &epoll,
            ring,
            EventData::new_u64(0),
            EventFlags::IN | EventFlags::ET,
        )?;
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
        let mut events = [MaybeUninit::uninit(); 2];
        // Interrupted or timed out: either way it is time to look.
        let _ = epoll::wait(&self.epoll, &mut events, Some(&self.timeout));
        shared.clear_wake();
    }
}
