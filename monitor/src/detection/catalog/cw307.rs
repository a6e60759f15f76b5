//! CW-307: a program runs under a machine identity, or connects as it, for the first time.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::NewProgram,
    title: "A machine identity uses a program that it never used",
    severity: Severity::Low,
    attack: &["T1078", "T1059"],
    owasp: &["NHI2"],
    maturity: Maturity::Experimental,
    sentence: "EXE ran or connected as IDENTITY, watched for TIME, for the first time; chance P",
    meaning: "Services run the same few programs for ever. Whoever has taken one over runs others.",
    innocent: "A new version of the service, maintenance by hand.",
    next: "See what started it (the alert names the parents), and who deployed last.",
    proof: &["habits::a_program_that_never_ran_under_the_identity_is_told"],
    quiet: &["habits::what_an_account_always_does_raises_nothing"],
};
