//! CW-209: a person used a machine's identity.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::HumanUse,
    title: "A person used a machine identity",
    severity: Severity::Medium,
    attack: &["T1078"],
    owasp: &["NHI10"],
    maturity: Maturity::Experimental,
    sentence: "PERSON (login, terminal pts0) acts as IDENTITY by way of EXE and ran EXE (pid N)",
    meaning: "Somebody with a login or a terminal acts as a service's account (sudo -u, su, setpriv, ssh \
              as the account), has gone into a container, or read a credential that is a machine's. What \
              is done so is not told from what the machine does, and its rights were not given to a \
              person. Medium: a person acts as it. High: a person read its credential.",
    innocent: "An administrator who works on a service: psql as postgres, a shell in a container. cron \
               jobs, services, package scripts, and programs that change to their own account raise \
               nothing.",
    next: "If it is the way you work, name the identity in `detection.human_use.allowed`. If not, ask \
           the person whose login the alert names, and give people rights of their own. Rotate a \
           credential that was read.",
    proof: &[
        "humans::a_person_who_acts_as_a_services_account_is_told_of",
        "humans::a_person_who_reads_a_services_key_is_told_of",
        "humans::a_person_who_goes_into_a_container_is_told_of",
    ],
    quiet: &[
        "humans::people_as_themselves_and_programs_as_their_own_accounts_are_quiet",
    ],
};
