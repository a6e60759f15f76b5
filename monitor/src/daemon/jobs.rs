//! Jobs of CI systems, as facts: whoever runs below a runner is named by the environment that the runner
//! has given to it.
//!
//! How sure that is: a process below a runner can start others with any environment. So only processes
//! below a runner are asked at all, only for the variables of that runner's system, and the first answer
//! holds for all that descends from there: what the runner itself starts cannot be talked into another
//! name by what the job does later. Where a runner hands over its variables inside of a shell (GitLab's
//! shell executor), the job's own commands are the first to have them, and a hostile job may name another
//! project. A runner is known by the system's unit, or by a program that only root can have put there.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::attribution::placement;
use crate::credential::jobs::{CiSystem, job_of};
use crate::model::{Fact, ProcessKey, Task};

/// Most processes below runners that are kept, before all are learned anew.
const PROCESSES: usize = 16_384;
/// Most cgroups of runners.
const CGROUPS: usize = 4_096;
/// Units of runners, by how their names begin.
const UNITS: &[(&str, CiSystem)] = &[
    ("actions.runner.", CiSystem::GitHub),
    ("gitlab-runner", CiSystem::GitLab),
    ("jenkins", CiSystem::Jenkins),
    ("buildkite-agent", CiSystem::Buildkite),
];
/// Programs of runners.
const PROGRAMS: &[(&str, CiSystem)] = &[
    ("Runner.Worker", CiSystem::GitHub),
    ("gitlab-runner", CiSystem::GitLab),
    ("buildkite-agent", CiSystem::Buildkite),
];

/// What runs below runners.
#[derive(Default)]
pub(super) struct Jobs {
    below: HashMap<ProcessKey, Below>,
    cgroups: HashMap<u64, CiSystem>,
}

#[derive(Clone, Copy)]
struct Below {
    system: CiSystem,
    is_named: bool,
}

impl Jobs {
    /// Takes in the path of a cgroup.
    pub(super) fn cgroup(&mut self, id: u64, path: &str) {
        let placed = placement(path);
        let unit = placed.service().unwrap_or_default();
        let of = UNITS.iter().find(|(name, _)| unit.starts_with(name));
        if let Some((_, system)) = of {
            if self.cgroups.len() >= CGROUPS {
                self.cgroups.clear();
            }
            self.cgroups.insert(id, *system);
        }
    }

    /// A child is where its parent is.
    pub(super) fn forked(&mut self, task: &Task) {
        if let Some(below) = self.below.get(&task.parent()).copied() {
            self.note(task, below);
        }
    }

    /// A process is gone.
    pub(super) fn ended(&mut self, task: &Task) {
        self.below.remove(&task.key());
    }

    /// What a process that has started a program runs for, where that is not known yet.
    pub(super) fn started(&mut self, task: &Task, path: &str) -> Option<Fact> {
        let known = self.below.get(&task.key());
        let known = known.or_else(|| self.below.get(&task.parent())).copied();
        let by_unit = || {
            let groups = [task.cgroup, task.cgroup_v1];
            groups.iter().find_map(|id| self.cgroups.get(id)).copied()
        };
        let below = known.or_else(|| {
            let system = by_unit().or_else(|| runner(task, path))?;
            Some(Below {
                system,
                is_named: false,
            })
        })?;
        if below.is_named {
            self.note(task, below);
            return None;
        }
        // One that has ended meanwhile is not named, and what it started tells for itself.
        let selector = job_of(task.pid, below.system).ok().flatten();
        self.note(
            task,
            Below {
                is_named: selector.is_some(),
                ..below
            },
        );
        Some(Fact::Job {
            task: task.clone(),
            selector: selector?,
        })
    }

    fn note(&mut self, task: &Task, below: Below) {
        if self.below.len() >= PROCESSES {
            self.below.clear();
        }
        self.below.insert(task.key(), below);
    }
}

/// The system whose runner a program is.
fn runner(task: &Task, path: &str) -> Option<CiSystem> {
    let path = Path::new(path);
    let name = path.file_name()?;
    let (_, system) = PROGRAMS.iter().find(|(known, _)| name == *known)?;
    let there = fs::metadata(path).ok()?;
    let is_roots = there.uid() == 0 && there.mode() & 0o022 == 0;
    (is_roots && there.ino() == task.exe.ino).then_some(*system)
}
