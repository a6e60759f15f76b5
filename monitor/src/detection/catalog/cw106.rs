//! CW-106: the old version of a rotated credential is still held or used.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::StaleHolder,
    title: "A process still holds the old version of a rotated credential",
    severity: Severity::Medium,
    attack: &["T1552.004"],
    owasp: &["NHI7", "NHI1"],
    maturity: Maturity::Experimental,
    sentence: "WHO by EXE (pid N) still may hold the KIND FINGERPRINT, read on DATE: FINGERPRINT replaced it at PATH N d N h ago, and was not read since",
    meaning: "A credential was replaced, and a process has read the old version and not the new one \
              since. It is named when the rotation window is over, and again when it then connects \
              somewhere. In the window, a read of the old version at another place is told as low: \
              somebody takes it from a backup. The rotation is not done until nobody holds the old \
              one, and taking it back would break those that are named.",
    innocent: "A service that reads its key at start and was not restarted; a program that reads \
               everything and keeps nothing, such as a backup.",
    next: "See with `credwatch report rotation` who has the new version and who has not. Restart \
           or reload those that are named, then revoke the old version where it is accepted.",
    proof: &["rotating::who_keeps_the_old_version_is_named_and_the_old_version_ends", "rotating::a_rotation_while_no_daemon_runs_and_one_that_is_taken_back"],
    quiet: &["rotating::moved_copied_linked_and_read_keys_are_no_rotation"],
};
