//! A thread that does nothing but look at the clocks: when it was late, no thread of the daemon
//! ran; when the wall clock has moved against the others, it was set.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::sync::mpsc;

use super::Noticed;
use crate::model::{Fact, Gap, Timestamp};

/// How often the clocks are looked at.
const EVERY: Duration = Duration::from_millis(500);
/// A thread that is later than this was held. A busy host is late by a second at times.
const HELD: i64 = 3_000_000_000;
/// The wall clock is slewed together with the others; what is further apart was set. More than a
/// leap second.
const SET: i64 = 2_000_000_000;
/// Two readings of one moment are no further apart than this.
const SAME_MOMENT: i64 = 50_000_000;

/// The three clocks at one moment, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// Since boot, without the time that the host was suspended.
    running: i64,
    /// Since boot.
    boot: i64,
    /// Since the epoch; can be set.
    wall: i64,
}

impl Reading {
    /// Reads again where something came between: a daemon may be held at any instruction.
    fn now() -> Self {
        loop {
            let running = read(ClockId::Monotonic);
            let reading = Self {
                running,
                boot: read(ClockId::Boottime),
                wall: read(ClockId::Realtime),
            };
            if read(ClockId::Monotonic).saturating_sub(running) < SAME_MOMENT {
                return reading;
            }
        }
    }

    /// The wall clock's distance, which nothing but setting it changes.
    fn distance(&self) -> i64 {
        self.wall.saturating_sub(self.boot)
    }
}

fn read(clock: ClockId) -> i64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    tv_sec.saturating_mul(1_000_000_000).saturating_add(tv_nsec)
}

/// What readings told so far.
struct Clocks {
    last: Reading,
    /// Between wall clock and boot, as it was told last.
    distance: i64,
}

impl Clocks {
    fn new(first: Reading) -> Self {
        Self {
            last: first,
            distance: first.distance(),
        }
    }

    /// Takes a reading that should come `asked` nanoseconds after the last one.
    fn take(&mut self, now: Reading, asked: i64) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let late = (now.running - self.last.running).saturating_sub(asked);
        if late >= HELD {
            gaps.push(Gap::Held {
                lasted: late.unsigned_abs(),
            });
        }
        if now.distance().abs_diff(self.distance) >= SET.unsigned_abs() {
            gaps.push(Gap::ClockSet {
                from: Timestamp(now.boot.saturating_add(self.distance)),
                to: Timestamp(now.wall),
            });
            self.distance = now.distance();
        }
        self.last = now;
        gaps
    }
}

/// The thread. It ends when this is dropped.
pub(in crate::daemon) struct ClockWatch {
    _running: SyncSender<()>,
}

impl ClockWatch {
    /// Starts to look.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(in crate::daemon) fn start(to: mpsc::Sender<Noticed>) -> io::Result<Self> {
        let (running, ended) = sync_channel::<()>(0);
        let asked = i64::try_from(EVERY.as_nanos()).unwrap_or(i64::MAX);
        std::thread::Builder::new()
            .name("clock".to_owned())
            .spawn(move || {
                let mut clocks = Clocks::new(Reading::now());
                while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    for gap in clocks.take(Reading::now(), asked) {
                        if to
                            .blocking_send(Noticed::Fact(Box::new(Fact::Gap { gap })))
                            .is_err()
                        {
                            return;
                        }
                        // Waiting for room in the queue is not being held.
                        clocks.last = Reading::now();
                    }
                }
            })?;
        Ok(Self { _running: running })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const ASKED: i64 = SECOND / 2;
    /// The wall clock's distance from boot: some day in 2026.
    const DAY: i64 = 1_777_644_200 * SECOND;

    /// Seconds of running and of being suspended since boot, and what the clock was set by.
    fn reading(running: i64, suspended: i64, set: i64) -> Reading {
        Reading {
            running: running * SECOND,
            boot: (running + suspended) * SECOND,
            wall: DAY + (running + suspended + set) * SECOND,
        }
    }

    #[test]
    fn a_thread_that_is_late_was_held_and_one_that_is_a_little_late_was_not() {
        let mut clocks = Clocks::new(reading(100, 0, 0));
        assert_eq!(clocks.take(reading(103, 0, 0), ASKED), []);
        let lasted = (34 * SECOND - ASKED).unsigned_abs();
        assert_eq!(
            clocks.take(reading(137, 0, 0), ASKED),
            [Gap::Held { lasted }]
        );
        assert_eq!(clocks.take(reading(138, 0, 0), ASKED), []);
    }

    #[test]
    fn a_suspended_host_is_no_gap() {
        let mut clocks = Clocks::new(reading(100, 0, 0));
        assert_eq!(clocks.take(reading(101, 36_000, 0), ASKED), []);
    }

    #[test]
    fn a_clock_that_is_set_is_told_once_with_both_times() {
        for set in [-3_600, -2, 2, 86_400] {
            let mut clocks = Clocks::new(reading(100, 9, 0));
            let expected = Gap::ClockSet {
                from: Timestamp(DAY + 110 * SECOND),
                to: Timestamp(DAY + (110 + set) * SECOND),
            };
            assert_eq!(clocks.take(reading(101, 9, set), ASKED), [expected]);
            assert_eq!(clocks.take(reading(102, 9, set), ASKED), []);
        }
    }

    #[test]
    fn small_steps_add_up() {
        let mut clocks = Clocks::new(reading(100, 0, 0));
        assert_eq!(clocks.take(reading(101, 0, 1), ASKED), []);
        assert!(matches!(
            clocks.take(reading(102, 0, 2), ASKED)[..],
            [Gap::ClockSet { .. }]
        ));
    }

    #[test]
    fn held_and_set_at_once_are_two() {
        let mut clocks = Clocks::new(reading(100, 0, 0));
        assert_eq!(clocks.take(reading(110, 5, 60), ASKED).len(), 2);
    }

    #[test]
    fn the_clocks_of_this_host_are_read() {
        let mut clocks = Clocks::new(Reading::now());
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(clocks.take(Reading::now(), 20_000_000), []);
    }
}
