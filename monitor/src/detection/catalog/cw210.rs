//! CW-210: one credential is used by several machine identities.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::Reuse,
    title: "A credential is used by several machine identities",
    severity: Severity::Low,
    attack: &["T1078"],
    owasp: &["NHI9"],
    maturity: Maturity::Experimental,
    sentence: "The KIND FINGERPRINT at PATH is used by IDENTITY with EXE, and also by IDENTITY",
    meaning: "Two machine identities use the same credential: services, containers or accounts. When one of \
              them is broken into, the others' rights go with it, and it cannot be retired for one alone. \
              It is told once for each pair, when the second was learned as a user.",
    innocent: "Parts of one application that were given one credential on purpose. People, root outside of a \
               service, and identities that read many credentials (backups) are not counted.",
    next: "Give each identity a credential of its own. If the two belong together, say `credwatch allow`.",
    proof: &[
        "outsiders::two_accounts_with_one_credential_are_told_once",
    ],
    quiet: &[
        "outsiders::ordinary_use_is_quiet",
    ],
};
