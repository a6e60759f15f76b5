//! From facts to alerts. Pure over (fact, state, time): the same recording gives the same alerts.

mod account;
mod allowed;
mod call;
pub mod catalog;
mod cluster;
mod credential;
mod describe;
mod device;
mod digest;
mod environment;
mod fold;
mod guard;
mod harvest;
mod health;
mod human;
mod identity;
mod insiders;
mod leaked;
mod life;
mod life_dormant;
mod life_holders;
mod life_long;
mod memory;
mod metadata;
mod observed;
mod outsider;
mod overprivileged;
mod person;
mod reuse;
mod scored;
mod sockets;
mod spoken;
mod system;
mod undigested;
mod usual;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

pub use allowed::{Exceptions, can_be_allowed, exception_of, needs_force};
pub use fold::{Cause, Finding, Folds};

use crate::attribution::{Actor, Host, Processes};
use crate::baseline::{Baselines, WordView};
use crate::config::{DetectionConfig, LifeConfig, OffboardConfig};
use crate::model::{
    Alert, AlertDestination, DetectionId, Fact, Record, RegistryChange, Rhythm, Succession, Target,
    Task, Timestamp, Usage,
};
use crate::registry::{Learned, Registry, Removal};

/// All state that facts change.
#[derive(Debug, Default)]
pub struct State {
    /// Processes.
    pub processes: Processes,
    /// The host's own words.
    pub host: Host,
    /// Credentials, identities, usage.
    pub registry: Registry,
    /// What each identity normally does.
    pub baselines: Baselines,
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
    /// Versions that were followed by another: for storage.
    pub successions: Vec<Succession>,
    /// What was learned of credentials and identities: for storage.
    pub rhythms: Vec<Rhythm>,
    /// Who was learned as a user of a credential.
    pub learned: Learned,
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
    stale: life_holders::Stale,
    /// Identities that have just acted after a long rest.
    woken: Vec<Finding>,
    /// When it was last looked for credentials that live too long.
    reviewed: Option<Timestamp>,
    /// When it was last looked for rights that are not used.
    rights_reviewed: Option<Timestamp>,
    harvests: harvest::Harvests,
    /// What operators allowed.
    pub exceptions: Exceptions,
    /// Sessions of people as machines that were told of: one is one cause, however long it lasts.
    sessions: human::Sessions,
    leaks: leaked::Leaks,
    accounts: account::Accounts,
    /// What waits for the digest of its program.
    undigested: Vec<undigested::Undigested>,
    /// What the latest word about a baseline did.
    said: Option<WordView>,
}

impl Detector {
    /// Knows nothing yet: what was known before comes as facts too.
    pub fn new(settings: DetectionConfig) -> Self {
        let folds = Folds::new(settings.fold_quiet, settings.fold_max);
        let state = State {
            baselines: Baselines::new(settings.baseline.budget),
            ..State::default()
        };
        Self {
            settings,
            state,
            folds,
            pending: BTreeMap::new(),
            stale: life_holders::Stale::new(),
            woken: Vec::new(),
            reviewed: None,
            rights_reviewed: None,
            harvests: harvest::Harvests::default(),
            exceptions: Exceptions::default(),
            sessions: human::Sessions::default(),
            leaks: leaked::Leaks::default(),
            accounts: account::Accounts::default(),
            undigested: Vec::new(),
            said: None,
        }
    }

    /// Goes by other settings from now on. What is known stays, and what is open ends by them.
    pub fn go_by(&mut self, settings: DetectionConfig) {
        self.folds
            .set_limits(settings.fold_quiet, settings.fold_max);
        self.state.baselines.set_budget(settings.baseline.budget);
        self.settings = settings;
    }

    /// For how long an identity is watched before a right of it is called unused.
    pub fn observation(&self) -> std::time::Duration {
        self.settings.overprivileged.observation
    }

    /// How long things last, by the configuration.
    pub fn life(&self) -> &LifeConfig {
        &self.settings.life
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
            Fact::UserName { uid, name, account } => {
                self.state.host.set_user(*uid, name.as_deref(), *account);
            }
            Fact::Container(container) => self.state.host.set_container(container),
            Fact::Job { task, selector } => {
                self.state.processes.runs_job(task, selector, now);
            }
            Fact::CgroupPath { id, path } => self.state.host.set_cgroup(*id, path),
            Fact::Located(located) => {
                outcome.learned = self.state.registry.users.locate(located, now);
                let dead = self.found_bound(located, now);
                self.located(located, now, &mut outcome);
                for (fingerprint, subject, of) in dead {
                    self.end_bound(fingerprint, subject, &of, Some(of.at), now, &mut outcome);
                }
                self.state.host.set_owner(located.file, located.uid);
                let followed = outcome.learned.followed.clone();
                self.forget_followed(&followed, &mut outcome);
                self.leaked_file(located, now, &mut findings);
            }
            // Another file has come to lie there meanwhile, and that has been told.
            Fact::Unlocated { file, path }
                if self
                    .state
                    .registry
                    .file_at(path)
                    .is_some_and(|at| at != *file) => {}
            Fact::Unlocated { file, path } => {
                let left = self.state.registry.credentials_at(*file).to_vec();
                self.state.registry.unlocate(path, now);
                self.forget_followed(&left, &mut outcome);
            }
            Fact::Registry(change) => self.change(change, now, &mut outcome),
            Fact::Running {
                task,
                path,
                permitted,
            } => {
                self.state.processes.running(task, path.as_deref(), now);
                let actor = self.attributed(task);
                self.note_given(&actor, *permitted, false, now);
            }
            Fact::Fork { task } => self.state.processes.forked(task, now),
            Fact::Exit { task } => {
                self.state.processes.ended(task, now);
                self.state.registry.held.release(task.key());
                self.settle_exited(task, &mut findings);
                self.stale_ended(task.key());
            }
            Fact::Exec {
                task,
                path,
                permitted,
            } => {
                self.state.processes.started(task, Some(path), now);
                self.state.registry.held.release(task.key());
                let actor = self.actor(task, &mut outcome, now);
                self.note_changer(&actor, now);
                self.note_given(&actor, *permitted, true, now);
                self.retired_identity(&actor, identity::Act::Exec, None, now, &mut findings);
                self.human_use(&actor, None, now, &mut findings);
                self.scored_exec(&actor, now, &mut findings);
            }
            Fact::IdentityChange { task, uid } => {
                self.identity_change(task, *uid, now, &mut findings);
            }
            Fact::CapabilityUse {
                task,
                capability,
                exact,
            } => {
                let actor = self.attributed(task);
                self.note_used(&actor, *capability, *exact);
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
                // Before this use is noted, so that it is told from the one before.
                self.human_reads(&actor, act, now, &mut findings);
                self.file_access(&actor, act, *count, now, &mut findings, &mut outcome);
                let is_decoy = |of: &Finding| of.alert.id == DetectionId::DecoyTouched;
                if !findings.iter().any(is_decoy) {
                    self.system_file(&actor, act, *count, now, &mut findings);
                }
            }
            Fact::Connect {
                task,
                destination,
                protocol,
                ..
            } => {
                let actor = self.actor(task, &mut outcome, now);
                let act = identity::Act::Connect;
                self.retired_identity(&actor, act, Some(*destination), now, &mut findings);
                self.human_use(&actor, Some(*destination), now, &mut findings);
                self.read_then_connect(&actor, *destination, now, &mut findings, &mut outcome);
                self.stale_connects(&actor, *destination, now, &mut findings);
                self.metadata_service(&actor, *destination, now, &mut findings);
                self.scored_connect(&actor, *protocol, *destination, now, &mut findings);
            }
            Fact::Flow(flow) => self.flow(flow, now, &mut findings, &mut outcome),
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
            Fact::Known(credential) => {
                self.state
                    .registry
                    .users
                    .found(&credential.fingerprint, now);
                self.state.registry.know(credential, now);
            }
            Fact::Learning(learning) => self.state.registry.users.restore(learning),
            Fact::User(user) => {
                self.state.registry.users.learn(user.clone());
            }
            Fact::Allowed(exception) => self.exceptions.add(exception.clone()),
            Fact::NotAllowed { id } => self.exceptions.remove(id),
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
                let target = self.attributed(target);
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
            Fact::ProgramDigest { file, digest } => self.state.host.set_digest(*file, *digest),
            Fact::Capped { count: 0, .. } => {}
            Fact::Capped { hook, task, count } => {
                let actor = self.actor(task, &mut outcome, now);
                findings.push(health::capped(hook, &actor, *count, now));
            }
            Fact::HookWorks { hook, .. } => {
                let ended = self.folds.end_of(DetectionId::HookFailed, hook);
                outcome.take_ended(ended);
            }
            Fact::Succeeded(succession) => {
                self.state.registry.rotations.insert(succession.clone());
            }
            Fact::Rights(program) => self.state.registry.rights.restore(program.clone()),
            Fact::Rhythm(rhythm) => self.state.registry.rhythms.restore(rhythm.clone()),
            Fact::FirstFound { fingerprint, at } => {
                self.state.registry.first_found(fingerprint, *at);
            }
            Fact::Baseline(stored) => self.state.baselines.restore(stored),
            Fact::BaselineWord(said) => self.said_of_baseline(said, now, &mut outcome),
            Fact::Unwatched { from, to } => {
                self.state.registry.rhythms.unwatched(*from, *to);
                self.state.baselines.unwatched(*from, *to);
            }
            Fact::Tick => {
                self.settle_cluster(now, &mut outcome);
                self.end_windows(now, &mut findings, &mut outcome);
                self.review(now, &mut findings, &mut outcome);
                self.review_rights(now, &mut findings, &mut outcome);
            }
            Fact::SocketClose {
                task,
                destination,
                sent,
                received,
                ..
            } => {
                // Not seen to act: a socket may be closed long after, and for a process that is gone.
                let actor = self.attributed(task);
                let bytes = (*sent, *received);
                self.scored_close(&actor, *destination, bytes, now, &mut findings);
            }
            Fact::Holds {
                task,
                place,
                credential,
            } => self.holds(task, place, credential, now, &mut findings, &mut outcome),
            Fact::Logged {
                path,
                owner,
                credential,
            } => self.logged(path, *owner, credential, now, &mut findings),
            Fact::Exposed { file, path } => self.exposed(*file, path, now, &mut findings),
            Fact::Restored => self.leaks.restored(),
            Fact::Searched => self.searched(now, &mut findings),
            Fact::KernelKeys { keys } => self.state.registry.held.set_keys(keys),
            Fact::Account(change) => self.account(change, now, &mut findings, &mut outcome),
            Fact::Cluster(change) => self.cluster(change, now, &mut outcome),
            Fact::ClusterRemoved(removal) => self.state.registry.cluster.restore(removal),
            Fact::ClusterApi { away } => {
                self.cluster_api(away.as_deref(), now, &mut findings, &mut outcome);
            }
            Fact::Unit { name, present } => self.unit(name, *present, now, &mut outcome),
            Fact::Removed { selector, at, uid } => {
                let removal = Removal { at: *at, uid: *uid };
                self.state.registry.offboarding.removed(selector, removal);
            }
            // What they say of the observation is taken in below.
            Fact::Observed(_) | Fact::Pattern(_) => {}
            // Whatever of it was watched is known.
            Fact::Watching { .. } => self.state.baselines.unwatched(Timestamp(0), now),
            Fact::Stopping { signal, from } => findings.push(self.stopping(signal, from, now)),
            Fact::Gap { gap } => {
                self.not_watched(gap, now);
                findings.push(guard::gap(gap, now));
            }
            Fact::Tampered { what, path, detail } => {
                findings.push(guard::tampered(*what, path, detail, now));
            }
        }
        findings.append(&mut self.woken);
        self.observe(record, held);
        self.leave_to_human_use(&mut findings, now);
        self.await_digests(record, &mut findings);
        self.settle_undigested(now, &mut findings);
        for finding in findings {
            if !self.settings.enabled(finding.alert.id) || self.is_allowed(&finding, now) {
                continue;
            }
            match self.folds.take(finding) {
                fold::Taken::New(alert) => outcome.alerts.push(*alert),
                fold::Taken::Repeat(alert) => outcome.repeated.push(*alert),
            }
        }
        outcome
    }

    /// A person who reads a machine's credential is an outsider too: one act is one alert, and the one
    /// that says who it was.
    fn leave_to_human_use(&self, findings: &mut Vec<Finding>, now: Timestamp) {
        let is_told = findings.iter().any(|of| {
            of.alert.id == DetectionId::HumanUse
                && of.alert.credential.is_some()
                && self.settings.enabled(of.alert.id)
                && !self.is_allowed(of, now)
        });
        if is_told {
            findings.retain(|of| of.alert.id != DetectionId::OutsiderReads);
        }
    }

    /// Sums every cause that is still open, at the end of a recording.
    pub fn finish(&mut self) -> Vec<Alert> {
        let mut findings = Vec::new();
        self.settle_all(&mut findings);
        self.settle_all_undigested(&mut findings);
        let mut alerts = Vec::new();
        for finding in findings {
            let now = finding.alert.time;
            if self.settings.enabled(finding.alert.id)
                && !self.is_allowed(&finding, now)
                && let fold::Taken::New(alert) = self.folds.take(finding)
            {
                alerts.push(*alert);
            }
        }
        alerts.extend(self.folds.finish());
        alerts
    }

    /// A task's actor.
    fn attributed(&mut self, task: &Task) -> Arc<Actor> {
        self.state.processes.actor(task, &self.state.host)
    }

    /// A task's actor, which has just acted.
    fn actor(&mut self, task: &Task, outcome: &mut Outcome, now: Timestamp) -> Arc<Actor> {
        let actor = self.attributed(task);
        if let Some(since) = self.state.registry.identity_seen(actor.identity(), now) {
            let woken = self.identity_wakes(&actor, since, now, outcome);
            self.woken.extend(woken);
        }
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
