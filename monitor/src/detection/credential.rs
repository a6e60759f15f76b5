//! CW-101, CW-102 and CW-107: somebody touches a credential that nobody should.

use std::net::SocketAddr;

use super::catalog;
use super::describe;
use super::fold::{Cause, Finding};
use super::{Detector, Outcome};
use crate::attribution::{Actor, Reading};
use crate::model::{
    Access, AlertCredential, AlertDestination, CredentialKind, CredentialState, DetectionId,
    Evidence, FileId, Fingerprint, Severity, Timestamp, UsageKey,
};

impl Detector {
    pub(super) fn file_access(
        &mut self,
        actor: &Actor,
        (file, access, path): (FileId, Access, Option<&str>),
        count: u64,
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
            // What was only tried, or only overwritten, is not known to whoever did it: no use.
            let is_use = !matches!(access, Access::Denied | Access::Write);
            let processes = &mut self.state.processes;
            // An open and its read are one use; what was counted on the way is many.
            if is_use
                && processes.continues_use(&actor.task, &fingerprint, state, now)
                && count == 1
            {
                continue;
            }
            // Before this use is noted: the alert tells of the one before.
            let Some(mut reading) = self.reading(&fingerprint, file, path, now) else {
                continue;
            };
            if is_use {
                let key = usage(actor, &fingerprint, "");
                findings.extend(self.credential_wakes(actor, &reading, &key, now, outcome));
                let act = (access, count);
                reading.by_outsider = self.who_reads(actor, &reading, act, now, findings, outcome);
                self.environment_of_reader(actor, &reading, act, now, findings);
                let processes = &mut self.state.processes;
                processes.read(&actor.task, reading.clone(), now);
                let row = self.state.registry.usage.note(key, count, now);
                outcome.usage.push(row.clone());
                self.state.registry.observed.used(&fingerprint, count, now);
            }
            let id = match state {
                CredentialState::Expired if is_offered(reading.credential.kind) => continue,
                CredentialState::Retired | CredentialState::Revoked | CredentialState::Expired => {
                    DetectionId::RetiredCredentialRead
                }
                CredentialState::Decoy => DetectionId::DecoyTouched,
                CredentialState::Active | CredentialState::Rotating => {
                    if is_use {
                        findings.extend(self.old_version_read(actor, &reading, file, now));
                    }
                    continue;
                }
            };
            let summary = describe::touched(actor, &reading.credential, access, now);
            let mut finding = touched(id, actor, reading.credential, None, summary, now);
            finding.weight = count;
            if self.is_superseded(&fingerprint) {
                // Nobody said that it should not be used: the program concluded it.
                finding.alert.severity = Severity::Medium;
            }
            if !is_use {
                not_a_use(access, &mut finding);
            }
            findings.push(finding);
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
                .push(self.state.registry.usage.note(key, 1, now).clone());
            let Some(credential) = self.as_it_stands(&recent.reading, now) else {
                continue;
            };
            let is_end = credential.state == CredentialState::Expired;
            if is_end && is_offered(credential.kind) {
                continue;
            }
            self.read_then_call(actor, &recent, &credential, destination, now, findings);
            self.environment_of_address(actor, &recent, &credential, destination, now, findings);
            if matches!(
                credential.state,
                CredentialState::Retired | CredentialState::Revoked | CredentialState::Expired
            ) {
                let id = DetectionId::RetiredCredentialUsed;
                let to = self.destination(destination);
                let summary = describe::used(actor, &credential, recent.own, &to, now);
                let is_superseded = self.is_superseded(fingerprint);
                let mut finding = touched(id, actor, credential, Some(to), summary, now);
                if is_superseded {
                    finding.alert.severity = finding.alert.severity.min(Severity::High);
                }
                findings.push(finding);
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
        let (credential, by_path) = self.stands(fingerprint, Some(file), path, now)?;
        Some(Reading {
            file,
            by_path,
            by_outsider: false,
            credential,
        })
    }

    /// A credential as it stands, wherever it lies.
    pub(super) fn known(
        &self,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Option<AlertCredential> {
        let (credential, _) = self.stands(fingerprint, None, None, now)?;
        Some(credential)
    }

    /// A credential as it stands, and whether that is the state of a declared path.
    pub(super) fn stands(
        &self,
        fingerprint: &Fingerprint,
        file: Option<FileId>,
        path: Option<&str>,
        now: Timestamp,
    ) -> Option<(AlertCredential, bool)> {
        let registry = &self.state.registry;
        let entry = registry.credential(fingerprint)?;
        let standing = registry.standing(entry, file, now);
        let mut locations = entry.locations.iter();
        let known = locations.find(|(_, at)| file.is_none_or(|file| *at == file));
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
        let by_path = entry.declared.is_none() && retired_by.is_some();
        let credential = AlertCredential {
            fingerprint: fingerprint.clone(),
            kind: entry.credential.kind,
            path: path.map(str::to_owned).or_else(known),
            state: standing.state,
            retired_at,
            retired_by,
            reason,
            last_used: registry.usage.last_use(fingerprint).0,
        };
        Some((credential, by_path))
    }

    /// A credential that was read a moment ago, as it stands now.
    pub(super) fn as_it_stands(
        &self,
        reading: &Reading,
        now: Timestamp,
    ) -> Option<AlertCredential> {
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

/// `ssh` reads every certificate that lies beside a key, and an expired one lets nobody in.
fn is_offered(kind: CredentialKind) -> bool {
    kind == CredentialKind::SshCertificate
}

/// What was done instead of a read is a cause of its own, and said so. Nothing was had by an open
/// that was refused: it is the sign of a job that was forgotten, or of a search. A decoy stays what
/// it is: nobody has a reason to try.
fn not_a_use(access: Access, finding: &mut Finding) {
    let alert = &mut finding.alert;
    alert.evidence = None;
    let what = match alert.id {
        DetectionId::DecoyTouched => "decoy credential",
        _ => "retired credential",
    };
    let (title, part) = match access {
        Access::Denied => (format!("An open of a {what} was refused"), "refused"),
        _ => (format!("A {what} was changed"), "changed"),
    };
    alert.title = title;
    if access == Access::Denied && alert.id == DetectionId::RetiredCredentialRead {
        alert.severity = match alert.severity {
            Severity::Critical => Severity::Medium,
            _ => Severity::Low,
        };
    }
    finding.cause.parts.push(part.to_owned());
}

fn usage(actor: &Actor, fingerprint: &Fingerprint, destination: &str) -> UsageKey {
    UsageKey {
        fingerprint: fingerprint.clone(),
        identity: actor.identity().clone(),
        exe: actor.exe.clone().unwrap_or_default(),
        destination: destination.to_owned(),
    }
}

pub(super) fn touched(
    id: DetectionId,
    actor: &Actor,
    credential: AlertCredential,
    destination: Option<AlertDestination>,
    summary: String,
    now: Timestamp,
) -> Finding {
    let mut parts = describe::actor_parts(actor);
    parts.push(credential.fingerprint.to_string());
    parts.extend(destination.as_ref().map(|to| to.address.to_string()));
    let mut alert = describe::alert(id, now);
    alert.summary = summary;
    alert.identity = Some(actor.identity().clone());
    alert.process = Some(actor.to_alert());
    let (attack, evidence) = match id {
        DetectionId::RetiredCredentialUsed | DetectionId::ReadThenCall => {
            (catalog::entry(id).attack, Evidence::ReadThenConnect)
        }
        DetectionId::Reuse | DetectionId::WrongEnvironment => {
            (catalog::entry(id).attack, Evidence::Read)
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
