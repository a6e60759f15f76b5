//! CW-103: a retired identity is active.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::RetiredIdentityActive,
    title: "A retired identity is active",
    severity: Severity::Critical,
    attack: &["T1078"],
    owasp: &["NHI1"],
    maturity: Maturity::Stable,
    sentence: "IDENTITY, retired on DATE (N days ago) by WHOM: \"REASON\", ran EXE (pid N)",
    meaning: "Something runs, connects or takes a uid as an identity that is retired: a unix \
              account, a systemd unit or a container that the registry says is gone.",
    innocent: "A unit or account that was retired in the registry and not yet removed from the \
               host; a package script that touches every account.",
    next: "Lock the account or mask the unit now, then find out from the ancestors in the alert \
           who started it.",
    proof: &[
        "identities::a_retired_account_that_runs_something_is_active",
        "identities::a_retired_account_that_connects_is_active",
        "identities::taking_the_uid_of_a_retired_account_is_an_act_by_itself",
    ],
    quiet: &[
        "identities::a_retired_account_that_runs_something_is_active",
    ],
};
