//! Opens of one file by one process in quick succession: one use, told at once, and a count of the
//! rest, told when they end. Each open counts.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::model::{FileId, Task};

/// Opens by the same process within this time are one use. Short enough that no pid is given out
/// again in between.
const SAME_OPEN: Duration = Duration::from_millis(200);
/// Most openers that are remembered for that.
const MOST: usize = 4_096;

/// How often it is looked up who is done, at the most: each look goes through all.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Who has opened what a moment ago.
#[derive(Default)]
pub(super) struct Repeats {
    recent: HashMap<(i32, FileId), Recent>,
    looked: Option<Instant>,
}

struct Recent {
    /// The open that was told.
    at: Instant,
    task: Task,
    /// Opens since then, not told yet.
    untold: u64,
}

/// Opens that were not told one by one.
pub(super) struct Repeated {
    pub(super) task: Task,
    pub(super) file: FileId,
    pub(super) count: u64,
}

impl Repeats {
    /// Whether this open belongs to one that was told; then it is counted.
    pub(super) fn note(&mut self, pid: i32, file: FileId, now: Instant) -> bool {
        match self.recent.get_mut(&(pid, file)) {
            Some(recent) if now.duration_since(recent.at) < SAME_OPEN => {
                recent.untold += 1;
                true
            }
            _ => false,
        }
    }

    /// An open is told. Returns how many came before it, untold.
    pub(super) fn told(&mut self, pid: i32, file: FileId, task: &Task, now: Instant) -> u64 {
        let recent = Recent {
            at: now,
            task: task.clone(),
            untold: 0,
        };
        let before = self.recent.insert((pid, file), recent);
        before.map_or(0, |before| before.untold)
    }

    /// Takes out whoever has not opened anything for a moment, or all.
    pub(super) fn ended(&mut self, now: Instant, all: bool) -> Vec<Repeated> {
        let all = all || self.recent.len() >= MOST;
        let looked = self
            .looked
            .filter(|at| now.duration_since(*at) < LOOK_EVERY);
        if looked.is_some() && !all {
            return Vec::new();
        }
        self.looked = Some(now);
        let over = self
            .recent
            .extract_if(|_, recent| all || now.duration_since(recent.at) >= SAME_OPEN);
        over.filter(|(_, recent)| recent.untold > 0)
            .map(|((_, file), recent)| Repeated {
                task: recent.task,
                file,
                count: recent.untold,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

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
            exe: FileId { dev: 1, ino: 1 },
            tty: None,
        }
    }

    #[test]
    fn every_open_is_counted_once() {
        let file = FileId { dev: 1, ino: 2 };
        let mut repeats = Repeats::default();
        let start = Instant::now();
        let (mut told, mut now) = (0, start);
        for number in 0..1_000 {
            now = start + Duration::from_millis(number);
            if !repeats.note(7, file, now) {
                told += 1 + repeats.told(7, file, &task(7), now);
            }
        }
        assert!(repeats.ended(now, false).is_empty());
        let ended = repeats.ended(now + SAME_OPEN, false);
        assert_eq!(told + ended[0].count, 1_000);
        assert!(repeats.ended(now + SAME_OPEN, true).is_empty());
    }
}
