//! CW-205: the environment of another identity was read.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::EnvironScrape,
    title: "The environment of another identity was read",
    severity: Severity::High,
    attack: &["T1552.001"],
    owasp: &["NHI2"],
    maturity: Maturity::Stable,
    sentence: "WHO by EXE (pid N) read the environment of EXE (pid N) of IDENTITY",
    meaning: "A process read /proc/PID/environ of a process of another user, service or container. \
              Tokens and passwords are handed to services in their environment, in the clear. A read \
              that was refused is medium: somebody tried.",
    innocent: "A monitoring or inventory agent that reports environments; a person who looks why a \
               service does not start. systemd, container runtimes, ps and its like, and the hooks of \
               package managers raise nothing.",
    next: "Look at the parents and the login in the alert. If it is an agent of yours, add its unit to \
           `detection.process_memory.allowed`. If not, rotate what the service is given by its \
           environment, and move it to LoadCredential= or a file.",
    proof: &[
        "reaching::root_reads_the_environment_of_another_account",
        "reaching::an_environment_that_is_refused_was_tried",
    ],
    quiet: &[
        "quiet::what_manages_accounts_and_shows_processes_is_quiet",
    ],
};
