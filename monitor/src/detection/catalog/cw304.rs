//! CW-304: a machine identity calls a new destination in a rhythm.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::Beacon,
    title: "A machine identity calls a new destination in a rhythm",
    severity: Severity::Medium,
    attack: &["T1071", "T1029"],
    owasp: &["NHI2"],
    maturity: Maturity::Experimental,
    sentence: "IDENTITY, watched for TIME, calls ADDRESS:PORT, new to it, every N seconds; chance P",
    meaning: "Implants ask for orders in a rhythm. So do agents of monitoring; but this destination is new to the identity and its peers.",
    innocent: "A new agent, health check or poller.",
    next: "Find the program, and who installed it. If it is meant, allow the alert.",
    proof: &["scored::a_rhythm_of_calls_to_a_new_address_is_told"],
    quiet: &["scored::ordinary_calls_raise_nothing"],
};
