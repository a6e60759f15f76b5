//! CW-302: a machine identity connects far more often than usual.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::UnusualRate,
    title: "A machine identity connects far more often than usual",
    severity: Severity::Medium,
    attack: &["T1110"],
    owasp: &["NHI2"],
    maturity: Maturity::Experimental,
    sentence: "IDENTITY, watched for TIME, opened N connections in this hour, where M are usual; chance P",
    meaning: "So many connections do not come in this hour of the week: scraping, guessing, scanning, or a flood.",
    innocent: "A batch job that catches up, a client that retries in a loop, load that moved here.",
    next: "Look at where the connections go (`credwatch usage`), and whether the program is the usual one.",
    proof: &["habits::many_more_connections_than_ever_are_told"],
    quiet: &["habits::what_an_account_always_does_raises_nothing"],
};
