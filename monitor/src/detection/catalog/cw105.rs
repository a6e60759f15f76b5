//! CW-105: an account was reactivated.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::AccountReactivated,
    title: "A system account was reactivated",
    severity: Severity::High,
    attack: &["T1078.003"],
    owasp: &["NHI1"],
    maturity: Maturity::Experimental,
    sentence: "The system account NAME (uid N) can be used again: its password was unlocked; WHO by EXE (pid N) did so just before",
    meaning: "An account that is made for a machine, and that nobody could log in to, can be used \
              again: its password was unlocked, or it was given one, or a shell, or its expiry was \
              lifted. Services need none of these to run as it. For an identity that is retired it is \
              critical, also where it is a person's.",
    innocent: "An administrator who sets up a service by hand, or a package that changes the shell of \
               its account at an upgrade. An account is left alone for ten minutes after it was made.",
    next: "Ask whoever ran the program that the alert names. If nobody had a reason, lock the account \
           (`usermod --lock --expiredate 1 --shell /usr/sbin/nologin NAME`), look at what was done \
           under it since (`credwatch alerts`), and at its authorized keys.",
    proof: &[
        "offboarding::a_locked_account_that_can_be_used_again_is_told_with_who_did_it",
        "offboarding::what_happened_to_an_account_while_no_daemon_ran_is_told_at_the_start",
    ],
    quiet: &["offboarding::ordinary_work_on_accounts_reactivates_none"],
};
