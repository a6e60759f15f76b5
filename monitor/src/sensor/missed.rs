//! Acts that a program of the kernel half was not run for. Where a task is put aside in the middle of a
//! program at a function, the kernel does not run that program for the task that comes next on the same
//! CPU (`bpf_prog_info.recursion_misses`, Linux 5.12 and later). Programs at security hooks are run all
//! the same, and tasks are not put aside within those at tracepoints.

use std::collections::HashMap;

use monitor_common::Hook;

use super::hooks::Attach;
use super::ladder::Ladder;
use super::load::Loaded;

/// What is known of them.
#[derive(Debug)]
pub(super) struct Missed {
    /// By program, what was counted before.
    known: HashMap<&'static str, u64>,
    /// By hook, all of them.
    of: [u64; Hook::COUNT as usize],
}

impl Missed {
    pub(super) fn new() -> Self {
        Self {
            known: HashMap::new(),
            of: [0; Hook::COUNT as usize],
        }
    }

    /// How many acts a hook has missed.
    pub(super) fn of(&self, hook: Hook) -> u64 {
        self.of.get(hook as usize).copied().unwrap_or(0)
    }

    /// Counts anew: what each hook has missed since the last time. A program that several hooks
    /// share counts for the first of them. Of two at one place the act is missed where both are
    /// passed over: at most as often as the one that was so less often.
    pub(super) fn count(&mut self, loaded: &Loaded, ladder: &Ladder) -> Vec<(Hook, u64)> {
        let mut places: Vec<(Attach, Hook, u64)> = Vec::new();
        let before = std::mem::take(&mut self.known);
        for standing in ladder.standings() {
            let programs = standing.rung().map_or(&[][..], |rung| rung.programs);
            for program in programs {
                if self.known.contains_key(program.name) {
                    continue;
                }
                let Some(now) = loaded.missed(program) else {
                    continue;
                };
                self.known.insert(program.name, now);
                // One that was attached anew begins at zero.
                let before = before.get(program.name).filter(|before| **before <= now);
                let count = now - before.copied().unwrap_or(0);
                let mut places_at = places.iter_mut();
                match places_at.find(|(attach, _, _)| *attach == program.attach) {
                    Some((_, _, least)) => *least = (*least).min(count),
                    None => places.push((program.attach, standing.spec.hook, count)),
                }
            }
        }
        let mut missed = Vec::new();
        for (_, hook, count) in places {
            if let Some(all) = self.of.get_mut(hook as usize)
                && count > 0
            {
                *all += count;
                missed.push((hook, count));
            }
        }
        missed
    }
}

/// The number in what the kernel says of a program's descriptor; `None` where it does not count them.
pub(super) fn read(fdinfo: &str) -> Option<u64> {
    let line = fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("recursion_misses:"));
    line?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_count_is_read() {
        let text = "pos:\t0\nflags:\t02000002\nprog_type:\t26\nrun_cnt:\t0\nrecursion_misses:\t465\n\
                    verified_insns:\t1002\n";
        assert_eq!(read(text), Some(465));
        assert_eq!(read("pos:\t0\nprog_type:\t26\n"), None);
        assert_eq!(read("recursion_misses:\tmany\n"), None);
    }
}
