//! CW-901: a probe is missing or silent.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::HookFailed,
    title: "A probe is missing or silent",
    severity: Severity::High,
    attack: &[],
    owasp: &[],
    maturity: Maturity::Stable,
    sentence: "The probe HOOK (BACKEND) does not work: REASON; not seen: WHAT; to mend it: HOW",
    meaning: "A hook could not be attached, or is attached and did not fire when Credwatch made it. \
              What it watches is not seen. Medium where it is the watch of a Kubernetes cluster's API, \
              called kubernetes_api, that has had no answer for 30 seconds: nothing of the host goes \
              unseen by it.",
    innocent: "A kernel that lacks the hook, a build option that is off, or a capability that the \
               daemon was not given; a control plane that is upgraded.",
    next: "The alert says which hook, why, and what is not seen. `credwatch status` shows them all.",
    proof: &[
        "detaching::a_hook_that_is_detached_is_told_within_ten_seconds_and_put_back",
    ],
    quiet: &[
        "control::status_tells_that_every_hook_is_in_place_and_fires",
    ],
};
