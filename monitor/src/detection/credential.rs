//! CW-101, CW-102 and CW-107: somebody touches a credential that nobody should.

use std::net::SocketAddr;

use super::catalog;
use super::describe;
use super::fold::{Cause, Finding};
use super::{Detector, Outcome};
use crate::attribution::Actor;
use crate::model::{
    AlertCredential, AlertDestination, CredentialState, DetectionId, Evidence, FileId, Fingerprint,
    Timestamp, UsageKey,
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
        for fingerprint in self.state.registry.credentials_at(file).to_vec() {
            // Before this use is noted: the alert tells of the one before.
            let credential = self.credential(&fingerprint, Some((file, path)), now);
            let state = credential
                .as_ref()
                .map_or_else(Default::default, |of| of.state);
            if !self
                .state
                .processes
                .read(&actor.task, &fingerprint, state, now)
            {
                continue;
            }
            let row = self
                .state
                .registry
                .usage
                .note(usage(actor, &fingerprint, ""), now);
            outcome.usage.push(row.clone());
            let Some(credential) = credential else {
                continue;
            };
            let id = match credential.state {
                CredentialState::Retired | CredentialState::Revoked | CredentialState::Expired => {
                    DetectionId::RetiredCredentialRead
                }
                CredentialState::Decoy => DetectionId::DecoyTouched,
                CredentialState::Active | CredentialState::Rotating => continue,
            };
            findings.push(touched(id, actor, credential, None, Evidence::Read, now));
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
        for fingerprint in self.state.processes.has_read(&actor.task, window, now) {
            let credential = self.credential(&fingerprint, None, now);
            let key = usage(actor, &fingerprint, &destination.to_string());
            outcome
                .usage
                .push(self.state.registry.usage.note(key, now).clone());
            let Some(credential) = credential else {
                continue;
            };
            if matches!(
                credential.state,
                CredentialState::Retired | CredentialState::Revoked | CredentialState::Expired
            ) {
                let id = DetectionId::RetiredCredentialUsed;
                let evidence = Evidence::ReadThenConnect;
                findings.push(touched(
                    id,
                    actor,
                    credential,
                    Some(destination),
                    evidence,
                    now,
                ));
            }
        }
    }

    /// A credential as an alert carries it.
    fn credential(
        &self,
        fingerprint: &Fingerprint,
        touched: Option<(FileId, Option<&str>)>,
        now: Timestamp,
    ) -> Option<AlertCredential> {
        let entry = self.state.registry.credential(fingerprint)?;
        let file = touched.map(|(file, _)| file);
        let standing = self.state.registry.standing(entry, file, now);
        let known = entry
            .locations
            .iter()
            .filter(|(_, at)| file.is_none_or(|file| *at == file))
            .map(|(path, _)| path.to_string_lossy().into_owned());
        let path = touched.and_then(|(_, path)| path.map(str::to_owned));
        let (retired_at, retired_by, reason) = match standing.declared {
            Some(said) if said.state == standing.state => {
                (Some(said.since), Some(said.by), said.reason)
            }
            _ if standing.state == CredentialState::Expired => {
                (entry.credential.expires, None, None)
            }
            _ => (None, None, None),
        };
        Some(AlertCredential {
            fingerprint: fingerprint.clone(),
            kind: entry.credential.kind,
            path: path.or_else(|| known.into_iter().next()),
            state: standing.state,
            retired_at,
            retired_by,
            reason,
            last_used: self.last_used(fingerprint),
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
    destination: Option<SocketAddr>,
    evidence: Evidence,
    now: Timestamp,
) -> Finding {
    let destination = destination.map(|to| AlertDestination {
        address: to.ip(),
        port: to.port(),
    });
    let mut parts = describe::actor_parts(actor);
    parts.push(credential.fingerprint.to_string());
    parts.extend(destination.map(|to| to.address.to_string()));
    let mut alert = describe::alert(id, now);
    alert.summary = describe::touched(actor, &credential, destination, now);
    alert.identity = Some(actor.identity().clone());
    alert.process = Some(actor.to_alert());
    alert.attack = match id {
        DetectionId::RetiredCredentialUsed => catalog::entry(id).attack,
        _ => catalog::attack_for(credential.kind),
    }
    .iter()
    .map(|&technique| technique.to_owned())
    .collect();
    alert.credential = Some(credential);
    alert.destination = destination;
    alert.evidence = Some(evidence);
    Finding {
        cause: Cause { id, parts },
        alert,
        weight: 1,
    }
}
