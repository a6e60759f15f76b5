//! CW-106: who still holds or uses the old version of a credential that was replaced.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::describe;
use super::fold::{Cause, Finding};
use super::guard::span;
use super::life::nanoseconds;
use super::{Detector, catalog};
use crate::attribution::{Actor, Reading};
use crate::model::{
    AlertCredential, CredentialState, DetectionId, Evidence, FileId, Fingerprint, ProcessKey,
    Severity, Succession, Timestamp,
};

/// Most processes that are known to hold an old version after its window.
const CAPACITY: usize = 4_096;
/// How long a file may be written before its change is noticed.
const CHANGE: std::time::Duration = std::time::Duration::from_secs(2);
/// Most pids that a sentence names.
const NAMED: usize = 8;

/// Processes that held an old version when its window ended, with what they hold.
pub(super) type Stale = BTreeMap<(ProcessKey, Fingerprint), Succession>;

impl Detector {
    /// The old version is read in its window, elsewhere than where its successor lies: somebody
    /// takes it from a backup.
    pub(super) fn old_version_read(
        &self,
        actor: &Actor,
        reading: &Reading,
        file: FileId,
        now: Timestamp,
    ) -> Option<Finding> {
        let registry = &self.state.registry;
        let of = &reading.credential.fingerprint;
        if reading.credential.state != CredentialState::Rotating || !of_interest(reading) {
            return None;
        }
        let Succession { new, path, .. } = &registry.rotations.get(of)?.succession;
        if registry.file_at(path) == Some(file) {
            return None;
        }
        let mut alert = describe::alert(DetectionId::StaleHolder, now);
        alert.severity = Severity::Low;
        alert.title = "The old version of a rotated credential was read".to_owned();
        let at = reading.credential.path.as_deref();
        alert.summary = format!(
            "{} read the {} {of}{}, which {new} has replaced at {} {} ago",
            describe::who(actor),
            reading.credential.kind.label(),
            at.map(|at| format!(" at {at}")).unwrap_or_default(),
            path.display(),
            self.since_rotation(of, now),
        );
        alert.evidence = Some(Evidence::Read);
        Some(finding(actor, alert, &reading.credential, "read"))
    }

    /// Names those that have read the old version and not the new one since: one alert for what
    /// is one program of one identity, however many processes that are.
    pub(super) fn stale_holders(
        &mut self,
        succession: &Succession,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let (state, old) = (&self.state, &succession.old);
        let Some(credential) = self.known(old, now) else {
            return;
        };
        let mut groups: BTreeMap<Vec<String>, Vec<(Actor, Timestamp)>> = BTreeMap::new();
        for holder in state.processes.holders(old) {
            // What was read in the moment of the change may have been either.
            let is_either =
                holder.read <= succession.began && succession.began.since(holder.read) <= CHANGE;
            if is_either || holder.read_since(&succession.new, holder.read) {
                continue;
            }
            let actor = Actor::of(holder.task, &state.processes, &state.host);
            let parts = describe::actor_parts(&actor);
            groups.entry(parts).or_default().push((actor, holder.read));
        }
        for mut group in groups.into_values() {
            group.sort_by_key(|(actor, _)| actor.task.key());
            for (actor, _) in &group {
                if self.stale.len() < CAPACITY {
                    let key = (actor.task.key(), old.clone());
                    self.stale.insert(key, succession.clone());
                }
            }
            let Some((actor, read)) = group.first() else {
                continue;
            };
            let mut alert = describe::alert(DetectionId::StaleHolder, now);
            let others = group.iter().skip(1).take(NAMED - 1);
            let pids: Vec<_> = others.map(|(of, _)| of.task.pid.to_string()).collect();
            let and = match (pids.is_empty(), group.len() > NAMED) {
                (true, _) => String::new(),
                (false, false) => format!(" and pid {}", pids.join(", ")),
                (false, true) => format!(" and {} more", group.len() - 1),
            };
            alert.summary = format!(
                "{}{and} still may hold the {} {old}, read on {read}: {} replaced it at {} {} \
                 ago, and was not read since",
                describe::who(actor),
                credential.kind.label(),
                succession.new,
                succession.path.display(),
                self.since_rotation(old, now),
            );
            alert.evidence = Some(Evidence::Read);
            findings.push(finding(actor, alert, &credential, "holds"));
        }
    }

    /// One that was named for what it holds connects somewhere: told once, with the destination.
    pub(super) fn stale_connects(
        &mut self,
        actor: &Actor,
        destination: SocketAddr,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        if self.stale.is_empty() {
            return;
        }
        let key = actor.task.key();
        let held = self.stale.extract_if(.., |(process, _), _| *process == key);
        for ((_, old), succession) in held.collect::<Vec<_>>() {
            let processes = &self.state.processes;
            let holders = processes.holders(&old);
            let renewed = holders
                .filter(|holder| holder.task.key() == key)
                .all(|holder| holder.read_since(&succession.new, holder.read));
            let Some(credential) = self.known(&old, now).filter(|of| of.kind.is_secret()) else {
                continue;
            };
            if renewed {
                continue;
            }
            let to = self.destination(destination);
            let mut alert = describe::alert(DetectionId::StaleHolder, now);
            alert.summary = format!(
                "{} connected to {} while it still may hold the {} {old}, which {} has replaced \
                 at {} {} ago",
                describe::who(actor),
                describe::endpoint(&to),
                credential.kind.label(),
                succession.new,
                succession.path.display(),
                span(nanoseconds(now.since(succession.began))),
            );
            alert.evidence = Some(Evidence::ReadThenConnect);
            alert.destination = Some(to);
            findings.push(finding(actor, alert, &credential, "connected"));
        }
    }

    /// A process ended, and what it held with it.
    pub(super) fn stale_ended(&mut self, process: ProcessKey) {
        self.stale.retain(|(of, _), _| *of != process);
    }

    fn since_rotation(&self, old: &Fingerprint, now: Timestamp) -> String {
        let rotation = self.state.registry.rotations.get(old);
        let began = rotation.map_or(now, |of| of.succession.began);
        span(nanoseconds(now.since(began)))
    }
}

/// A certificate is for everybody to read: only who holds it matters.
fn of_interest(reading: &Reading) -> bool {
    reading.credential.kind.is_secret()
}

fn finding(
    actor: &Actor,
    mut alert: crate::model::Alert,
    credential: &AlertCredential,
    what: &str,
) -> Finding {
    let mut parts = describe::actor_parts(actor);
    parts.push(credential.fingerprint.to_string());
    parts.push(what.to_owned());
    if !credential.kind.is_secret() {
        alert.severity = Severity::Low;
    }
    let attack = catalog::attack_for(credential.kind).iter();
    alert.attack = attack.map(|&technique| technique.to_owned()).collect();
    alert.identity = Some(actor.identity().clone());
    alert.process = Some(actor.to_alert());
    alert.credential = Some(credential.clone());
    Finding {
        cause: Cause {
            id: alert.id,
            parts,
        },
        alert,
        weight: 1,
    }
}
