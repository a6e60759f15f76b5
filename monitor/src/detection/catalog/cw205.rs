//! CW-205: the environment of another identity was read.

use super::Entry;
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::EnvironScrape,
    title: "The environment of another identity was read",
    severity: Severity::High,
    attack: &["T1552.001"],
    owasp: &["NHI2"],
    meaning: "A process read /proc/PID/environ of a process of another user, service or container. \
              Tokens and passwords are handed to services in their environment, in the clear. A read \
              that was refused is medium: somebody tried.",
    innocent: "A monitoring or inventory agent that reports environments; a person who looks why a \
               service does not start. systemd, container runtimes, ps and its like, and the hooks of \
               package managers raise nothing.",
    next: "Look at the parents and the login in the alert. If it is an agent of yours, add its unit to \
           `detection.process_memory.allowed`. If not, rotate what the service is given by its \
           environment, and move it to LoadCredential= or a file.",
};
