//! CW-201: an outsider read a credential.

use super::Entry;
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::OutsiderReads,
    title: "An outsider read a credential",
    severity: Severity::Medium,
    attack: &["T1552.001"],
    owasp: &["NHI2", "NHI3"],
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
};
