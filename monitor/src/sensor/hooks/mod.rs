//! What is watched, and by what: each act that Credwatch must see is a hook, and each hook has a
//! ladder of backends, the best first.

mod table;

use std::fmt;

use monitor_common::Hook;

use crate::model::{Backend, Capability};

pub(super) use table::{HOOKS, SYSTEM_CALL};

/// How a program is attached, or what else sees the act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attach {
    /// At the entry of this function, by a trampoline.
    Fentry(&'static str),
    /// At the return of this function, by a trampoline.
    Fexit(&'static str),
    /// At this hook of the security modules, by a trampoline.
    Lsm(&'static str),
    /// At the entry of this function, by a breakpoint.
    Kprobe(&'static str),
    /// BTF-typed tracepoint of this name.
    Tracepoint(&'static str),
    /// At the root of the cgroup v2 hierarchy.
    CgroupRoot(&'static str),
    /// On packets for sockets, at the root of the cgroup v2 hierarchy.
    CgroupIngress,
    /// Iterator over tasks, read once at start.
    TaskIterator,
    /// Permission marks of fanotify on the files: no program of the kernel half.
    Marks,
    /// The process connector: no program of the kernel half.
    Connector,
    /// A walk through /proc at start: no program of the kernel half.
    ProcWalk,
}

impl Attach {
    /// Its kind.
    pub(super) fn kind(self) -> Backend {
        match self {
            Self::Fentry(_) | Self::Fexit(_) => Backend::Fentry,
            Self::Lsm(_) => Backend::Lsm,
            Self::Kprobe(_) => Backend::Kprobe,
            Self::Tracepoint(_) => Backend::Tracepoint,
            Self::CgroupRoot(_) | Self::CgroupIngress => Backend::Cgroup,
            Self::TaskIterator => Backend::Iterator,
            Self::Marks => Backend::Fanotify,
            Self::Connector => Backend::Connector,
            Self::ProcWalk => Backend::Proc,
        }
    }
}

impl fmt::Display for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fentry(function) => write!(f, "fentry {function}"),
            Self::Fexit(function) => write!(f, "fexit {function}"),
            Self::Lsm(hook) => write!(f, "lsm {hook}"),
            Self::Kprobe(function) => write!(f, "kprobe {function}"),
            Self::Tracepoint(name) => write!(f, "tp_btf {name}"),
            Self::CgroupRoot(name) => write!(f, "cgroup {name}"),
            Self::CgroupIngress => f.write_str("cgroup_skb ingress"),
            Self::TaskIterator => f.write_str("iter task"),
            Self::Marks => f.write_str("fanotify open_perm"),
            Self::Connector => f.write_str("process connector"),
            Self::ProcWalk => f.write_str("/proc"),
        }
    }
}

/// A program of the kernel half, or what stands in for one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Program {
    /// In the object; several hooks may share one.
    pub(super) name: &'static str,
    pub(super) attach: Attach,
}

/// One way to see an act: all of its programs together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rung {
    pub(super) programs: &'static [Program],
    /// Taxes every system call of the host: taken only where the operator wants that.
    pub(super) by_choice: bool,
}

impl Rung {
    /// The kind that it is known by: that of its first program.
    pub(super) fn kind(&self) -> Backend {
        self.programs
            .first()
            .map_or(Backend::Proc, |program| program.attach.kind())
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Twins stand at one place.
        let mut before = None;
        for program in self.programs {
            match before.replace(program.attach) {
                None => write!(f, "{}", program.attach)?,
                Some(attach) if attach == program.attach => {}
                Some(_) => write!(f, " + {}", program.attach)?,
            }
        }
        Ok(())
    }
}

/// One act that must be seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct HookSpec {
    pub(super) hook: Hook,
    pub(super) capability: Capability,
    /// The best first.
    pub(super) rungs: &'static [Rung],
    /// Only where this program is in use: it sees a part, and this hook the rest.
    pub(super) beside: Option<&'static str>,
    /// What is not seen while no rung holds.
    pub(super) blind_to: &'static str,
    /// What would make one hold.
    pub(super) fix: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hook_has_a_ladder_and_stands_in_the_table_once() {
        // The gateway's stands on interfaces, each by itself.
        for hook in Hook::ALL.iter().filter(|of| **of != Hook::GatewayFlow) {
            let found: Vec<_> = HOOKS.iter().filter(|spec| spec.hook == *hook).collect();
            assert_eq!(found.len(), 1, "{}", hook.name());
            assert!(!found[0].rungs.is_empty());
            assert!(found[0].rungs.iter().all(|rung| !rung.programs.is_empty()));
        }
    }

    #[test]
    fn a_program_is_attached_in_one_way_only() {
        let programs = || {
            HOOKS
                .iter()
                .flat_map(|spec| spec.rungs)
                .flat_map(|rung| rung.programs)
        };
        for program in programs() {
            let same = programs().filter(|other| other.name == program.name);
            assert!(same.into_iter().all(|other| other.attach == program.attach));
        }
    }
}
