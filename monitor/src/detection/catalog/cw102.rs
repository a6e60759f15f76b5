//! CW-102: a retired credential was read, then its reader connected.

use super::Entry;
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::RetiredCredentialUsed,
    title: "A retired credential was read, then its reader connected",
    severity: Severity::Critical,
    attack: &["T1078", "T1552"],
    owasp: &["NHI1"],
    meaning: "The process that read a retired credential, or a child of it, opened a connection \
              within the window that is configured. It has probably authenticated with it.",
    innocent: "A forgotten job that still works because the account behind the credential was \
               never closed.",
    next: "Look at the destination: does it still accept this credential? Close the account \
           there, then ask the identity's owner.",
};
