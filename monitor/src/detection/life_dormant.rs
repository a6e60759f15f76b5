//! CW-104: something wakes up that nobody has used for longer than its rhythm explains. Only time
//! that was watched counts, and what a process holds in memory is in use.

use std::time::Duration;

use super::fold::{Cause, Finding};
use super::guard::span;
use super::life::nanoseconds;
use super::{Detector, Outcome, catalog, describe};
use crate::attribution::{Actor, Reading};
use crate::model::{
    CredentialKind, CredentialState, DetectionId, Evidence, Gap, Selector, Severity, Target,
    Timestamp, UsageKey,
};
use crate::registry::Silence;

impl Detector {
    /// A credential is used. To be asked before the use is noted.
    pub(super) fn credential_wakes(
        &mut self,
        actor: &Actor,
        reading: &Reading,
        key: &UsageKey,
        now: Timestamp,
        outcome: &mut Outcome,
    ) -> Option<Finding> {
        let credential = &reading.credential;
        let least = self.settings.life.dormancy;
        let entry = self.state.registry.credential(&credential.fingerprint)?;
        let mut since = credential.last_used.unwrap_or(entry.first_seen);
        if !can_rest(credential.kind) || is_short(now.since(since), least) {
            return None;
        }
        let is_usual = self.state.registry.usage.knows(key);
        let rhythms = &mut self.state.registry.rhythms;
        if is_usual && let Some(begun) = rhythms.watched_since() {
            // Before the present watch it may have been held by processes that are gone.
            since = since.max(begun);
        }
        let held = self.state.processes.last_held(&credential.fingerprint);
        since = held.map_or(since, |held| since.max(held.unwrap_or(now)));
        let lasted = rhythms.watched(since, now);
        let of = Target::Credential(credential.fingerprint.clone());
        let (silence, learned) = rhythms.used(&of, lasted, least);
        outcome.rhythms.extend(learned);
        let silence = silence.filter(|_| is_free(credential.state))?;
        let mut alert = describe::alert(DetectionId::DormantUsed, now);
        alert.title = "A dormant credential was used".to_owned();
        if is_usual {
            alert.severity = Severity::Low;
        }
        let at = credential.path.as_deref();
        let before = match credential.last_used {
            Some(_) => "nobody had used it",
            None => "it had not been used since it was found",
        };
        alert.summary = format!(
            "{} read the {} {}{}: {before} for {}",
            describe::who(actor),
            credential.kind.label(),
            credential.fingerprint,
            at.map(|at| format!(" at {at}")).unwrap_or_default(),
            rest(silence),
        );
        let attack = catalog::attack_for(credential.kind).iter();
        alert.attack = attack.map(|&technique| technique.to_owned()).collect();
        alert.evidence = Some(Evidence::Read);
        alert.identity = Some(actor.identity().clone());
        alert.process = Some(actor.to_alert());
        alert.credential = Some(credential.clone());
        // Who goes through all that there is wakes much of it: one cause.
        let mut parts = describe::actor_parts(actor);
        parts.push(credential.kind.label().to_owned());
        Some(Finding {
            cause: Cause {
                id: alert.id,
                parts,
            },
            alert,
            weight: 1,
        })
    }

    /// An identity acts that was last seen to at `since`.
    pub(super) fn identity_wakes(
        &mut self,
        actor: &Actor,
        since: Timestamp,
        now: Timestamp,
        outcome: &mut Outcome,
    ) -> Option<Finding> {
        let who = || describe::who(actor);
        let mut finding = self.wakes(actor.identity(), who, since, now, outcome)?;
        finding.alert.process = Some(actor.to_alert());
        Some(finding)
    }

    /// The same of an identity that is no process of this host; `who` says who acts.
    pub(super) fn wakes(
        &mut self,
        selector: &Selector,
        who: impl FnOnce() -> String,
        since: Timestamp,
        now: Timestamp,
        outcome: &mut Outcome,
    ) -> Option<Finding> {
        let least = self.settings.life.dormancy;
        if is_short(now.since(since), least) {
            return None;
        }
        let entry = self.state.registry.identity(selector)?;
        let state = entry.declared.as_ref().map(|said| said.state);
        let rhythms = &mut self.state.registry.rhythms;
        let lasted = rhythms.watched(since, now);
        let of = Target::Identity(selector.clone());
        let (silence, learned) = rhythms.used(&of, lasted, least);
        outcome.rhythms.extend(learned);
        let silence = silence.filter(|_| state.is_none_or(is_free))?;
        let mut alert = describe::alert(DetectionId::DormantUsed, now);
        alert.severity = Severity::Low;
        alert.title = "A dormant identity acts".to_owned();
        alert.summary = format!(
            "{}: nothing was seen of {selector} for {}",
            who(),
            rest(silence)
        );
        alert.identity = Some(selector.clone());
        Some(Finding {
            cause: Cause {
                id: alert.id,
                parts: vec![selector.to_string()],
            },
            alert,
            weight: 1,
        })
    }

    /// Takes in that a time was not watched, or never was.
    pub(super) fn not_watched(&mut self, gap: &Gap, now: Timestamp) {
        let before = |nanoseconds: u64| {
            let nanoseconds = i64::try_from(nanoseconds).unwrap_or(i64::MAX);
            Timestamp(now.0.saturating_sub(nanoseconds))
        };
        let rhythms = &mut self.state.registry.rhythms;
        let baselines = &mut self.state.baselines;
        match gap {
            Gap::Unsaid { unwatched, .. } => rhythms.unwatched(before(*unwatched), now),
            Gap::Held { lasted } => {
                rhythms.unwatched(before(*lasted), now);
                baselines.unwatched(before(*lasted), now);
            }
            Gap::ClockSet { from, to } => {
                rhythms.unwatched(*from, *to);
                baselines.clock_set(*from, *to);
            }
        }
    }
}

/// `45 d 3 h; it is dormant after 30 d 0 h`
fn rest(silence: Silence) -> String {
    format!(
        "{}; it is dormant after {}",
        span(nanoseconds(silence.lasted)),
        span(nanoseconds(silence.period))
    )
}

/// Too short to be worth a look.
fn is_short(rest: Duration, least: Duration) -> bool {
    rest.saturating_mul(3) <= least
}

/// What somebody acts with. Passwords are read at every login, whoever's it is.
fn can_rest(kind: CredentialKind) -> bool {
    kind.is_secret() && kind != CredentialKind::ShadowPassword
}

fn is_free(state: CredentialState) -> bool {
    matches!(state, CredentialState::Active | CredentialState::Rotating)
}
