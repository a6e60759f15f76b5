//! From the kernel's CLOCK_BOOTTIME to UTC.

use crate::model::Timestamp;

/// The distance between the two clocks.
///
/// A process's start is part of its name and must not move when the clock is set, so it is
/// converted by the distance at the sensor's start; events are converted by the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    at_start: i64,
    present: i64,
}

impl Clock {
    /// Both clocks at the same: for tests and benchmarks.
    pub const FIXED: Self = Self {
        at_start: 0,
        present: 0,
    };

    /// From a reading of both clocks at the same moment: UTC, and nanoseconds since boot.
    pub fn new(utc: Timestamp, boot: u64) -> Self {
        let distance = distance(utc, boot);
        Self {
            at_start: distance,
            present: distance,
        }
    }

    /// Takes a new reading of both clocks.
    pub fn adjust(&mut self, utc: Timestamp, boot: u64) {
        self.present = distance(utc, boot);
    }

    /// An event's time.
    pub fn event(&self, boot: u64) -> Timestamp {
        convert(boot, self.present)
    }

    /// A process's start.
    pub fn start(&self, boot: u64) -> Timestamp {
        convert(boot, self.at_start)
    }
}

fn distance(utc: Timestamp, boot: u64) -> i64 {
    utc.0
        .saturating_sub(i64::try_from(boot).unwrap_or(i64::MAX))
}

fn convert(boot: u64, distance: i64) -> Timestamp {
    Timestamp(
        i64::try_from(boot)
            .unwrap_or(i64::MAX)
            .saturating_add(distance),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_moves_events_and_not_starts() {
        let mut clock = Clock::new(Timestamp(1_000), 400);
        assert_eq!(
            (clock.event(500), clock.start(500)),
            (Timestamp(1_100), Timestamp(1_100))
        );
        clock.adjust(Timestamp(9_000), 600);
        assert_eq!(
            (clock.event(700), clock.start(500)),
            (Timestamp(9_100), Timestamp(1_100))
        );
        assert_eq!(clock.event(u64::MAX), Timestamp(i64::MAX));
    }
}
