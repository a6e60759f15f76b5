//! CW-203: an outsider asked the cloud metadata service.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::MetadataService,
    title: "An outsider asked the cloud metadata service",
    severity: Severity::High,
    attack: &["T1552.005"],
    owasp: &["NHI6"],
    maturity: Maturity::Stable,
    sentence: "WHO by EXE (pid N) connected to the cloud metadata service at ADDRESS:PORT",
    meaning: "A process that is not on the list connected to the address at which a cloud hands \
              out this machine's own credentials.",
    innocent: "A cloud agent or SDK that is legitimate here and not on the list yet.",
    next: "If it is legitimate, add its unit or executable to `detection.metadata_service.allowed`. \
           If not, rotate the instance role's credentials and require IMDSv2 with a hop limit of 1.",
    proof: &[
        "connecting::every_address_of_the_metadata_services_is_watched",
    ],
    quiet: &[
        "connecting::an_agent_that_is_allowed_may_ask_the_metadata_service",
    ],
};
