//! CW-305: a machine identity acts at an hour at which it never does.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::UnusualHour,
    title: "A machine identity acts at an hour at which it never does",
    severity: Severity::Low,
    attack: &["T1078"],
    owasp: &["NHI2"],
    maturity: Maturity::Experimental,
    sentence: "IDENTITY, watched for TIME, acted at an hour at which it did in one of N such hours; chance P",
    meaning: "Machines keep their hours. Somebody who uses their credential by hand does not.",
    innocent: "A job that was moved, a clock change, a catch-up after downtime.",
    next: "See which program acted and who started it.",
    proof: &["habits::an_act_at_an_hour_without_any_is_told"],
    quiet: &["habits::what_an_account_always_does_raises_nothing"],
};
