//! CW-101, CW-102 and CW-107: somebody touches a credential that nobody should.

use std::net::SocketAddr;

use super::catalog;
use super::describe;
use super::fold::{Cause, Finding};
use super::{Detector, Outcome};
use crate::attribution::{Actor, Reading};
use crate::model::{
    AlertCredential, AlertDestination, CredentialState, DetectionId, Evidence, FileId, Fingerprint,
    Severity, Timestamp, UsageKey,
};

impl Detector {
    pub(super) fn file_access(
        &mut self,
        actor: &Actor,
        file: FileId,
        path: Option<&str>,
        now: Timestamp,
        findings: &mut Vec<Finding>,
        outcome: &mut Outcome,
    ) {
        for fingerprint in self.state.registry.credentials_then(file, now).to_vec() {
            let registry = &self.state.registry;
            let Some(entry) = registry.credential(&fingerprint) else {
                continue;
            };
            let state = registry.standing(entry, Some(file), now).state;
            let processes = &mut self.state.processes;
            if processes.continues_use(&actor.task, &fingerprint, state, now) {
                continue;
            }
            // Before this use is noted: the alert tells of the one before.
            let Some(reading) = self.reading(&fingerprint, file, path, now) else {
                continue;
            };
            let processes = &mut self.state.processes;
            processes.read(&actor.task, reading.clone(), now);
            let key = usage(actor, &fingerprint, "");
            outcome
                .usage
                .push(self.state.registry.usage.note(key, now).clone());
            let id = match state {
                CredentialState::Retired | CredentialState::Revoked | CredentialState::Expired => {
                    DetectionId::RetiredCredentialRead
                }
                CredentialState::Decoy => DetectionId::DecoyTouched,
                CredentialState::Active | CredentialState::Rotating => continue,
            };
            let summary = describe::touched(actor, &reading.credential, now);
            findings.push(touched(id, actor, reading.credential, None, summary, now));
        }
    }

    pub(super) fn read_then_connect(
        &mut self,
        actor: &Actor,
        destination: SocketAddr,
        now: Timestamp,
        findings: &mut Vec<Finding>,
        outcome: &mut Outcome,
    ) {
        let window = self.settings.read_then_connect_window;
        for recent in self.state.processes.has_read(&actor.task, window, now) {
            let fingerprint = &recent.reading.credential.fingerprint;
            let key = usage(actor, fingerprint, &destination.to_string());
            outcome
                .usage
                .push(self.state.registry.usage.note(key, now).clone());
            let Some(credential) = self.as_it_stands(&recent.reading, now) else {
                continue;
            };
            if matches!(
                credential.state,
                CredentialState::Retired | CredentialState::Revoked | CredentialState::Expired
            ) {
                let id = DetectionId::RetiredCredentialUsed;
                let to = AlertDestination {
                    address: destination.ip(),
                    port: destination.port(),
                };
                let summary = describe::used(actor, &credential, recent.own, to, now);
                findings.push(touched(id, actor, credential, Some(to), summary, now));
            }
        }
    }

    /// A credential as it stands, for a read of it at a file.
    fn reading(
        &self,
        fingerprint: &Fingerprint,
        file: FileId,
        path: Option<&str>,
        now: Timestamp,
    ) -> Option<Reading> {
        let registry = &self.state.registry;
        let entry = registry.credential(fingerprint)?;
        let standing = registry.standing(entry, Some(file), now);
        let known = entry.locations.iter().find(|(_, at)| *at == file);
        let known = || known.map(|(path, _)| path.to_string_lossy().into_owned());
        let (retired_at, retired_by, reason) = match standing.declared {
            Some(said) if said.state == standing.state => {
                (Some(said.since), Some(said.by), said.reason)
            }
            _ if standing.state == CredentialState::Expired => {
                (entry.credential.expires, None, None)
            }
            _ => (None, None, None),
        };
        Some(Reading {
            file,
            by_path: entry.declared.is_none() && retired_by.is_some(),
            credential: AlertCredential {
                fingerprint: fingerprint.clone(),
                kind: entry.credential.kind,
                path: path.map(str::to_owned).or_else(known),
                state: standing.state,
                retired_at,
                retired_by,
                reason,
                last_used: registry.usage.last_use(fingerprint).0,
            },
        })
    }

    /// A credential that was read a moment ago, as it stands now.
    fn as_it_stands(&self, reading: &Reading, now: Timestamp) -> Option<AlertCredential> {
        let (read, file) = (&reading.credential, reading.file);
        let registry = &self.state.registry;
        let is_gone = !registry.credentials_at(file).contains(&read.fingerprint);
        if reading.by_path && is_gone {
            // To remove the file after the read does not undo the read.
            return Some(read.clone());
        }
        let present = self.reading(&read.fingerprint, file, read.path.as_deref(), now)?;
        Some(AlertCredential {
            // This use began with the read.
            last_used: read.last_used,
            ..present.credential
        })
    }
}

fn usage(actor: &Actor, fingerprint: &Fingerprint, destination: &str) -> UsageKey {
    UsageKey {
        fingerprint: fingerprint.clone(),
        identity: actor.identity().clone(),
        exe: actor.exe.clone().unwrap_or_default(),
        destination: destination.to_owned(),
    }
}

fn touched(
    id: DetectionId,
    actor: &Actor,
    credential: AlertCredential,
    destination: Option<AlertDestination>,
    summary: String,
    now: Timestamp,
) -> Finding {
    let mut parts = describe::actor_parts(actor);
    parts.push(credential.fingerprint.to_string());
    parts.extend(destination.map(|to| to.address.to_string()));
    let mut alert = describe::alert(id, now);
    alert.summary = summary;
    alert.identity = Some(actor.identity().clone());
    alert.process = Some(actor.to_alert());
    let (attack, evidence) = match id {
        DetectionId::RetiredCredentialUsed => {
            (catalog::entry(id).attack, Evidence::ReadThenConnect)
        }
        _ => (catalog::attack_for(credential.kind), Evidence::Read),
    };
    let attack = attack.iter();
    alert.attack = attack.map(|&technique| technique.to_owned()).collect();
    if credential.state == CredentialState::Expired {
        // Nobody said that it should not be used: tools read an expired token to renew it.
        alert.severity = Severity::Medium;
    }
    alert.credential = Some(credential);
    alert.destination = destination;
    alert.evidence = Some(evidence);
    Finding {
        cause: Cause { id, parts },
        alert,
        weight: 1,
    }
}
