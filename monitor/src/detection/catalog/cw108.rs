//! CW-108: a credential lives too long.

use super::Entry;
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::LongLived,
    title: "A credential lives too long",
    severity: Severity::Low,
    attack: &["T1078"],
    owasp: &["NHI7"],
    meaning: "A credential is older, or is valid for longer, than `life.longest` allows its kind. What \
              was copied once stays of use for as long as it lives. The age is the credential's own \
              where it says when it was issued, else that of its file. All of a kind are one alert; \
              one is told again after 30 days.",
    innocent: "A certificate that a host has made for itself at its installation; a file that was \
               copied with its old time and holds something newer.",
    next: "Replace it, by one that ends of itself where there is a choice. Where it must live on, \
           give its kind a longer time in `[life.longest]`, or \"never\".",
};
