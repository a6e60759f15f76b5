//! CW-101: a retired credential was read.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::RetiredCredentialRead,
    title: "A retired credential was read",
    severity: Severity::Critical,
    attack: &["T1552.001", "T1552.004"],
    owasp: &["NHI1"],
    maturity: Maturity::Stable,
    sentence: "WHO by EXE (pid N) read the retired KIND FINGERPRINT at PATH, retired on DATE (N days ago) by WHOM: \"REASON\"",
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
    proof: &[
        "reading::a_retired_key_is_seen_by_every_way_of_reading_it",
        "reading::a_retired_key_is_seen_by_every_path_to_it",
        "moving::a_retired_key_is_followed",
        "reaching::an_open_of_a_retired_key_that_is_refused_is_an_attempt_and_no_use",
    ],
    quiet: &[
        "reading::restoring_ends_it_and_retiring_begins_it_anew",
        "moving::the_inode_of_a_deleted_key_is_no_key",
    ],
};
