//! CW-303: a machine identity sends far more than usual.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::UnusualVolume,
    title: "A machine identity moves far more data than usual",
    severity: Severity::Medium,
    attack: &["T1048"],
    owasp: &["NHI2"],
    maturity: Maturity::Experimental,
    sentence: "IDENTITY, watched for TIME, sent N to ADDRESS:PORT on this day, where M is usual; chance P",
    meaning: "Data leaves, or a tool comes in, by a destination that never sees as much.",
    innocent: "A first full backup, a migration, a larger image.",
    next: "See what the identity reads that is worth taking, and ask the owner of the destination what arrived.",
    proof: &["scored::much_that_goes_to_a_new_address_is_told"],
    quiet: &["scored::ordinary_calls_raise_nothing"],
};
