//! CW-904: what Credwatch relies on was changed.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::Tampered,
    title: "What Credwatch relies on was changed",
    severity: Severity::High,
    attack: &["T1562.001", "T1070"],
    owasp: &[],
    maturity: Maturity::Stable,
    sentence: "WHAT at PATH was replaced by another file",
    meaning: "The database, the fingerprint key, their directory, a registry file, the \
              configuration or the program itself was replaced, removed or changed by somebody \
              else, or can no longer be read. Medium for registry, configuration and program, \
              whose content takes effect by a reload or a restart only.",
    innocent: "An upgrade before its restart; a registry file or configuration that was edited and \
               not yet reloaded; a person who has written to the database with sqlite3.",
    next: "The summary says what and, where it is known, whose file it is now. If the change is \
           yours, reload (SIGHUP) or restart. If not, keep a copy of what lies there, restore the \
           database and key from a backup, and look at who was root at that time.",
    proof: &[
        "guarding::a_database_that_is_replaced_is_noticed",
        "guarding::a_program_that_is_replaced_is_noticed_once",
        "guarding::a_registry_file_that_is_not_in_force_is_noticed",
    ],
    quiet: &[
        "guarding::whoever_writes_to_the_database_is_noticed_and_readers_are_not",
    ],
};
