//! A mark in the database that the daemon runs. A run that does not take it away was killed, which
//! the next one tells.

use std::io;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::model::{Fact, Gap, Timestamp};
use crate::storage::{Run, Write};

/// How often the mark says that the daemon is alive. A write each.
const EVERY: Duration = Duration::from_secs(60);

/// The mark of this run.
pub(in crate::daemon) struct RunMark {
    run: Run,
    written: Instant,
}

impl RunMark {
    /// Begins a run, and says what the last one did not.
    ///
    /// # Errors
    /// When /proc does not name this boot.
    pub(in crate::daemon) fn begin(last: Option<&Run>) -> io::Result<(Self, Option<Gap>)> {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let now = Timestamp::now();
        let run = Run {
            started: now,
            pid: std::process::id(),
            boot_id: boot_id.trim_end().to_owned(),
            last_seen: now,
            last_seen_boot: since_boot(),
            ended: None,
        };
        let gap = last.and_then(|last| unsaid(last, &run));
        let written = Instant::now();
        Ok((Self { run, written }, gap))
    }

    /// That this run watches from now on, and when the last one did until.
    pub(in crate::daemon) fn watching(&self, last: Option<&Run>) -> Fact {
        Fact::Watching {
            since: last.map(|last| last.last_seen),
            rebooted: last.is_some_and(|last| last.boot_id != self.run.boot_id),
        }
    }

    /// To be stored before anything is watched.
    pub(in crate::daemon) fn write(&self) -> Write {
        Write::Run(self.run.clone())
    }

    /// That the daemon is alive, once a minute.
    pub(in crate::daemon) fn beat(&mut self) -> Option<Write> {
        if self.written.elapsed() < EVERY {
            return None;
        }
        self.written = Instant::now();
        self.run.last_seen = Timestamp::now();
        self.run.last_seen_boot = since_boot();
        Some(self.write())
    }

    /// That the daemon has said that it ends.
    pub(in crate::daemon) fn end(mut self) -> Write {
        let now = Timestamp::now();
        self.run.last_seen = now;
        self.run.last_seen_boot = since_boot();
        self.run.ended = Some(now);
        self.write()
    }
}

/// What a run that has no end did not say, as a later run finds it.
fn unsaid(last: &Run, now: &Run) -> Option<Gap> {
    if last.ended.is_some() {
        return None;
    }
    let rebooted = last.boot_id != now.boot_id;
    let unwatched = if rebooted {
        u64::try_from(now.started.since(last.last_seen).as_nanos()).unwrap_or(u64::MAX)
    } else {
        // Not by the wall clock, which may have been set meanwhile.
        now.last_seen_boot.saturating_sub(last.last_seen_boot)
    };
    Some(Gap::Unsaid {
        pid: last.pid,
        started: last.started,
        last_seen: last.last_seen,
        unwatched,
        rebooted,
    })
}

/// Nanoseconds.
fn since_boot() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000) + nanoseconds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(boot_id: &str, started: i64, seen: i64) -> Run {
        Run {
            started: Timestamp(started),
            pid: 812,
            boot_id: boot_id.to_owned(),
            last_seen: Timestamp(started + seen),
            last_seen_boot: seen.unsigned_abs(),
            ended: None,
        }
    }

    #[test]
    fn a_run_without_an_end_is_told_with_the_time_since() {
        let last = run("a", 1_000, 50);
        let said = Run {
            ended: Some(Timestamp(1_060)),
            ..last.clone()
        };
        assert_eq!(unsaid(&said, &run("a", 9_000, 80)), None);
        let gap = |unwatched, rebooted| {
            Some(Gap::Unsaid {
                pid: 812,
                started: Timestamp(1_000),
                last_seen: Timestamp(1_050),
                unwatched,
                rebooted,
            })
        };
        // In the same boot by the clock that nobody can set.
        assert_eq!(unsaid(&last, &run("a", 10, 80)), gap(30, false));
        assert_eq!(unsaid(&last, &run("b", 9_000, 3)), gap(7_950, true));
        // A clock that was set back tells nothing.
        assert_eq!(unsaid(&last, &run("b", 10, 3)), gap(0, true));
    }

    #[test]
    fn the_mark_of_this_host_begins_and_ends() {
        let (mut mark, gap) = RunMark::begin(None).unwrap();
        assert_eq!(gap, None);
        assert_eq!(mark.beat(), None, "not yet");
        let Write::Run(begun) = mark.write() else {
            panic!("a run")
        };
        assert!(begun.boot_id.len() > 30 && begun.ended.is_none());
        let Write::Run(ended) = mark.end() else {
            panic!("a run")
        };
        assert!(ended.ended.is_some() && ended.started == begun.started);
        assert!(ended.last_seen_boot >= begun.last_seen_boot);
    }
}
