//! CW-103: a retired identity is active.

use super::Entry;
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::RetiredIdentityActive,
    title: "A retired identity is active",
    severity: Severity::Critical,
    attack: &["T1078"],
    owasp: &["NHI1"],
    meaning: "Something runs, connects or takes a uid as an identity that is retired: a unix \
              account, a systemd unit or a container that the registry says is gone.",
    innocent: "A unit or account that was retired in the registry and not yet removed from the \
               host; a package script that touches every account.",
    next: "Lock the account or mask the unit now, then find out from the ancestors in the alert \
           who started it.",
};
