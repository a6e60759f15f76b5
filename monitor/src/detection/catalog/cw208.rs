//! CW-208: an outsider touched the system's own secrets.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::SystemSecret,
    title: "An outsider touched the system's own secrets",
    severity: Severity::High,
    attack: &["T1003.008", "T1098.004"],
    owasp: &["NHI2"],
    maturity: Maturity::Stable,
    sentence: "WHO by EXE (pid N) changed the password file at PATH",
    meaning: "A program that has no known reason to read or changed the password files, sudo's rules, \
              authorized keys of another user, the host's keytab, keys of the Kubernetes cluster, or a \
              key of the kernel's keyrings that belongs to somebody else. Critical: a change. High: a \
              secret was read. Medium: rules or authorized keys were read, an open of a secret was \
              refused, a user's own authorized keys were changed, or a key of an unknown owner was \
              read. Low: an open of rules or authorized keys was refused.",
    innocent: "A backup, an audit or configuration management that is not declared yet; an \
               administrator with an editor. What logs people in, manages accounts, schedules jobs or \
               installs packages raises nothing.",
    next: "If it is a job of yours, add its unit to `detection.system_secrets.allowed`. If not: after a \
           read of passwords change them; after a change compare the file with a backup, remove what \
           was added, and look for what logged in since.",
    proof: &[
        "reaching::the_password_file_is_read_by_an_outsider",
        "reaching::the_systems_files_are_read_refused_and_changed",
        "reaching::a_key_of_another_account_in_the_kernels_keyrings_is_read",
    ],
    quiet: &[
        "quiet::what_manages_accounts_and_shows_processes_is_quiet",
    ],
};
