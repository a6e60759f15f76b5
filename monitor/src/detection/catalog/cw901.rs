//! CW-901: a probe is missing or silent.

use super::Entry;
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::HookFailed,
    title: "A probe is missing or silent",
    severity: Severity::High,
    attack: &[],
    owasp: &[],
    meaning: "A hook could not be attached, or is attached and did not fire when Credwatch made it. \
              What it watches is not seen.",
    innocent: "A kernel that lacks the hook, a build option that is off, or a capability that the \
               daemon was not given.",
    next: "The alert says which hook, why, and what is not seen. `credwatch status` shows them all.",
};
