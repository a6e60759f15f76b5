//! CW-301: a machine identity calls somewhere new.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::NewDestination,
    title: "A machine identity calls somewhere new",
    severity: Severity::Medium,
    attack: &["T1071"],
    owasp: &["NHI2"],
    maturity: Maturity::Experimental,
    sentence: "IDENTITY, watched for TIME, called ADDRESS:PORT over PROTOCOL for the first time: WHAT IS NEW OF IT; chance P",
    meaning: "The destination is one that neither this identity nor its peers use, and new destinations are rare enough for it that this one stands out.",
    innocent: "A new version that calls a new service, a failover, a provider that moved.",
    next: "If it is meant, `credwatch allow` the alert. If not, look at what the identity read before it, and rotate the credentials that it holds.",
    proof: &["scored::a_service_that_is_new_to_an_identity_is_told"],
    quiet: &["scored::ordinary_calls_raise_nothing"],
};
