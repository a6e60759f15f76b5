//! Exceptions that operators made: causes that raise nothing for a time.

use std::collections::BTreeMap;

use super::Detector;
use super::fold::Finding;
use crate::attribution::Actor;
use crate::model::{Alert, DetectionId, Exception, FileId, ProcessKey, Timestamp};

/// Most exceptions. Whoever needs more wants a pattern in the configuration.
const CAPACITY: usize = 4_096;

/// Whether a detection can be excepted from: those about the sensor itself tell that it is blind,
/// and nobody may switch that off for one cause.
pub fn can_be_allowed(id: DetectionId) -> bool {
    use DetectionId::{EventsLost, HookFailed, NotWatched, Tampered};
    !matches!(id, HookFailed | EventsLost | NotWatched | Tampered)
}

/// Whether an exception contradicts a word of the registry, which is what should be changed
/// instead: something is retired or a decoy, and its use is to raise nothing.
pub fn needs_force(id: DetectionId) -> bool {
    use DetectionId::{
        DecoyTouched, RetiredCredentialRead, RetiredCredentialUsed, RetiredIdentityActive,
    };
    matches!(
        id,
        RetiredCredentialRead | RetiredCredentialUsed | RetiredIdentityActive | DecoyTouched
    )
}

/// All exceptions, by their ids.
#[derive(Debug, Clone, Default)]
pub struct Exceptions {
    all: BTreeMap<String, Exception>,
}

impl Exceptions {
    pub(super) fn add(&mut self, exception: Exception) {
        if self.has_room(exception.since) {
            self.all.insert(exception.id.clone(), exception);
        }
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.all.remove(id);
    }

    /// Whether one more can be taken in. What has run out makes room.
    pub fn has_room(&mut self, now: Timestamp) -> bool {
        if self.all.len() >= CAPACITY {
            self.all.retain(|_, of| of.holds(now));
        }
        self.all.len() < CAPACITY
    }

    /// All of them, by their ids; also those that have run out.
    pub fn all(&self) -> impl Iterator<Item = &Exception> {
        self.all.values()
    }
}

impl Detector {
    /// Whether a finding's cause is allowed. The program must be the one that lies at its path on
    /// this host: another file at that path in mounts of its own is another program.
    pub(super) fn is_allowed(&self, finding: &Finding, now: Timestamp) -> bool {
        let mut all = self.exceptions.all.values();
        all.any(|of| {
            of.holds(now) && is_about(of, &finding.alert) && {
                let process = finding.alert.process.as_ref();
                let program = process.and_then(|process| {
                    self.state.processes.program(ProcessKey {
                        pid: process.pid,
                        start: process.start_time,
                    })
                });
                let container = process.and_then(|process| process.container.as_deref());
                self.is_program_of(of, program, container)
            }
        })
    }

    /// Whether an actor's reading of a file is allowed, before anything is found. Of several
    /// credentials in it an alert names one.
    pub(super) fn is_allowed_to_read(&self, actor: &Actor, file: FileId, now: Timestamp) -> bool {
        let held = self.state.registry.credentials_then(file, now);
        let mut all = self.exceptions.all.values();
        all.any(|of| {
            of.detection == DetectionId::OutsiderReads
                && of.holds(now)
                && of.credential.as_ref().is_some_and(|of| held.contains(of))
                && of.identity.as_ref() == Some(actor.identity())
                && of.exe == actor.exe
                && self.is_program_of(
                    of,
                    Some(actor.task.exe),
                    actor.placement.container.as_deref(),
                )
        })
    }

    fn is_program_of(
        &self,
        exception: &Exception,
        program: Option<FileId>,
        container: Option<&str>,
    ) -> bool {
        let Some(exe) = &exception.exe else {
            return true;
        };
        if exception.container.is_some() {
            return exception.container.as_deref() == container;
        }
        container.is_none() && program.is_some_and(|file| self.state.host.has_program(file, exe))
    }
}

/// Whether all that an exception names is in an alert, and nothing else.
fn is_about(of: &Exception, alert: &Alert) -> bool {
    let process = alert.process.as_ref();
    of.detection == alert.id
        && of.identity == alert.identity
        && of.exe.as_deref() == process.and_then(|process| process.exe.as_deref())
        && of.credential.as_ref() == alert.credential.as_ref().map(|of| &of.fingerprint)
        && of.destination == alert.destination.as_ref().map(|to| to.address)
        && of.path == alert.path
        && of.target.as_deref()
            == alert.target.as_ref().and_then(|target| target.exe.as_deref())
        // What was only tried, or found harmless, does not excuse what is worse.
        && of.severity >= alert.severity
}

/// The exception for an alert's cause.
pub fn exception_of(
    alert: &Alert,
    reason: String,
    by: String,
    now: Timestamp,
    expires: Option<Timestamp>,
) -> Exception {
    let whole = |time: Timestamp| Timestamp(time.0 - time.0.rem_euclid(1_000));
    let process = alert.process.as_ref();
    Exception {
        id: alert.alert_id.clone(),
        detection: alert.id,
        severity: alert.severity,
        identity: alert.identity.clone(),
        exe: process.and_then(|process| process.exe.clone()),
        container: process.and_then(|process| process.container.clone()),
        credential: alert.credential.as_ref().map(|of| of.fingerprint.clone()),
        destination: alert.destination.as_ref().map(|to| to.address),
        path: alert.path.clone(),
        target: alert.target.as_ref().and_then(|of| of.exe.clone()),
        reason,
        by,
        since: whole(now),
        expires: expires.map(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exception(id: usize, expires: Option<Timestamp>) -> Exception {
        Exception {
            id: format!("{id:08x}"),
            detection: DetectionId::OutsiderReads,
            severity: crate::model::Severity::Medium,
            identity: None,
            exe: None,
            container: None,
            credential: None,
            destination: None,
            path: None,
            target: None,
            reason: "why".to_owned(),
            by: "ana".to_owned(),
            since: Timestamp(0),
            expires,
        }
    }

    #[test]
    fn exceptions_are_bounded_and_what_has_run_out_makes_room() {
        let mut all = Exceptions::default();
        for id in 0..CAPACITY {
            let end = (id == 7).then_some(Timestamp(1_000));
            all.add(exception(id, end));
        }
        all.add(exception(CAPACITY, None));
        assert_eq!(all.all().count(), CAPACITY, "one more is not taken in");
        assert!(!all.has_room(Timestamp(999)));
        assert!(all.has_room(Timestamp(1_000)));
        all.add(exception(CAPACITY, None));
        assert_eq!(all.all().count(), CAPACITY);
        all.remove(&format!("{CAPACITY:08x}"));
        assert_eq!(all.all().count(), CAPACITY - 1);
    }

    #[test]
    fn what_tells_of_blindness_cannot_be_allowed() {
        for &id in DetectionId::ALL {
            assert_eq!(can_be_allowed(id), !id.as_str().starts_with("CW-9"), "{id}");
            assert!(!needs_force(id) || can_be_allowed(id), "{id}");
        }
    }
}
