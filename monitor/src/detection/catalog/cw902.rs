//! CW-902: events were lost.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::EventsLost,
    title: "Events were lost",
    severity: Severity::High,
    attack: &[],
    owasp: &[],
    maturity: Maturity::Stable,
    sentence: "N events of HOOK were lost on CPU N",
    meaning: "More happened than the daemon could take in, or one process did something so often \
              that the rest of it was only counted: an attacker may try this to hide one read among \
              many. The numbers are exact. Where one process did it, the alert names it.",
    innocent: "A burst of processes or connections on a busy host with a small ring.",
    next: "Where a process is named, look at what it does. Else raise `sensor.ring_bytes`, and look at \
           what ran at that time.",
    proof: &[
        "flooding::who_floods_is_told_with_how_much",
        "flooding::a_flood_of_datagrams_hides_no_read_and_is_counted_to_the_last",
    ],
    quiet: &[
        "quiet::a_flood_hides_no_read",
    ],
};
