//! CW-306: a machine identity sends more than usual, hour after hour.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::SlowExfiltration,
    title: "A machine identity sends more than usual, hour after hour",
    severity: Severity::Medium,
    attack: &["T1030", "T1048"],
    owasp: &["NHI2"],
    maturity: Maturity::Experimental,
    sentence: "IDENTITY, watched for TIME, sent N in H hours, where M is usual; chance P",
    meaning: "Each hour by itself would pass; together they would not come by chance. That is how data leaves that is not to be noticed.",
    innocent: "Growth: more users, more logs. A baseline follows it within weeks.",
    next: "Compare with what the identity's owner expects; look at the destinations that grew.",
    proof: &["habits::more_than_usual_hour_after_hour_is_told"],
    quiet: &["habits::as_much_as_usual_hour_after_hour_raises_nothing"],
};
