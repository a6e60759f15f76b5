//! CW-202: a workload's credential was read by an outsider, who then called the API it is for.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::ReadThenCall,
    title: "A workload's credential was read by an outsider, who then called its API",
    severity: Severity::Critical,
    attack: &["T1550.001", "T1528"],
    owasp: &["NHI2"],
    maturity: Maturity::Experimental,
    sentence: "WHO by EXE (pid N) read the active KIND FINGERPRINT at PATH, then connected to ADDRESS, where such a credential is taken; it is no user of it",
    meaning: "A token or key of a workload (Kubernetes, AWS, Google, Azure, Oracle, Vault, a JSON web \
              token) was read by a process that is no user of it, and within a minute that process or a \
              child of it connected to the API that takes such a credential, or to the cloud's \
              metadata service. That is how stolen tokens are tried.",
    innocent: "A new tool of the same workload, or an operator who debugs with the workload's token.",
    next: "Revoke the token now, and look in the API's audit log for what was done with it from this \
           host at that time. If it was right, say `credwatch allow` for the CW-201 of the same read.",
    proof: &[
        "outsiders::a_token_that_an_outsider_read_is_used_at_its_api",
    ],
    quiet: &[
        "outsiders::ordinary_use_is_quiet",
    ],
};
