//! What the hooks stand on, and how they change their footing.

use std::sync::{Arc, MutexGuard, PoisonError};

use monitor_common::Hook;

use super::follower::Follower;
use super::gateway::Gateway;
use super::hooks::{self, Attach};
use super::ladder::{Ground, Ladder};
use super::load::{Kernel, Loaded};
use super::marks::Marks;
use super::missed::Missed;
use super::{Sensor, SystemCallPrice, self_test};

/// What the hooks stand on.
pub(super) struct Footing {
    pub(super) loaded: Loaded,
    pub(super) ladder: Ladder,
    pub(super) kernel: Kernel,
    pub(super) gateway: Gateway,
    pub(super) missed: Missed,
}

impl Sensor {
    pub(super) fn walk_running_tasks(&self) {
        let mut footing = self.footing();
        let by_kernel = footing
            .ladder
            .stands_on(Hook::RunningTasks, Attach::TaskIterator);
        // All that is said of a process must name it alike.
        if by_kernel && self.shared.processes().is_none() {
            match footing.loaded.walk_running_tasks() {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(error, "the running tasks could not be walked in the kernel");
                    let Footing {
                        loaded,
                        ladder,
                        kernel,
                        ..
                    } = &mut *footing;
                    let mut ground = ground(loaded, *kernel, &self.marks, &self.follower);
                    ladder.fall(Hook::RunningTasks, &mut ground);
                }
            }
        }
        drop(footing);
        self.follower.tell_running();
    }

    /// Brings the process connector to what stands on it.
    pub(super) fn follow(&self) {
        if let Err(error) = self.follower.follow(&self.footing().ladder) {
            tracing::error!(error, "the process connector does not follow");
        }
    }

    pub(super) fn footing(&self) -> MutexGuard<'_, Footing> {
        self.footing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A hook that is in place did not fire when it had to: takes the next of its backends. `true`
    /// when there is one.
    pub(crate) fn fall(&self, hook: &str) -> bool {
        self.change_footing(hook, Ladder::fall)
    }

    /// A hook that had fired fell silent: attaches it anew.
    pub(crate) fn revive(&self, hook: &str) -> bool {
        self.change_footing(hook, Ladder::revive)
    }

    fn change_footing(
        &self,
        hook: &str,
        change: impl FnOnce(&mut Ladder, Hook, &mut Ground<'_>) -> bool,
    ) -> bool {
        let Some(hook) = Hook::ALL.iter().find(|known| known.name() == hook) else {
            return false;
        };
        let mut footing = self.footing();
        let Footing {
            loaded,
            ladder,
            kernel,
            ..
        } = &mut *footing;
        let mut ground = ground(loaded, *kernel, &self.marks, &self.follower);
        let found = change(ladder, *hook, &mut ground);
        drop(footing);
        self.follow();
        found
    }

    /// What the cheapest system call costs without and with the hook on all of them, which is there
    /// only meanwhile; `None` where it does not load, or is there for good.
    pub(crate) fn system_call_price(&self) -> Option<SystemCallPrice> {
        let program = hooks::SYSTEM_CALL;
        let mut footing = self.footing();
        let without_ns = self_test::system_call_ns();
        footing.loaded.attach(&program).ok()?;
        let with_ns = self_test::system_call_ns();
        footing.loaded.detach(&program);
        Some(SystemCallPrice {
            without_ns,
            with_ns,
        })
    }

    /// Gives back the memory that only attaching needs.
    pub(crate) fn settle(&self) {
        self.footing().loaded.settle();
    }
}

/// What there is to stand on.
pub(super) fn ground<'a>(
    loaded: &'a mut Loaded,
    kernel: Kernel,
    marks: &Result<Arc<Marks>, String>,
    follower: &Follower,
) -> Ground<'a> {
    Ground {
        loaded,
        programs: if kernel.task_storage || kernel.reads {
            Ok(())
        } else {
            Err(
                "under lockdown=confidentiality no program of this kernel can tell who acts"
                    .to_owned(),
            )
        },
        marks: marks.as_ref().map(|_| ()).map_err(Clone::clone),
        connector: follower.available.clone(),
    }
}
