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
              else, or can no longer be read. A configuration that was changed is told with the \
              keys that are different; a registry file where it gives back what it had retired, or \
              is wrong. Both hold at once. Medium for registry, configuration and program.",
    innocent: "An operator who edits the configuration or gives something back; an upgrade before \
               its restart; a person who has written to the database with sqlite3.",
    next: "The summary says what and, where it is known, whose file it is now. If the change is \
           yours, nothing is left to do but a restart where it says so. If not, keep a copy of what lies there, restore the \
           database and key from a backup, and look at who was root at that time.",
    proof: &[
        "guarding::a_database_that_is_replaced_is_noticed",
        "guarding::a_program_that_is_replaced_is_noticed_once",
        "reloading::a_file_that_is_changed_holds_and_is_told",
        "reloading::a_file_that_is_wrong_changes_nothing_and_is_told",
        "reloading::what_a_registry_file_gives_back_is_told",
    ],
    quiet: &[
        "guarding::whoever_writes_to_the_database_is_noticed_and_readers_are_not",
    ],
};
