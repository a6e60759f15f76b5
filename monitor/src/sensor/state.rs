//! The sensor as `status` and `doctor` show it.

use super::ladder::Tried;
use crate::model::{Backend, Capability};

/// One hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookState {
    /// What it watches.
    pub name: &'static str,
    /// What it belongs to.
    pub capability: Capability,
    /// How; empty when nothing sees it.
    pub backend: String,
    /// The kind of that.
    pub kind: Option<Backend>,
    /// Whether something is in place.
    pub attached: bool,
    /// How often it has fired, told or not.
    pub fired: u64,
    /// How often an event of the self-test came through it to the daemon.
    pub heard: u64,
    /// How many of its events were lost, for want of room or by an error.
    pub lost: u64,
    /// How many were told with a later one.
    pub folded: u64,
    /// How many were not told one by one, because their process makes too many.
    pub capped: u64,
    /// What was tried before and did not hold.
    pub tried: Vec<Tried>,
    /// What else there is to say.
    pub remark: Option<String>,
    /// What is not seen without it.
    pub blind_to: &'static str,
    /// What would let it be seen.
    pub fix: &'static str,
    /// Nothing sees it, because the operator has not chosen what would.
    pub by_choice: bool,
}

impl HookState {
    /// Why nothing is in place, in one sentence.
    pub fn failure(&self) -> Option<String> {
        if self.attached {
            return None;
        }
        let tried: Vec<_> = self
            .tried
            .iter()
            .map(|tried| format!("{}: {}", tried.backend, tried.failure))
            .collect();
        Some(tried.join("; "))
    }
}
