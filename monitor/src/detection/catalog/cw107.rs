//! CW-107: a decoy credential was touched.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::DecoyTouched,
    title: "A decoy credential was touched",
    severity: Severity::Critical,
    attack: &["T1552.001"],
    owasp: &["NHI2"],
    maturity: Maturity::Stable,
    sentence: "WHO by EXE (pid N) opened the decoy credential, KIND FINGERPRINT at PATH, declared a decoy on DATE by WHOM",
    meaning: "A process opened, read or changed a credential that was laid out as bait, or tried to. \
              Nothing has a reason to.",
    innocent: "A backup, an indexer or a search that reads every file: exclude the decoy there, so \
               that the next touch means something.",
    next: "Take the process, its ancestors and its login as the start of an investigation; the \
           decoy itself opens nothing.",
    proof: &[
        "declared::a_decoy_by_path_or_fingerprint_is_not_to_be_touched",
    ],
    quiet: &[
        "quiet::ordinary_administration_is_quiet",
    ],
};
