//! CW-214: identities that have more rights than they use. Notes what each program is given and what
//! it uses; looked at once a day, and told as one alert for all.

use std::time::Duration;

use super::fold::{Cause, Finding};
use super::guard::span;
use super::life::nanoseconds;
use super::{Detector, Outcome, describe};
use crate::attribution::Actor;
use crate::model::{CapabilitySet, DetectionId, Selector, Target, Task, Timestamp};
use crate::registry::{LeastPrivilege, Run, Verdict, least_privilege};

/// What was told of an identity is not told again for so long.
const REMIND: Duration = Duration::from_secs(30 * 86_400);
/// Most identities that a sentence names, and most rights of one of them.
const NAMED: usize = 5;
/// What has not run for so many times the observation is given nothing any more.
const FORGOTTEN: u32 = 2;
/// Runs as a service until that begins, with every right, to prepare it.
const PREPARES: &[&str] = &["systemd", "systemd-executor", "runc", "crun"];

impl Detector {
    /// A program began, or is found to run.
    pub(super) fn note_given(
        &mut self,
        actor: &Actor,
        given: Option<CapabilitySet>,
        is_start: bool,
        now: Timestamp,
    ) {
        let task = &actor.task;
        let (Some(given), Some(exe)) = (given, actor.exe.as_deref().filter(|exe| !exe.is_empty()))
        else {
            return;
        };
        // A set-uid program has rights of its own, whoever starts it.
        if task.euid != task.uid || self.prepares(task, exe) {
            return;
        }
        let is_machines = self.is_machines(actor.identity(), task.uid);
        if !is_machines && self.person(actor).is_some() {
            return;
        }
        let run = Run {
            identity: actor.identity(),
            exe,
            uid: task.uid,
            gid: task.gid,
            given,
            is_start,
        };
        self.state.registry.rights.runs(&run, now);
    }

    /// A program used a capability.
    pub(super) fn note_used(&mut self, actor: &Actor, capability: u8, exact: bool) {
        let exe = actor.exe.as_deref().unwrap_or_default();
        let capability = CapabilitySet::of(capability);
        let rights = &mut self.state.registry.rights;
        rights.uses(&actor.selectors, exe, capability, exact);
    }

    /// Looks for identities with more than they use, where it is time to.
    pub(super) fn review_rights(
        &mut self,
        now: Timestamp,
        findings: &mut Vec<Finding>,
        outcome: &mut Outcome,
    ) {
        let config = self.settings.overprivileged;
        let ledger = self.state.registry.observed.ledger();
        let Some(last) = self.rights_reviewed.or(ledger.map(|ledger| ledger.since)) else {
            return;
        };
        if last <= now && now.since(last) < config.review {
            return;
        }
        // A clock that was set back is no reason to wait until it has caught up.
        self.rights_reviewed = Some(now);
        self.note_living(now);
        let after = config.observation.saturating_mul(FORGOTTEN).max(REMIND);
        self.state.registry.rights.forget(after, now);
        let registry = &self.state.registry;
        let mut told = Vec::new();
        for identity in registry.rights.identities() {
            let before = registry.rhythms.told(&Target::Identity(identity.clone()));
            let is_due = before.is_none_or(|told| now.since(told) >= REMIND);
            let uid = registry.rights.of(identity).map(|of| of.uid).next();
            if !is_due || !self.is_machines(identity, uid.unwrap_or_default()) {
                continue;
            }
            let of = least_privilege(registry, identity, config.observation, now);
            if of.verdict == Verdict::No && !self.is_allowed(&finding(&[&of], now), now) {
                told.push(of);
            }
        }
        // The one with the most rights too many names the alert.
        told.sort_by(|a, b| (too_many(b), &a.identity).cmp(&(too_many(a), &b.identity)));
        let all: Vec<_> = told.iter().collect();
        if all.is_empty() || !self.settings.enabled(DetectionId::Overprivileged) {
            return;
        }
        findings.push(finding(&all, now));
        for LeastPrivilege { identity, .. } in told {
            let rhythms = &mut self.state.registry.rhythms;
            let told = rhythms.tell(&Target::Identity(identity), now);
            outcome.rhythms.extend(told);
        }
    }

    /// What lives is given what its start gave it, however long ago that was.
    fn note_living(&mut self, now: Timestamp) {
        let state = &mut self.state;
        let actors = state.processes.living().map(|(process, _)| {
            let actor = Actor::of(&process.task, &state.processes, &state.host);
            (actor.identity().clone(), actor.exe)
        });
        for (identity, exe) in actors.collect::<Vec<_>>() {
            state
                .registry
                .rights
                .lives(&identity, &exe.unwrap_or_default(), now);
        }
    }

    /// Whether an identity is a machine's, and no person's.
    fn is_machines(&self, identity: &Selector, uid: u32) -> bool {
        identity.is_machine() || self.machine_account(uid).is_some()
    }

    fn prepares(&self, task: &Task, exe: &str) -> bool {
        let name = exe.rsplit('/').next().unwrap_or_default();
        PREPARES.contains(&name) && self.state.host.has_program_of_root(task.exe, exe)
    }
}

/// How many rights are not used.
fn too_many(of: &LeastPrivilege) -> usize {
    let credentials = of.credentials.iter();
    let unused = credentials.filter(|of| of.verdict == Verdict::No);
    of.capabilities.unused.len() + unused.count()
}

/// One alert about all of these, of which there is at least one.
fn finding(all: &[&LeastPrivilege], now: Timestamp) -> Finding {
    let mut alert = describe::alert(DetectionId::Overprivileged, now);
    let needed = all.first().map_or(0, |of| of.needed_seconds);
    let named: Vec<_> = all.iter().take(NAMED).map(|of| in_words(of)).collect();
    let who = match all.len() {
        1 => "1 identity has rights that it has".to_owned(),
        many => format!("{many} identities have rights that they have"),
    };
    let more = match all.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    alert.summary = format!(
        "{who} not used in the {} and more for which that was watched: {}{more}",
        span(nanoseconds(Duration::from_secs(needed))),
        named.join("; ")
    );
    alert.identity = all.first().map(|of| of.identity.clone());
    let identity = alert.identity.as_ref();
    Finding {
        cause: Cause {
            id: alert.id,
            parts: vec![identity.map(ToString::to_string).unwrap_or_default()],
        },
        alert,
        weight: 1,
    }
}

/// `systemd:unit:a.service (CAP_CHOWN, CAP_KILL; 2 credentials)`
fn in_words(of: &LeastPrivilege) -> String {
    let unused = &of.capabilities.unused;
    let mut parts = Vec::new();
    if !unused.is_empty() {
        let mut names = unused.iter().take(NAMED).cloned().collect::<Vec<_>>();
        if unused.len() > NAMED {
            names.push(format!("{} more capabilities", unused.len() - NAMED));
        }
        parts.push(names.join(", "));
    }
    let credentials = of.credentials.iter();
    let unused: Vec<_> = credentials.filter(|of| of.verdict == Verdict::No).collect();
    match unused.as_slice() {
        [] => {}
        [one] => parts.push(format!("{} {}", one.kind.label(), one.fingerprint)),
        many => parts.push(format!("{} credentials", many.len())),
    }
    format!("{} ({})", of.identity, parts.join("; "))
}
