//! Can this be deleted? Yes, no or cannot tell, each with its reasons.
//!
//! A yes rests on one assumption alone, that use is regular: whatever still used it would have done
//! so again within [`Need::reach`], seen. It is said only where no chain of uses, each within that
//! time of the one before, could have stayed in the times that were not watched.

mod living;
mod rhythm;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Registry;
use super::answer::{Reason, Verdict, settle};
use super::watched::{could_hide, unseen_because, watched};
use super::words::span;
use crate::model::{
    CredentialKind, CredentialState, Selector, Target, Timestamp, UsePattern, time::rfc3339,
};
pub use living::{Holder, Living};
use rhythm::{Need, need, pattern, rhythm};

/// The answer about one target, with all that it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// The fingerprint or selector.
    pub target: String,
    /// What it is, for credentials.
    pub kind: Option<CredentialKind>,
    /// Its state.
    pub state: CredentialState,
    /// The answer.
    pub verdict: Verdict,
    /// Why; what decides stands first.
    pub reasons: Vec<Reason>,
    /// What was not looked at and never is.
    pub caveats: Vec<String>,
    /// Where it lies.
    pub paths: Vec<String>,
    /// Its last use seen.
    #[serde(with = "rfc3339::option")]
    pub last_used: Option<Timestamp>,
    /// Who that was.
    pub last_used_by: Option<Selector>,
    /// With which program.
    pub last_used_with: Option<String>,
    /// How many uses were seen.
    pub uses: u64,
    /// The longest pause between two uses, in seconds.
    pub longest_pause_seconds: Option<u64>,
    /// For how long it was watched in all, without what was not seen, in seconds.
    pub watched_seconds: u64,
    /// For how long it was watched since its last use, in seconds.
    pub quiet_seconds: u64,
    /// How long it must be quiet and watched for a yes, in seconds.
    pub needed_seconds: u64,
}

/// How long must be quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirements {
    /// At least this long.
    pub least: Duration,
    /// This long where no rhythm is known.
    pub unknown_rhythm: Duration,
}

/// Answers for a credential or an identity.
pub fn assess(
    registry: &Registry,
    subject: &Target,
    living: &Living,
    requirements: Requirements,
    now: Timestamp,
) -> Assessment {
    let mut of = Assessment::of(registry, subject, now);
    of.living(subject, living);
    let pattern = pattern(registry, subject);
    let Some(ledger) = registry.observed.ledger() else {
        of.add(
            Verdict::CannotTell,
            "not-watched",
            "this host was never watched".to_owned(),
        );
        return of.conclude();
    };
    let present = match subject {
        Target::Identity(_) => Some(ledger.since),
        _ => pattern.present_since.map(|since| since.max(ledger.since)),
    };
    let Some(present) = present else {
        of.add(
            Verdict::CannotTell,
            "nowhere",
            "no file of this host is known to hold it, so that no use of it would be seen"
                .to_owned(),
        );
        return of.conclude();
    };
    let unseen = ledger.unseen(subject, now);
    let watched_before = pattern
        .first
        .map_or(Duration::ZERO, |first| watched(&unseen, present, first));
    let need = need(&pattern, watched_before, requirements);
    let began = pattern.last.map_or(present, |last| last.max(present));
    let (quiet, needed) = (
        watched(&unseen, began, now),
        need.reach.max(requirements.least),
    );
    of.uses = pattern.uses;
    of.longest_pause_seconds = (pattern.uses > 1).then_some(pattern.longest / 1_000_000_000);
    of.watched_seconds = watched(&unseen, present, now).as_secs();
    of.quiet_seconds = quiet.as_secs();
    of.needed_seconds = needed.as_secs();
    of.in_use(&pattern, need, requirements, now);
    if quiet < needed {
        let rhythm = rhythm(&pattern, need);
        of.add(
            Verdict::CannotTell,
            "too-short",
            format!(
                "it was quiet while watched for {}, and {} are needed: {rhythm}",
                span(quiet),
                span(needed)
            ),
        );
    } else if could_hide(&unseen, began, now, need.reach) {
        of.hidden(registry, subject, began, now);
    } else if matches!(subject, Target::Identity(of) if of.is_device()) {
        of.add(
            Verdict::CannotTell,
            "elsewhere",
            format!(
                "nothing of it was seen for {}; it may be off, or on another network",
                span(quiet)
            ),
        );
    } else {
        let rhythm = rhythm(&pattern, need);
        of.add(
            Verdict::Yes,
            "quiet",
            format!(
                "it was quiet while watched for {} ({} are needed): {rhythm}",
                span(quiet),
                span(needed)
            ),
        );
    }
    of.conclude()
}

impl Assessment {
    fn of(registry: &Registry, subject: &Target, now: Timestamp) -> Self {
        let mut of = Self {
            target: String::new(),
            kind: None,
            state: CredentialState::Active,
            verdict: Verdict::CannotTell,
            reasons: Vec::new(),
            caveats: Vec::new(),
            paths: Vec::new(),
            last_used: None,
            last_used_by: None,
            last_used_with: None,
            uses: 0,
            longest_pause_seconds: None,
            watched_seconds: 0,
            quiet_seconds: 0,
            needed_seconds: 0,
        };
        of.caveats.push(
            "only this host is seen: a copy that is used elsewhere is not in this answer"
                .to_owned(),
        );
        let rows = registry.usage.rows();
        let latest = match subject {
            Target::Credential(fingerprint) => {
                of.target = fingerprint.to_string();
                of.credential(registry, subject, now);
                rows.filter(|row| row.key.fingerprint == *fingerprint)
                    .max_by_key(|row| row.last)
            }
            Target::Identity(selector) => {
                of.target = selector.to_string();
                let entry = registry.identity(selector);
                let said = entry.and_then(|entry| entry.declared.as_ref());
                of.state = said.map_or(CredentialState::Active, |said| said.state);
                of.last_used = entry.and_then(|entry| entry.last_seen);
                rows.filter(|row| row.key.identity == *selector)
                    .max_by_key(|row| row.last)
            }
            Target::Path(path) => {
                of.target = path.display().to_string();
                None
            }
        };
        if let Some(row) = latest {
            of.last_used = of.last_used.max(Some(row.last));
            of.last_used_by = Some(row.key.identity.clone());
            of.last_used_with = Some(row.key.exe.clone()).filter(|exe| !exe.is_empty());
        }
        let followed = registry.observed.pattern(subject);
        of.last_used = of.last_used.max(followed.and_then(|pattern| pattern.last));
        of
    }

    fn credential(&mut self, registry: &Registry, subject: &Target, now: Timestamp) {
        let Target::Credential(fingerprint) = subject else {
            return;
        };
        let Some(entry) = registry.credential(fingerprint) else {
            return;
        };
        let standing = registry.standing(entry, None, now);
        self.kind = Some(entry.credential.kind);
        self.state = standing.state;
        let paths = entry.locations.iter();
        self.paths = paths.map(|(path, _)| path.display().to_string()).collect();
        self.paths.dedup();
        if self.paths.len() > 1 {
            self.caveats.push(format!(
                "it lies at {} paths: whoever reads any of them uses it",
                self.paths.len()
            ));
        }
        let said = standing.declared.filter(|said| said.state == self.state);
        match self.state {
            CredentialState::Decoy => self.add(
                Verdict::No,
                "decoy",
                "it is a decoy: without it nothing tells who looks for it".to_owned(),
            ),
            CredentialState::Active | CredentialState::Rotating => self.caveats.push(
                "it is not retired: `credwatch retire` it first, and a use is an alert".to_owned(),
            ),
            _ => {}
        }
        let last = registry.observed.pattern(subject).and_then(|of| of.last);
        let last = last.max(registry.usage.last_use(fingerprint).0);
        if let (Some(said), Some(last)) = (said, last)
            && self.state != CredentialState::Decoy
            && last > said.since
        {
            self.add(
                Verdict::No,
                "used-since-retired",
                format!(
                    "it was used on {last}, after it was {} on {}: whoever did so still has it",
                    self.state, said.since
                ),
            );
        }
    }

    /// Takes in that the last events have not been taken in yet.
    pub fn add_behind(&mut self) {
        let text = "events of the last moments are still on their way: ask again".to_owned();
        self.add(Verdict::CannotTell, "behind", text);
        self.settle();
    }

    /// Whether its last use is as recent as a use of it can be.
    fn in_use(
        &mut self,
        pattern: &UsePattern,
        need: Need,
        requirements: Requirements,
        now: Timestamp,
    ) {
        let Some(last) = pattern.last else {
            return;
        };
        let ago = now.since(last);
        let usual = if need.is_known {
            Duration::from_nanos(pattern.longest)
        } else {
            requirements.least
        };
        if ago <= usual {
            let by = self.last_used_by.as_ref();
            let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
            let with = self.last_used_with.as_ref();
            let with = with.map(|with| format!(" with {with}")).unwrap_or_default();
            let text = format!(
                "it was last used {} ago{by}{with}, and the next use is not overdue: {}",
                span(ago),
                rhythm(pattern, need)
            );
            self.add(Verdict::No, "in-use", text);
        }
    }

    /// Names what was not seen since the last use.
    fn hidden(&mut self, registry: &Registry, subject: &Target, began: Timestamp, now: Timestamp) {
        let Some(ledger) = registry.observed.ledger() else {
            return;
        };
        let unseen = unseen_because(ledger, |hole| hole.hides(subject), began, now);
        if unseen.is_empty() {
            // The last use itself is so recent that the next is not due.
            self.add(
                Verdict::CannotTell,
                "not-due",
                "the next use is not overdue yet".to_owned(),
            );
        }
        self.reasons.extend(unseen);
    }

    fn add(&mut self, verdict: Verdict, code: &str, text: String) {
        self.reasons.push(Reason::new(verdict, code, text));
    }

    fn conclude(mut self) -> Self {
        self.settle();
        self
    }

    fn settle(&mut self) {
        self.verdict = settle(&mut self.reasons);
    }
}

#[cfg(test)]
mod tests;
