//! CW-903: credwatch was stopped or held, or the clock was set.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::NotWatched,
    title: "Credwatch was stopped or held, or the clock was set",
    severity: Severity::High,
    attack: &["T1562.001"],
    owasp: &[],
    maturity: Maturity::Stable,
    sentence: "Credwatch was told to stop (SIGNAL) by WHO by EXE (pid N): nothing is watched until it is started again",
    meaning: "There is a time of which the alerts do not tell everything. Either somebody has told \
              the daemon to stop, or the former run was killed, or the daemon was held for some \
              seconds, or the wall clock was set, so that times do not compare. Low when the \
              init system stopped it, medium after a crash of the host and for the clock.",
    innocent: "An upgrade or a shutdown (low); an operator who ends the daemon by hand; a host that \
               was out of memory or starved; a clock that was wrong at boot.",
    next: "Find out who did it: the summary names the sender of the signal where there was one. \
           Treat what happened on the host in that time as not seen. Send alerts to a remote sink, \
           so that the last word is not only on this host.",
    proof: &[
        "guarding::who_stops_it_is_said_before_it_ends",
        "guarding::a_run_that_was_killed_is_told_by_the_next_one",
        "guarding::a_daemon_that_was_held_says_so",
    ],
    quiet: &[
        "guarding::a_signal_that_means_nothing_ends_nothing",
    ],
};
