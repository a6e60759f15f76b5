//! CW-101: a retired credential was read.

use super::Entry;
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::RetiredCredentialRead,
    title: "A retired credential was read",
    severity: Severity::Critical,
    attack: &["T1552.001", "T1552.004"],
    owasp: &["NHI1"],
    meaning: "A process opened, read, mapped or changed a credential that is retired, revoked or \
              expired, by any path or copy, or tried to. Nobody should need it any more: either \
              something still depends on it, or somebody has found it. An open that was refused is \
              medium: nothing was had, and it is more often a forgotten job or a search. An expired \
              credential is medium, and low where it was refused.",
    innocent: "A job that was forgotten when the credential was retired; a backup or a search that \
               reads every file.",
    next: "See who else uses it with `credwatch usage`. If the use is legitimate, finish the move \
           first and `credwatch restore` it until then. If not, treat the credential as stolen: revoke \
           it where it is accepted, then remove the file.",
};
