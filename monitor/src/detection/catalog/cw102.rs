//! CW-102: a retired credential was read, then its reader connected.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::RetiredCredentialUsed,
    title: "A retired credential was read, then its reader connected",
    severity: Severity::Critical,
    attack: &["T1078", "T1552"],
    owasp: &["NHI1"],
    maturity: Maturity::Stable,
    sentence: "WHO by EXE (pid N) read the retired KIND FINGERPRINT at PATH, retired on DATE by WHOM, then connected to NAME (ADDRESS:PORT)",
    meaning: "The process that read a retired credential, or a child of it, opened a connection \
              within the window that is configured. It has probably authenticated with it.",
    innocent: "A forgotten job that still works because the account behind the credential was \
               never closed.",
    next: "Look at the destination: does it still accept this credential? Close the account \
           there, then ask the identity's owner.",
    proof: &[
        "connecting::a_connection_after_the_read_is_a_use",
        "connecting::a_child_that_connects_for_the_reader_is_seen",
        "connecting::a_datagram_of_each_of_many_processes_is_told",
    ],
    quiet: &[
        "connecting::who_only_connects_or_reads_too_long_ago_raises_nothing",
    ],
};
