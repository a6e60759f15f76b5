//! CW-904: what Credwatch relies on was changed.

use super::Entry;
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::Tampered,
    title: "What Credwatch relies on was changed",
    severity: Severity::High,
    attack: &["T1562.001", "T1070"],
    owasp: &[],
    meaning: "The database, the fingerprint key, their directory, a registry file, the \
              configuration or the program itself was replaced, removed or changed by somebody \
              else, or can no longer be read. Medium for registry, configuration and program, \
              whose content takes effect by a reload or a restart only.",
    innocent: "An upgrade before its restart; a registry file or configuration that was edited and \
               not yet reloaded; a person who has written to the database with sqlite3.",
    next: "The summary says what and, where it is known, whose file it is now. If the change is \
           yours, reload (SIGHUP) or restart. If not, keep a copy of what lies there, restore the \
           database and key from a backup, and look at who was root at that time.",
};
