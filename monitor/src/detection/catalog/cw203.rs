//! CW-203: an outsider asked the cloud metadata service.

use super::Entry;
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::MetadataService,
    title: "An outsider asked the cloud metadata service",
    severity: Severity::High,
    attack: &["T1552.005"],
    owasp: &["NHI6"],
    meaning: "A process that is not on the list connected to the address at which a cloud hands \
              out this machine's own credentials.",
    innocent: "A cloud agent or SDK that is legitimate here and not on the list yet.",
    next: "If it is legitimate, add its unit or executable to `detection.metadata_service.allowed`. \
           If not, rotate the instance role's credentials and require IMDSv2 with a hop limit of 1.",
};
