//! CW-108: a credential lives too long.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::LongLived,
    title: "A credential lives too long",
    severity: Severity::Low,
    attack: &["T1078"],
    owasp: &["NHI7"],
    maturity: Maturity::Experimental,
    sentence: "N credentials of the kind KIND live longer than the N d N h that life.longest allows: FINGERPRINT at PATH was issued N d N h ago and has no end; …",
    meaning: "A credential is older, or is valid for longer, than `life.longest` allows its kind. What \
              was copied once stays of use for as long as it lives. The age is the credential's own \
              where it says when it was issued, else that of its file. All of a kind are one alert; \
              one is told again after 30 days.",
    innocent: "A certificate that a host has made for itself at its installation; a file that was \
               copied with its old time and holds something newer.",
    next: "Replace it, by one that ends of itself where there is a choice. Where it must live on, \
           give its kind a longer time in `[life.longest]`, or \"never\".",
    proof: &["resting::what_lives_too_long_is_one_alert_a_kind_and_told_once"],
    quiet: &["resting::a_fresh_installation_with_old_keys_and_logins_is_quiet"],
};
