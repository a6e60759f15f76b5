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
              account, a systemd unit or a container that the registry says is gone; or a device \
              that is retired sends something through this host.",
    innocent: "A unit or account that was retired in the registry and not yet removed from the \
               host; a package script that touches every account.",
    next: "Lock the account or mask the unit now, then find out from the ancestors in the alert \
           who started it.",
    proof: &[
        "identities::a_retired_account_that_runs_something_is_active",
        "identities::a_retired_account_that_connects_is_active",
        "identities::taking_the_uid_of_a_retired_account_is_an_act_by_itself",
        "devices::a_retired_device_that_sends_is_told_and_another_is_not",
    ],
    quiet: &[
        "identities::a_retired_account_that_runs_something_is_active",
        "devices::devices_behind_a_gateway_are_named_and_their_traffic_is_counted",
    ],
};
