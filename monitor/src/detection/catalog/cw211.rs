//! CW-211: a credential of one environment was used in another.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::WrongEnvironment,
    title: "A credential was used in the wrong environment",
    severity: Severity::High,
    attack: &["T1078.004"],
    owasp: &["NHI8"],
    maturity: Maturity::Experimental,
    sentence: "WHO by EXE (pid N) read the active KIND FINGERPRINT at PATH; the credential belongs to ENVIRONMENT, and the reader to ENVIRONMENT",
    meaning: "An `[[environment]]` of the configuration holds this credential, and it was read by an identity \
              of another environment, or its reader then connected to another environment's address.",
    innocent: "A job that moves data between environments, or tags that are out of date.",
    next: "Give the identity a credential of its own environment, and rotate this one if it should never have \
           been there. If it belongs to both environments, list it in both.",
    proof: &[
        "outsiders::a_credential_of_one_environment_is_used_in_another",
    ],
    quiet: &[
        "outsiders::ordinary_use_is_quiet",
    ],
};
