//! Who has which version of a credential that was rotated.

use crate::attribution::{Actor, Holder};
use crate::control::life::{self, HolderView, RotationView};
use crate::detection::State;
use crate::model::{Task, Timestamp};

/// The rotations that are known, with the processes that have read either version.
pub(super) fn report(
    state: &State,
    of: Option<&str>,
    window: std::time::Duration,
    now: Timestamp,
) -> Vec<RotationView> {
    let mut views = life::rotations(&state.registry, of, Some(window), now);
    for view in &mut views {
        fill(view, state);
    }
    views
}

fn fill(view: &mut RotationView, state: &State) {
    let processes = &state.processes;
    let holder = |holder: &Holder<'_>| named(holder.task, Some(holder.read), state);
    let is_stale = |holder: &Holder<'_>| !holder.read_since(&view.new, holder.read);
    let old = processes.holders(&view.old).filter(is_stale);
    let stale: Vec<_> = old.map(|of| holder(&of)).collect();
    let renewed = processes.holders(&view.new);
    let renewed: Vec<_> = renewed.map(|of| holder(&of)).collect();
    let usage = &state.registry.usage;
    let unknown = processes.from_before().map(|task| named(task, None, state));
    let unknown = unknown.filter(|of| {
        let is_listed = |list: &[HolderView]| list.iter().any(|other| other.pid == of.pid);
        let exe = of.exe.as_deref().unwrap_or_default();
        usage.has_used(&view.old, &of.identity, exe) && !is_listed(&stale) && !is_listed(&renewed)
    });
    let unknown: Vec<_> = unknown.collect();
    view.watched = true;
    (view.stale, view.renewed, view.unknown) = (stale, renewed, unknown);
    for list in [&mut view.stale, &mut view.renewed, &mut view.unknown] {
        list.sort_by_key(|of| of.pid);
    }
}

fn named(task: &Task, read: Option<Timestamp>, state: &State) -> HolderView {
    let actor = Actor::of(task, &state.processes, &state.host);
    HolderView {
        identity: actor.identity().clone(),
        pid: task.pid,
        exe: actor.exe,
        read,
    }
}
