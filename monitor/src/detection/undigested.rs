//! Programs that are allowed by their SHA-256. That is taken beside everything else and comes later
//! than the program's first acts: what they led to waits for it.

use std::time::Duration;

use super::Detector;
use super::fold::Finding;
use crate::attribution::Actor;
use crate::config::{ActorPattern, ProgramOf};
use crate::model::{DetectionId, Fingerprint, Record, Timestamp};

/// For so long it is waited for a digest.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most findings that wait. Beyond it none do.
const CAPACITY: usize = 1_024;

/// A finding, and who did it.
#[derive(Debug, Clone)]
pub(super) struct Undigested {
    finding: Finding,
    actor: Actor,
    since: Timestamp,
}

impl Detector {
    /// Takes out what is allowed by the digest of the acting program, and holds back what may be once
    /// that is known.
    pub(super) fn await_digests(&mut self, record: &Record, findings: &mut Vec<Finding>) {
        if findings.is_empty() || !self.settings.has_digests() {
            return;
        }
        let Some(task) = record.fact.task() else {
            return;
        };
        let actor = Actor::of(task, &self.state.processes, &self.state.host);
        let is_known = self.state.host.digest(task.exe).is_some();
        for finding in std::mem::take(findings) {
            if self.is_allowed_by_digest(&actor, &finding) {
                continue;
            }
            if !is_known && self.undigested.len() < CAPACITY && self.may_be(&actor, &finding) {
                self.undigested.push(Undigested {
                    finding,
                    actor: actor.clone(),
                    since: record.time,
                });
            } else {
                findings.push(finding);
            }
        }
    }

    /// Lets go what has waited: its digest is known by now, or does not come.
    pub(super) fn settle_undigested(&mut self, now: Timestamp, findings: &mut Vec<Finding>) {
        if self.undigested.is_empty() {
            return;
        }
        for waiting in std::mem::take(&mut self.undigested) {
            let is_known = self.state.host.digest(waiting.actor.task.exe).is_some();
            let is_late = now < waiting.since || now.since(waiting.since) >= PATIENCE;
            if is_known && self.is_allowed_by_digest(&waiting.actor, &waiting.finding) {
                continue;
            }
            if is_known || is_late {
                findings.push(waiting.finding);
            } else {
                self.undigested.push(waiting);
            }
        }
    }

    /// Whatever still waits, at the end.
    pub(super) fn settle_all_undigested(&mut self, findings: &mut Vec<Finding>) {
        let waiting = std::mem::take(&mut self.undigested).into_iter();
        findings.extend(waiting.map(|of| of.finding));
    }

    fn is_allowed_by_digest(&self, actor: &Actor, finding: &Finding) -> bool {
        let program = self.program_of(actor);
        let mut patterns = self.patterns(finding).into_iter();
        patterns.any(|of| of.has_digest() && of.matches(&actor.selectors, program))
    }

    /// Whether some digest would make it allowed.
    fn may_be(&self, actor: &Actor, finding: &Finding) -> bool {
        let ProgramOf { exe, .. } = self.program_of(actor);
        let mut patterns = self.patterns(finding).into_iter();
        patterns.any(|of| of.has_digest() && of.matches_but_for_digest(&actor.selectors, exe))
    }

    /// Who may do what a finding is about, by the configuration.
    fn patterns<'a>(&'a self, finding: &'a Finding) -> Vec<&'a ActorPattern> {
        let settings = &self.settings;
        let list = match finding.alert.id {
            DetectionId::OutsiderReads | DetectionId::ReadThenCall => {
                let of = finding.alert.credential.as_ref();
                let declared = of.map(|of| self.declared_users(&of.fingerprint).collect());
                let mut all: Vec<_> = declared.unwrap_or_default();
                all.extend(&settings.users.allowed);
                return all;
            }
            DetectionId::MetadataService => &settings.metadata_service.allowed,
            DetectionId::Harvest => &settings.harvest.allowed,
            DetectionId::EnvironScrape | DetectionId::MemoryScrape => {
                &settings.process_memory.allowed
            }
            DetectionId::ControlSocket => &settings.control_sockets.allowed,
            DetectionId::SystemSecret => &settings.system_secrets.allowed,
            DetectionId::HumanUse => &settings.human_use.allowed,
            _ => return Vec::new(),
        };
        list.iter().collect()
    }

    /// The patterns of `[[users]]` that are about a credential.
    pub(super) fn declared_users<'a>(
        &'a self,
        fingerprint: &'a Fingerprint,
    ) -> impl Iterator<Item = &'a ActorPattern> {
        let entry = self.state.registry.credential(fingerprint);
        let declared = self.settings.declared_users.iter().filter(move |declared| {
            let mut of = declared.credentials.iter();
            of.any(|pattern| {
                let paths = entry.into_iter().flat_map(|entry| &entry.locations);
                pattern.matches(fingerprint, paths.map(|(path, _)| path.as_path()))
            })
        });
        declared.flat_map(|declared| &declared.allowed)
    }

    /// An actor's program, as patterns take it.
    pub(super) fn program_of<'a>(&self, actor: &'a Actor) -> ProgramOf<'a> {
        let exe = actor.exe.as_deref();
        ProgramOf {
            // A process can have another file at that path in mounts of its own.
            exe: exe.filter(|exe| self.state.host.has_program(actor.task.exe, exe)),
            sha256: self.state.host.digest(actor.task.exe),
        }
    }
}
