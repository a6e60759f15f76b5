//! CW-104: something dormant was used.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::DormantUsed,
    title: "A dormant credential or identity was used",
    severity: Severity::Medium,
    attack: &["T1078"],
    owasp: &["NHI1"],
    maturity: Maturity::Experimental,
    sentence: "WHO by EXE (pid N) read the KIND FINGERPRINT at PATH: nobody had used it for N d N h; it is dormant after N d N h",
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
    proof: &["resting::a_credential_that_rested_is_told_and_one_that_is_held_is_not"],
    quiet: &["resting::a_credential_that_rested_is_told_and_one_that_is_held_is_not"],
};
