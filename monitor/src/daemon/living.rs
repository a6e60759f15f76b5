//! Which living processes have something, from what was seen of them.

use std::path::Path;

use crate::attribution::Actor;
use crate::detection::State;
use crate::model::{CredentialKind, Target, Task};
use crate::registry::{Holder, Living, Registry};

/// What the living processes tell about one thing.
pub(super) fn of(subject: &Target, state: &State) -> Living {
    let mut living = Living::default();
    let own = std::process::id();
    let users = users(subject, &state.registry);
    let owners = owners(subject, &state.registry);
    for (process, from_before) in state.processes.living() {
        let task = &process.task;
        if task.pid == own || is_kernel_thread(task) || !is_alive(task) {
            continue;
        }
        let exe = state.processes.exe(task).map(str::to_owned);
        let holder = Holder { pid: task.pid, exe };
        match subject {
            Target::Identity(selector) => {
                let actor = Actor::of(task, &state.processes, &state.host);
                if actor.selectors.contains(selector) {
                    living.holders.push(holder);
                }
            }
            Target::Credential(fingerprint) => {
                if process.may_hold(fingerprint) && is_kept(subject, &state.registry) {
                    living.holders.push(holder);
                } else if from_before {
                    let is_owners = [task.uid, task.euid].iter().any(|uid| owners.contains(uid));
                    let is_known = || {
                        let actor = Actor::of(task, &state.processes, &state.host);
                        let mut known = users.iter();
                        known.any(|(identity, exe)| {
                            actor.selectors.contains(identity) && actor.exe.as_ref() == Some(exe)
                        })
                    };
                    if is_owners || is_known() {
                        living.older.push(holder);
                    } else {
                        living.older_others += 1;
                    }
                }
            }
            Target::Path(_) => {}
        }
    }
    for holders in [&mut living.holders, &mut living.older] {
        holders.sort_by_key(|holder| holder.pid);
    }
    living
}

/// Whether who has read it may go on to use it: what only says whom to let in is read anew each
/// time.
fn is_kept(subject: &Target, registry: &Registry) -> bool {
    let Target::Credential(fingerprint) = subject else {
        return false;
    };
    let kind = registry
        .credential(fingerprint)
        .map(|of| of.credential.kind);
    !matches!(
        kind,
        Some(CredentialKind::SshAuthorizedKey | CredentialKind::ShadowPassword)
    )
}

/// Who is known to use it, with which program.
fn users<'a>(
    subject: &Target,
    registry: &'a Registry,
) -> Vec<(&'a crate::model::Selector, &'a String)> {
    let Target::Credential(fingerprint) = subject else {
        return Vec::new();
    };
    let rows = registry.usage.rows().map(|row| &row.key);
    rows.filter(|key| key.fingerprint == *fingerprint)
        .map(|key| (&key.identity, &key.exe))
        .collect()
}

/// The uids that own its files.
fn owners(subject: &Target, registry: &Registry) -> Vec<u32> {
    let Target::Credential(fingerprint) = subject else {
        return Vec::new();
    };
    let entry = registry.credential(fingerprint);
    let paths = entry.into_iter().flat_map(|entry| &entry.locations);
    paths
        .filter_map(|(path, _)| registry.offboarding.owner(path))
        .collect()
}

/// kthreadd and its children have no program and read no file for anybody.
fn is_kernel_thread(task: &Task) -> bool {
    task.pid == 2 || task.ppid == 2
}

/// Whether its end was missed.
fn is_alive(task: &Task) -> bool {
    Path::new("/proc").join(task.pid.to_string()).exists()
}
