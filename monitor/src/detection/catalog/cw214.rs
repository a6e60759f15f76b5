//! CW-214: an identity has more rights than it uses.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::Overprivileged,
    title: "An identity has rights that it does not use",
    severity: Severity::Low,
    attack: &["T1078"],
    owasp: &["NHI5"],
    maturity: Maturity::Experimental,
    sentence: "N identities have rights that they have not used in the N d N h and more for which that was \
               watched: IDENTITY (CAP_NAME, CAP_NAME; N credentials); …",
    meaning: "Programs of a service, a container or a machine's account were given capabilities, or can \
              read credentials, and were never seen to use them in the time of \
              `detection.overprivileged.observation`. Whoever takes such a process over has them too. \
              Only programs whose start was seen are judged, and only what was watched counts. All \
              are one alert a day at most; an identity is told of again after 30 days.",
    innocent: "A right for an event that has not come in that time: a restore, a reload, a yearly job. \
               Most services of root's have all capabilities because nobody took any away.",
    next: "`credwatch report overprivileged IDENTITY` names each right with its reasons. Take \
           capabilities away with `CapabilityBoundingSet=` in the unit or `--cap-drop` of the container, \
           and credentials with the file's mode or owner. Where it must keep them, `credwatch allow` \
           the alert.",
    proof: &["overprivileged::exactly_what_was_given_and_not_used_is_named"],
    quiet: &["overprivileged::who_uses_all_and_who_is_new_is_not_told"],
};
