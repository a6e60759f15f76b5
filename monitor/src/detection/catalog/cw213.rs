//! CW-213: a credential lies where others can read it.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::LeakedByPlace,
    title: "A credential lies where others can read it",
    severity: Severity::Medium,
    attack: &["T1552.001", "T1552.003"],
    owasp: &["NHI2"],
    maturity: Maturity::Experimental,
    sentence: "WHO by EXE (pid N) was given the KIND FINGERPRINT among its arguments, which every account of \
               this host can list",
    meaning: "A credential stands among the arguments of a process, which every account of the host \
              can list; or in a shell's history or a log, which are kept, copied and shipped; or in a \
              file that every account can read, by its mode and by the directories above it. The last \
              is low. What the first search after a start finds is one alert, with the number of files.",
    innocent: "A token that a person tried out by hand; a job whose tool takes its token as an \
               argument only; a service that hands its credential to all accounts on purpose. Public \
               keys and certificates are none.",
    next: "Treat what stood in arguments, a history or a log as known to others: make a new one, then \
           remove the line. Give secrets to programs by a file of their own account with mode 0600, by \
           LoadCredential= or on standard input. `credwatch credentials --finding world-readable` lists \
           the files that all can read; `chmod o-r` closes one.",
    proof: &[
        "leaking::a_token_among_arguments_is_told_and_ordinary_arguments_are_not",
        "leaking::open_files_are_one_alert_at_first_and_then_one_each",
        "leaking::a_history_and_a_log_are_told",
    ],
    quiet: &[
        "leaking::a_token_among_arguments_is_told_and_ordinary_arguments_are_not",
        "leaking::an_environment_is_read_of_what_stays_and_forgotten_at_its_end",
        "leaking::open_files_are_one_alert_at_first_and_then_one_each",
    ],
};
