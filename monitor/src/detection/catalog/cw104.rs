//! CW-104: something dormant was used.

use super::Entry;
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::DormantUsed,
    title: "A dormant credential or identity was used",
    severity: Severity::Medium,
    attack: &["T1078"],
    owasp: &["NHI1"],
    meaning: "A credential or an identity was used that had rested for longer than `life.dormancy` \
              (30 days) and longer than three times its longest rest before. Only time in which a \
              daemon watched counts, and a credential that a running process holds is not at rest. \
              What nobody uses is what nobody would miss, and what somebody finds who looks around. \
              It is low for an identity, and for a credential that the same identity has used \
              before with the same program.",
    innocent: "A job that runs a few times a year, until its rhythm is known; a restore, a migration, \
               a search through all files.",
    next: "See with `credwatch usage` who has used it before, and ask whoever is named now. If it is \
           not needed, retire it.",
};
