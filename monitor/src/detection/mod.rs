//! From facts to alerts. Pure over (fact, state, time): the same recording gives the same alerts.

mod account;
pub mod catalog;
mod credential;
mod describe;
mod fold;
mod guard;
mod health;
mod identity;
mod insiders;
mod memory;
mod metadata;
mod observed;
mod sockets;
mod system;

use std::collections::BTreeMap;
use std::net::SocketAddr;

pub use fold::{Cause, Finding, Folds};

use crate::attribution::{Actor, Host, Processes};
use crate::config::{DetectionConfig, OffboardConfig};
use crate::model::{
    Alert, AlertDestination, DetectionId, Fact, Record, RegistryChange, Target, Timestamp, Usage,
};
use crate::registry::{Registry, Removal};

/// All state that facts change.
#[derive(Debug, Default)]
pub struct State {
    /// Processes.
    pub processes: Processes,
    /// The host's own words.
    pub host: Host,
    /// Credentials, identities, usage.
    pub registry: Registry,
}

/// What one fact led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Alerts to show: new, or ended with their sum.
    pub alerts: Vec<Alert>,
    /// Alerts that only counted a repeat, or ended without one: for storage, not for sinks.
    pub repeated: Vec<Alert>,
    /// Rows of the usage map that changed.
    pub usage: Vec<Usage>,
    /// States that changed by what the facts themselves say. They hold already: to be stored, and
    /// not to be taken in again.
    pub changes: Vec<RegistryChange>,
    /// Who acted with a credential, a connection or a program.
    pub seen: Option<crate::model::Selector>,
}

/// The detector: attribution, registry and rules over one stream of facts.
#[derive(Debug)]
pub struct Detector {
    settings: DetectionConfig,
    /// What facts have told so far.
    pub state: State,
    folds: Folds,
    pending: BTreeMap<identity::PendingKey, identity::Pending>,
    accounts: account::Accounts,
}

impl Detector {
    /// Knows nothing yet: what was known before comes as facts too.
    pub fn new(settings: DetectionConfig) -> Self {
        let folds = Folds::new(settings.fold_quiet, settings.fold_max);
        Self {
            settings,
            state: State::default(),
            folds,
            pending: BTreeMap::new(),
            accounts: account::Accounts::default(),
        }
    }

    /// When something is gone, and when it is safe to delete.
    pub fn offboard(&self) -> OffboardConfig {
        self.settings.offboard
    }

    /// Takes in one fact.
    pub fn step(&mut self, record: &Record) -> Outcome {
        let now = record.time;
        let mut outcome = Outcome::default();
        let mut findings = Vec::new();
        // First what time has done: a cause that was quiet for long enough has ended, even where
        // this fact is the first to tell how late it is.
        let ended = self.folds.ended(now);
        outcome.take_ended(ended);
        self.settle_pending(now, &mut findings);
        self.settle_removed(now, &mut outcome);
        let held = self.held_before(&record.fact);
        match &record.fact {
            Fact::UserName { uid, name } => self.state.host.set_user(*uid, name.as_deref()),
            Fact::CgroupPath { id, path } => self.state.host.set_cgroup(*id, path),
            Fact::Located(located) => self.state.registry.locate(located, now),
            Fact::Unlocated { path, .. } => {
                self.state.registry.unlocate(path, now);
            }
            Fact::Registry(change) => self.change(change, now, &mut outcome),
            Fact::Running { task, path } => {
                self.state.processes.running(task, path.as_deref(), now);
            }
            Fact::Fork { task } => self.state.processes.forked(task, now),
            Fact::Exit { task } => {
                self.state.processes.ended(task, now);
                self.settle_exited(task, &mut findings);
            }
            Fact::Exec { task, path } => {
                self.state.processes.started(task, Some(path), now);
                let actor = self.actor(task, &mut outcome, now);
                self.note_changer(&actor, now);
                self.retired_identity(&actor, identity::Act::Exec, None, now, &mut findings);
            }
            Fact::IdentityChange { task, uid } => {
                self.identity_change(task, *uid, now, &mut findings);
            }
            Fact::FileAccess { count: 0, .. } => {}
            Fact::FileAccess {
                task,
                file,
                access,
                path,
                count,
            } => {
                let actor = self.actor(task, &mut outcome, now);
                let act = (*file, *access, path.as_deref());
                self.file_access(&actor, act, *count, now, &mut findings, &mut outcome);
                let is_decoy = |of: &Finding| of.alert.id == DetectionId::DecoyTouched;
                if !findings.iter().any(is_decoy) {
                    self.system_file(&actor, act, *count, now, &mut findings);
                }
            }
            Fact::Connect {
                task, destination, ..
            } => {
                let actor = self.actor(task, &mut outcome, now);
                let act = identity::Act::Connect;
                self.retired_identity(&actor, act, Some(*destination), now, &mut findings);
                self.read_then_connect(&actor, *destination, now, &mut findings, &mut outcome);
                self.metadata_service(&actor, *destination, now, &mut findings);
            }
            Fact::UnixConnect { task, path, owner } => {
                let actor = self.actor(task, &mut outcome, now);
                self.control_socket(&actor, path, *owner, now, &mut findings);
            }
            Fact::Lost { count: 0, .. } => {}
            Fact::Lost { hook, cpu, count } => {
                findings.push(health::lost(hook, *cpu, *count, now));
            }
            Fact::HookFailed {
                hook,
                backend,
                reason,
            } => {
                findings.push(health::hook_failed(hook, backend, reason, now));
            }
            Fact::Known(credential) => self.state.registry.know(credential, now),
            Fact::Usage(row) => {
                let registry = &mut self.state.registry;
                registry.usage.restore(row.clone());
                // Whoever used something acted, also where that was not stored any more.
                registry.identity_seen(&row.key.identity, row.first);
                registry.identity_seen(&row.key.identity, row.last);
            }
            Fact::Identity {
                selector,
                first,
                last,
            } => {
                self.state
                    .registry
                    .restore_identity(selector, *first, *last);
            }
            Fact::MemoryAccess {
                task,
                target,
                how,
                granted,
            } => {
                let actor = self.actor(task, &mut outcome, now);
                // Not seen to act: it is the one that is acted upon.
                let target = Actor::of(target, &self.state.processes, &self.state.host);
                self.memory_access(&actor, &target, *how, *granted, now, &mut findings);
            }
            Fact::KeyRead {
                task,
                serial,
                description,
                owner,
            } => {
                let actor = self.actor(task, &mut outcome, now);
                let description = description.as_deref();
                self.key_read(&actor, *serial, description, *owner, now, &mut findings);
            }
            Fact::Name { address, name } => self.state.host.set_name(*address, name),
            Fact::Program {
                file,
                path,
                owner,
                mode,
            } => self.state.host.set_program(*file, path, *owner, *mode),
            Fact::Capped { count: 0, .. } => {}
            Fact::Capped { hook, task, count } => {
                let actor = self.actor(task, &mut outcome, now);
                findings.push(health::capped(hook, &actor, *count, now));
            }
            Fact::HookWorks { hook, .. } => {
                let ended = self.folds.end_of(DetectionId::HookFailed, hook);
                outcome.take_ended(ended);
            }
            Fact::Account(change) => self.account(change, now, &mut findings, &mut outcome),
            Fact::Unit { name, present } => self.unit(name, *present, now, &mut outcome),
            Fact::Removed { selector, at, uid } => {
                let removal = Removal { at: *at, uid: *uid };
                self.state.registry.offboarding.removed(selector, removal);
            }
            // What they say of the observation is taken in below.
            Fact::Watching { .. } | Fact::Observed(_) | Fact::Pattern(_) => {}
            Fact::SocketClose { .. } | Fact::Tick => {}
            Fact::Stopping { signal, from } => findings.push(self.stopping(signal, from, now)),
            Fact::Gap { gap } => findings.push(guard::gap(gap, now)),
            Fact::Tampered { what, path, detail } => {
                findings.push(guard::tampered(*what, path, detail, now));
            }
        }
        self.observe(record, held);
        for finding in findings {
            if !self.settings.enabled(finding.alert.id) {
                continue;
            }
            match self.folds.take(finding) {
                fold::Taken::New(alert) => outcome.alerts.push(*alert),
                fold::Taken::Repeat(alert) => outcome.repeated.push(*alert),
            }
        }
        outcome
    }

    /// Sums every cause that is still open, at the end of a recording.
    pub fn finish(&mut self) -> Vec<Alert> {
        let mut findings = Vec::new();
        self.settle_all(&mut findings);
        let mut alerts = Vec::new();
        for finding in findings {
            if self.settings.enabled(finding.alert.id)
                && let fold::Taken::New(alert) = self.folds.take(finding)
            {
                alerts.push(*alert);
            }
        }
        alerts.extend(self.folds.finish());
        alerts
    }

    fn actor(&mut self, task: &crate::model::Task, outcome: &mut Outcome, now: Timestamp) -> Actor {
        let actor = Actor::of(task, &self.state.processes, &self.state.host);
        self.state.registry.identity_seen(actor.identity(), now);
        for selector in &actor.selectors {
            self.state.registry.observed.acted(selector, now);
        }
        outcome.seen = Some(actor.identity().clone());
        actor
    }

    /// The other end as alerts carry it, by the name under which this host knows it.
    fn destination(&self, to: SocketAddr) -> AlertDestination {
        let name = self.state.host.names(to.ip()).next();
        AlertDestination {
            address: to.ip(),
            port: to.port(),
            name: name.map(str::to_owned),
        }
    }

    /// Takes in a change of state that follows from the facts themselves.
    fn derive(&mut self, change: RegistryChange, now: Timestamp, outcome: &mut Outcome) {
        self.change(&change, now, outcome);
        outcome.changes.push(change);
    }

    fn change(&mut self, change: &RegistryChange, now: Timestamp, outcome: &mut Outcome) {
        self.state.registry.change(change, now);
        // A cause that a person has just spoken about starts anew.
        let registry = &self.state.registry;
        let about = match &change.target {
            Target::Credential(fingerprint) => vec![fingerprint.to_string()],
            Target::Identity(selector) => vec![selector.to_string()],
            Target::Path(path) => registry
                .locations()
                .filter(|(known, _)| known == path)
                .flat_map(|(_, file)| registry.credentials_at(file))
                .map(ToString::to_string)
                .collect(),
        };
        let ended = self.folds.end_about(&about);
        outcome.take_ended(ended);
    }
}

impl Outcome {
    fn take_ended(&mut self, ended: fold::Ended) {
        self.alerts.extend(ended.sums);
        self.repeated.extend(ended.silent);
    }
}
