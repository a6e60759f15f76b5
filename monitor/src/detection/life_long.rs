//! CW-108: credentials that live longer than their kind should. Looked for once a day, and told as
//! one alert a kind: a host has many of an age.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fold::{Cause, Finding};
use super::guard::span;
use super::life::nanoseconds;
use super::{Detector, Outcome, describe};
use crate::model::{CredentialKind, CredentialState, DetectionId, Fingerprint, Target, Timestamp};
use crate::registry::CredentialEntry;

/// What was told of a credential is not told again for so long.
const REMIND: Duration = Duration::from_secs(30 * 86_400);
/// Most credentials that a sentence names.
const NAMED: usize = 5;

/// One that lives too long.
struct Long {
    fingerprint: Fingerprint,
    excess: Duration,
    why: String,
}

impl Detector {
    /// Looks for them where it is time to.
    pub(super) fn review(
        &mut self,
        now: Timestamp,
        findings: &mut Vec<Finding>,
        outcome: &mut Outcome,
    ) {
        let registry = &self.state.registry;
        let first = || registry.credentials().map(|entry| entry.first_seen).min();
        let Some(last) = self.reviewed.or_else(first) else {
            return;
        };
        let last = *self.reviewed.insert(last);
        if last <= now && now.since(last) < self.settings.life.review {
            return;
        }
        // A clock that was set back is no reason to wait until it has caught up.
        self.reviewed = Some(now);
        if last > now {
            return;
        }
        let mut kinds: BTreeMap<CredentialKind, Vec<Long>> = BTreeMap::new();
        for entry in registry.credentials() {
            let kind = entry.credential.kind;
            let of = Target::Credential(entry.credential.fingerprint.clone());
            let told = registry.rhythms.told(&of);
            let state = registry.standing(entry, None, now).state;
            let is_free = matches!(state, CredentialState::Active | CredentialState::Rotating);
            if is_free
                && !entry.locations.is_empty()
                && told.is_none_or(|told| now.since(told) >= REMIND)
                && let Some(limit) = self.settings.life.longest.get(&kind)
                && let Some(long) = too_long(entry, *limit, now)
            {
                kinds.entry(kind).or_default().push(long);
            }
        }
        for (kind, mut all) in kinds {
            all.sort_by(|a, b| (b.excess, &a.fingerprint).cmp(&(a.excess, &b.fingerprint)));
            findings.extend(self.lives_long(kind, &all, now));
            for Long { fingerprint, .. } in all {
                let rhythms = &mut self.state.registry.rhythms;
                let told = rhythms.tell(&Target::Credential(fingerprint), now);
                outcome.rhythms.extend(told);
            }
        }
    }

    fn lives_long(&self, kind: CredentialKind, all: &[Long], now: Timestamp) -> Option<Finding> {
        let limit = self.settings.life.longest.get(&kind)?;
        let first = all.first()?;
        let credential = self.known(&first.fingerprint, now)?;
        let named: Vec<_> = all
            .iter()
            .take(NAMED)
            .filter_map(|long| {
                let at = self.known(&long.fingerprint, now)?.path;
                let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
                Some(format!("{}{at} {}", long.fingerprint, long.why))
            })
            .collect();
        let count = match all.len() {
            1 => format!("1 {} lives", kind.label()),
            many => format!("{many} credentials of the kind {} live", kind.label()),
        };
        let more = match all.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let mut alert = describe::alert(DetectionId::LongLived, now);
        alert.summary = format!(
            "{count} longer than the {} that life.longest allows: {}{more}",
            span(nanoseconds(*limit)),
            named.join("; ")
        );
        alert.credential = Some(credential);
        Some(Finding {
            cause: Cause {
                id: alert.id,
                parts: vec![kind.label().to_owned()],
            },
            alert,
            weight: 1,
        })
    }
}

/// By its own words where it has any; else by its file, which may have been copied since.
fn too_long(entry: &CredentialEntry, limit: Duration, now: Timestamp) -> Option<Long> {
    let credential = &entry.credential;
    let (lives, why) = match (credential.issued, credential.expires) {
        (Some(issued), Some(expires)) => {
            let lives = expires.since(issued);
            (lives, format!("was issued for {}", in_words(lives)))
        }
        (None, Some(expires)) => {
            let lives = expires.since(now);
            (lives, format!("ends in {}", in_words(lives)))
        }
        (Some(issued), None) => {
            let lives = now.since(issued);
            let why = format!("was issued {} ago and has no end", in_words(lives));
            (lives, why)
        }
        (None, None) => {
            let written = entry.written.filter(|at| *at <= entry.first_seen);
            let lives = now.since(written.unwrap_or(entry.first_seen));
            let by = if written.is_some() {
                "lies in a file that was last written"
            } else {
                "was found"
            };
            (
                lives,
                format!("{by} {} ago and has no end", in_words(lives)),
            )
        }
    };
    (lives > limit).then(|| Long {
        fingerprint: credential.fingerprint.clone(),
        excess: lives.saturating_sub(limit),
        why,
    })
}

fn in_words(duration: Duration) -> String {
    span(nanoseconds(duration))
}
