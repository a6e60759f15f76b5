//! What a host lets Credwatch see: the answer of `doctor`.

use serde::{Deserialize, Serialize};

use crate::model::{Backend, Capability};

/// What a host lets Credwatch see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Doctor {
    /// The kernel's release.
    pub kernel: String,
    /// Its lockdown: `none`, `integrity`, `confidentiality`; `None` where that cannot be read.
    pub lockdown: Option<String>,
    /// The security modules that are active; `None` where that cannot be read.
    pub security_modules: Option<String>,
    /// The daemon's pid; `None` for a trial without one.
    pub daemon: Option<u32>,
    /// What a hook on every system call would cost here; `None` where it was not measured.
    pub system_call_hook: Option<SystemCallPrice>,
    /// Every hook that is needed here.
    pub hooks: Vec<DoctorHook>,
}

impl Eq for Doctor {}

impl Doctor {
    /// Hooks without a backend that fires, but for those that the operator has not chosen.
    pub fn gaps(&self) -> Vec<&str> {
        let gaps = self.hooks.iter();
        gaps.filter(|hook| !hook.by_choice && (!hook.attached || hook.is_testable() && !hook.fired))
            .map(|hook| hook.hook.as_str())
            .collect()
    }
}

/// What the cheapest system call takes, in nanoseconds, at the least of several rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SystemCallPrice {
    /// Without the hook.
    pub without_ns: f64,
    /// With it.
    pub with_ns: f64,
}

/// One act that must be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorHook {
    /// What it belongs to.
    pub capability: Capability,
    /// What it watches: `process_exec`, `file_read`.
    pub hook: String,
    /// How: `fentry security_file_open`; empty when nothing sees it.
    pub backend: String,
    /// The kind of that.
    pub kind: Option<Backend>,
    /// Whether a backend is in place.
    pub attached: bool,
    /// Whether an act of the self-test came through it.
    pub fired: bool,
    /// Events so far.
    pub events: u64,
    /// What is not seen; `None` when all is.
    pub gap: Option<String>,
    /// What would close the gap.
    pub fix: Option<String>,
    /// The operator has not chosen the one backend that works here.
    pub by_choice: bool,
    /// What was tried before and does not work here.
    pub tried: Vec<TriedView>,
}

impl DoctorHook {
    /// Whether the self-test has an act for it: an answer of the name system, and what devices send, has
    /// to come from somebody else.
    pub fn is_testable(&self) -> bool {
        !["dns", "gateway_flow"].contains(&self.hook.as_str())
    }
}

/// A backend that does not work on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriedView {
    /// Which.
    pub backend: String,
    /// Why not.
    pub failure: String,
}
