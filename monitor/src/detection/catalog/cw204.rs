//! CW-204: one process tree reads many credentials.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::Harvest,
    title: "Credentials were harvested",
    severity: Severity::High,
    attack: &["T1552.001", "T1552.004"],
    owasp: &["NHI2"],
    maturity: Maturity::Experimental,
    sentence: "WHO by EXE (pid N), started by EXE (pid N), and its process tree read N files with credentials of N kinds within 5 minutes: KIND, KIND, KIND",
    meaning: "One login session, or one service's process tree, read files with three or more kinds of \
              credential, or more files with credentials than `detection.harvest.files`, within \
              `detection.harvest.window`. Reads by known users of a credential do not count.",
    innocent: "A person who copies a whole home directory or /etc by hand; a new scanner or backup. Those \
               that ran while users were learned, package managers and declared ones raise nothing.",
    next: "Take every credential that the tree has read as known to somebody else: \
           `credwatch usage IDENTITY` lists them. If it is a backup or a scanner of yours, declare its \
           unit in `detection.harvest.allowed`.",
    proof: &[
        "outsiders::one_tree_that_reads_three_kinds_is_a_harvest_and_a_backup_is_none",
        "outsiders::one_tree_that_reads_many_files_is_a_harvest",
    ],
    quiet: &[
        "outsiders::ordinary_use_is_quiet",
    ],
};
