//! CW-201: an outsider read a credential.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::OutsiderReads,
    title: "An outsider read a credential",
    severity: Severity::Medium,
    attack: &["T1552.001"],
    owasp: &["NHI2", "NHI3"],
    maturity: Maturity::Experimental,
    sentence: "WHO by EXE (pid N) read the active KIND FINGERPRINT at PATH; only IDENTITY with EXE is known to use it; the file is USER's",
    meaning: "A credential was read by an identity with a program that has not used it before. Users \
              are learned for a time after a credential is found (`detection.users.learning`), and an \
              outsider is not learned later by itself. High where it read what belongs to another \
              account, or runs a program from a temporary directory or from memory.",
    innocent: "A new version of a deployment, a new tool, a person who looks at a key, a job that runs \
               once a month. Package managers, systemd, ssh with its user's own keys, sshd with \
               host keys, and servers with their TLS keys raise nothing.",
    next: "Look at the program, the parents and the login in the alert. If it is right, say \
           `credwatch allow ALERT --reason …`, or declare it under `[[users]]`. If not, rotate the \
           credential: it has been read.",
    proof: &[
        "outsiders::whoever_comes_after_the_users_were_learned_is_an_outsider",
        "outsiders::while_users_are_learned_only_who_is_clearly_none_is_told",
        "outsiders::a_rotation_opens_no_new_time",
        "outsiders::what_an_operator_allows_is_silent_until_it_is_taken_back",
    ],
    quiet: &[
        "outsiders::ordinary_use_is_quiet",
    ],
};
