//! Finds for each hook the best rung that loads, attaches and fires.

use monitor_common::Hook;

use super::hooks::{Attach, HOOKS, HookSpec, Program, Rung};
use super::load::Loaded;
use crate::model::Backend;

/// A rung that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Which.
    pub backend: String,
    /// Why not.
    pub failure: String,
}

/// A hook and the rung that it stands on.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) spec: &'static HookSpec,
    /// Index into the ladder; `None` when nothing sees this act.
    at: Option<usize>,
    /// What was tried and did not hold, the best first.
    pub(super) tried: Vec<Tried>,
    /// Rungs that attached and did not fire.
    silent: Vec<usize>,
}

impl Standing {
    /// The rung.
    pub(super) fn rung(&self) -> Option<&'static Rung> {
        self.spec.rungs.get(self.at?)
    }

    fn uses(&self, program: &str) -> bool {
        let programs = self.rung().map_or(&[][..], |rung| rung.programs);
        programs.iter().any(|used| used.name == program)
    }
}

/// What rungs stand on: programs of the kernel half, and what works without.
pub(super) struct Ground<'a> {
    pub(super) loaded: &'a mut Loaded,
    /// Whether programs of the kernel half can tell who acts.
    pub(super) programs: Result<(), String>,
    pub(super) marks: Result<(), String>,
    pub(super) connector: Result<(), String>,
}

impl Ground<'_> {
    fn attach(&mut self, program: &Program) -> Result<(), String> {
        match program.attach {
            Attach::Marks => self.marks.clone(),
            Attach::Connector => self.connector.clone(),
            Attach::ProcWalk => Ok(()),
            _ => {
                self.programs.clone()?;
                self.loaded.attach(program)
            }
        }
    }
}

/// Every hook on its rung.
pub(super) struct Ladder {
    standings: Vec<Standing>,
    /// The kind that is tried first.
    prefer: Option<Backend>,
    /// Whether rungs may be taken that tax every system call.
    by_choice: bool,
}

impl Ladder {
    /// Takes the best rung of each hook that loads and attaches.
    pub(super) fn climb(
        prefer: Option<Backend>,
        by_choice: bool,
        left_out: Option<Hook>,
        ground: &mut Ground<'_>,
    ) -> Self {
        let mut ladder = Self {
            standings: Vec::with_capacity(HOOKS.len()),
            prefer,
            by_choice,
        };
        for spec in HOOKS.iter().filter(|spec| Some(spec.hook) != left_out) {
            let mut standing = Standing {
                spec,
                at: None,
                tried: Vec::new(),
                silent: Vec::new(),
            };
            if spec.beside.is_none_or(|program| ladder.is_used(program)) {
                ladder.take_best(&mut standing, ground);
            }
            ladder.standings.push(standing);
        }
        ladder
    }

    fn take_best(&self, standing: &mut Standing, ground: &mut Ground<'_>) {
        standing.tried.clear();
        let rungs = standing.spec.rungs.iter().enumerate();
        let preferred = |rung: &Rung| self.prefer == Some(rung.kind());
        let (first, rest): (Vec<_>, Vec<_>) = rungs.partition(|(_, rung)| preferred(rung));
        for (index, rung) in first.into_iter().chain(rest) {
            let mut tried = |failure: String| {
                standing.tried.push(Tried {
                    backend: rung.to_string(),
                    failure,
                });
            };
            if rung.by_choice && !self.by_choice {
                tried(
                    "slows every system call of this host; not taken unless \
                     `sensor.system_call_hook = true`"
                        .to_owned(),
                );
                continue;
            }
            if standing.silent.contains(&index) {
                tried("attached, and did not fire when it had to".to_owned());
                continue;
            }
            match rung
                .programs
                .iter()
                .try_for_each(|program| ground.attach(program))
            {
                Ok(()) => {
                    standing.at = Some(index);
                    return;
                }
                Err(failure) => tried(failure),
            }
        }
        standing.at = None;
    }

    /// The rung of a hook has not fired: goes on to the next. `true` when there is one.
    pub(super) fn fall(&mut self, hook: Hook, ground: &mut Ground<'_>) -> bool {
        let Some(mut standing) = self.take_out(hook, ground) else {
            return false;
        };
        let silent = match standing.rung().map(|rung| rung.programs) {
            Some([only]) if matches!(only.attach, Attach::Lsm(_)) => Some(only.name),
            _ => None,
        };
        standing.silent.extend(standing.at.take());
        self.take_best(&mut standing, ground);
        let found = standing.at.is_some();
        self.put_back(standing, ground);
        // A kernel that does not run programs at security hooks runs none: where one stands beside
        // another program, that has fired for both.
        let beside = |standing: &&Standing| {
            let programs = standing.rung().map_or(&[][..], |rung| rung.programs);
            programs.len() > 1 && silent.is_some_and(|silent| standing.uses(silent))
        };
        let beside: Vec<_> = self.standings.iter().filter(beside).collect();
        let beside: Vec<_> = beside.iter().map(|standing| standing.spec.hook).collect();
        for hook in beside {
            self.fall(hook, ground);
        }
        found
    }

    /// A hook that had fired fell silent: begins anew at the top, with programs attached anew.
    pub(super) fn revive(&mut self, hook: Hook, ground: &mut Ground<'_>) -> bool {
        let Some(mut standing) = self.take_out(hook, ground) else {
            return false;
        };
        let rung = standing.rung();
        // Whoever shares a program with it is as silent.
        for program in rung.map_or(&[][..], |rung| rung.programs) {
            ground.loaded.detach(program);
            if let Err(error) = ground.attach(program) {
                tracing::warn!(program = program.name, error, "not attached again");
            }
        }
        standing.at = None;
        self.take_best(&mut standing, ground);
        let found = standing.at.is_some();
        self.put_back(standing, ground);
        found
    }

    /// Takes a hook off its rung, with the programs that nobody else uses.
    fn take_out(&mut self, hook: Hook, ground: &mut Ground<'_>) -> Option<Standing> {
        let index = self
            .standings
            .iter()
            .position(|standing| standing.spec.hook == hook)?;
        let standing = self.standings.remove(index);
        for program in standing.rung().map_or(&[][..], |rung| rung.programs) {
            if !self.is_used(program.name) {
                ground.loaded.detach(program);
            }
        }
        Some(standing)
    }

    fn put_back(&mut self, standing: Standing, ground: &mut Ground<'_>) {
        self.standings.push(standing);
        let place = |standing: &Standing| {
            HOOKS
                .iter()
                .position(|spec| spec.hook == standing.spec.hook)
        };
        self.standings.sort_by_key(place);
        // Hooks that stand beside a program come and go with it.
        for index in 0..self.standings.len() {
            let Some(mut standing) = self.standings.get(index).cloned() else {
                continue;
            };
            let Some(program) = standing.spec.beside else {
                continue;
            };
            if self.is_used(program) && standing.at.is_none() && standing.tried.is_empty() {
                self.take_best(&mut standing, ground);
            } else if !self.is_used(program) {
                standing.at = None;
                standing.tried.clear();
            }
            if let Some(place) = self.standings.get_mut(index) {
                *place = standing;
            }
        }
    }

    fn is_used(&self, program: &str) -> bool {
        self.standings.iter().any(|standing| standing.uses(program))
    }

    /// Whether a hook stands on a rung with this.
    pub(super) fn stands_on(&self, hook: Hook, attach: Attach) -> bool {
        self.standings
            .iter()
            .filter(|standing| standing.spec.hook == hook)
            .filter_map(Standing::rung)
            .flat_map(|rung| rung.programs)
            .any(|program| program.attach == attach)
    }

    /// Every hook that is needed here.
    pub(super) fn standings(&self) -> impl Iterator<Item = &Standing> {
        self.standings.iter().filter(|standing| {
            let beside = standing.spec.beside;
            beside.is_none_or(|program| self.is_used(program))
        })
    }
}
