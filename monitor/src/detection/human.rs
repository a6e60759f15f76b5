//! CW-209: a person acts as a machine, or reads its credential.

use std::net::SocketAddr;
use std::time::Duration;

use hashlink::LruCache;

use super::Detector;
use super::describe;
use super::fold::{Cause, Finding};
use crate::attribution::Actor;
use crate::model::{
    Access, DetectionId, Evidence, FileId, Fingerprint, ProcessKey, Selector, Severity, Timestamp,
};

/// Most sessions that are remembered as told.
const SESSIONS: usize = 4_096;
/// An open and the reads that follow it are one act.
const SAME_ACT: Duration = Duration::from_secs(1);

/// A person's session as a machine: the process by which it began, and as whom.
pub(super) type Session = (ProcessKey, Selector);

/// Those that were told of.
#[derive(Debug)]
pub(super) struct Sessions(LruCache<Session, ()>);

impl Default for Sessions {
    fn default() -> Self {
        Self(LruCache::new(SESSIONS))
    }
}

impl Sessions {
    /// Whether this is the first that is heard of a session.
    fn is_new(&mut self, session: Session) -> bool {
        self.0.insert(session, ()).is_none()
    }
}

/// A person as a machine.
struct Acting {
    /// As whom.
    identity: Selector,
    /// How it came to that, as the end of a sentence: `by way of /usr/bin/sudo`.
    how: String,
    /// By what process.
    by: ProcessKey,
}

impl Detector {
    /// A program was started, or a connection opened.
    pub(super) fn human_use(
        &mut self,
        actor: &Actor,
        destination: Option<SocketAddr>,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let Some((called, key, acting)) = self.acting(actor) else {
            return;
        };
        let session = (acting.by, acting.identity.clone());
        if !self.sessions.is_new(session) {
            return;
        }
        let exe = actor.exe.as_deref().unwrap_or("a program");
        let to = destination.map(|to| self.destination(to));
        let did = match &to {
            Some(to) => format!("connected with {exe} to {}", describe::endpoint(to)),
            None => format!("ran {exe}"),
        };
        let summary = format!(
            "{called} acts as {}{} and {did} (pid {})",
            acting.identity, acting.how, actor.task.pid
        );
        let id = DetectionId::HumanUse;
        let mut alert = describe::alert(id, now);
        alert.summary = summary;
        alert.identity = Some(acting.identity.clone());
        alert.process = Some(actor.to_alert());
        alert.destination = to;
        let parts = vec![acting.identity.to_string(), key];
        findings.push(Finding {
            cause: Cause { id, parts },
            alert,
            weight: 1,
        });
    }

    /// The person who acts here as a machine, and as which.
    fn acting(&self, actor: &Actor) -> Option<(String, String, Acting)> {
        let config = &self.settings.human_use;
        if let Some((container, by)) = self.entered(actor) {
            let person = self.person(actor);
            let is_person = person.is_some() || actor.task.tty.is_some();
            let host = &self.state.host;
            let identity = host.container(&container)?.selectors().next()?;
            let is_allowed = config
                .allowed
                .iter()
                .any(|of| of.matches_selector(&identity));
            if !is_person || is_allowed || self.is_declared_human(actor) {
                return None;
            }
            let (called, key) = person.map_or_else(
                || {
                    let terminal = actor.task.tty.clone().unwrap_or_default();
                    ("somebody at a terminal".to_owned(), terminal)
                },
                |person| (person.called, person.key),
            );
            let how = " from outside the container".to_owned();
            return Some((called, key, Acting { identity, how, by }));
        }
        if actor.placement.container.is_some() {
            // Its accounts are not this host's.
            return None;
        }
        // Most acts are nobody's, or a person's own: the account tells it with the least effort.
        let identity = self.machine_account(actor.task.uid)?;
        let person = self.person(actor)?;
        if self.is_declared_human(actor) {
            return None;
        }
        let task = &actor.task;
        let acting = if task.login_uid == Some(task.uid) {
            // It has logged in as the machine itself. Without a terminal that is how machines do it.
            task.tty.as_ref()?;
            let session = ProcessKey {
                pid: task.session.unwrap_or_default(),
                start: Timestamp(0),
            };
            Acting {
                identity,
                how: ", logged in as it,".to_owned(),
                by: session,
            }
        } else {
            let switch = self.chosen(actor)?;
            let exe = switch.exe.as_deref().unwrap_or("an unknown program");
            Acting {
                identity,
                how: format!(" by way of {exe}"),
                by: switch.by,
            }
        };
        Some((person.called, person.key, acting))
    }

    fn is_declared_human(&self, actor: &Actor) -> bool {
        self.is_one_of(actor, &self.settings.human_use.allowed)
    }

    /// The account of a uid when it is a machine's.
    pub(super) fn machine_account(&self, uid: u32) -> Option<Selector> {
        let host = &self.state.host;
        let selector = crate::attribution::unix_selectors(uid, host).next()?;
        let by_class = host
            .account(uid)
            .is_some_and(|account| account.is_machine());
        (by_class || self.settings.human_use.is_machine(&selector)).then_some(selector)
    }

    /// A person reads a machine's credential, as whoever.
    pub(super) fn human_reads(
        &self,
        actor: &Actor,
        (file, access, path): (FileId, Access, Option<&str>),
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        if !matches!(access, Access::Open | Access::Read | Access::Map) {
            return;
        }
        let registry = &self.state.registry;
        if registry.credentials_then(file, now).is_empty() {
            return;
        }
        let acting = self.acting(actor);
        let (called, key) = match &acting {
            Some((called, key, _)) => (called.clone(), key.clone()),
            None => {
                let is_outside = actor.placement.container.is_none();
                let Some(person) = self.person(actor).filter(|_| is_outside) else {
                    return;
                };
                // A program that has changed to its own account, or somebody whom the configuration allows.
                let is_machine = self.machine_account(actor.task.uid).is_some();
                if is_machine || self.is_declared_human(actor) || self.is_by_package(actor) {
                    return;
                }
                (person.called, person.key)
            }
        };
        for fingerprint in registry.credentials_then(file, now) {
            let Some(owner) = self.machine_owner(fingerprint, file) else {
                continue;
            };
            if self.has_just_read(actor, fingerprint, now) || self.is_usual(actor, fingerprint) {
                continue;
            }
            let Some(mut credential) = self.known(fingerprint, now) else {
                continue;
            };
            credential.path = path.map(str::to_owned).or(credential.path);
            let how = acting.as_ref().map_or_else(String::new, |(_, _, acting)| {
                format!(", as {}{},", acting.identity, acting.how)
            });
            let id = DetectionId::HumanUse;
            let mut alert = describe::alert(id, now);
            alert.title = "A person read a machine's credential".to_owned();
            alert.severity = Severity::High;
            alert.summary = format!(
                "{called}{how} read {} with {} (pid {}); it belongs to {owner}",
                describe::what(&credential, now),
                actor.exe.as_deref().unwrap_or("a program"),
                actor.task.pid,
            );
            alert.identity = Some(owner.clone());
            alert.process = Some(actor.to_alert());
            alert.credential = Some(credential);
            alert.evidence = Some(Evidence::Read);
            let parts = vec![owner.to_string(), key.clone(), fingerprint.to_string()];
            findings.push(Finding {
                cause: Cause { id, parts },
                alert,
                weight: 1,
            });
        }
    }

    /// The machine whose a secret is: by what was declared, by what it says itself, else by who owns
    /// its file.
    fn machine_owner(&self, fingerprint: &Fingerprint, file: FileId) -> Option<Selector> {
        let entry = self.state.registry.credential(fingerprint)?;
        if !entry.credential.kind.is_secret() {
            return None;
        }
        let declared = entry.declared.as_ref().and_then(|said| said.owner.as_ref());
        if let Some(owner) = declared.or(entry.credential.subject.as_ref()) {
            let host = &self.state.host;
            let is_machine = owner.is_machine()
                || self.settings.human_use.is_machine(owner)
                || host.account_of(owner).is_some_and(|of| of.is_machine());
            return is_machine.then(|| owner.clone());
        }
        self.machine_account(self.state.host.owner(file)?)
    }

    fn has_just_read(&self, actor: &Actor, fingerprint: &Fingerprint, now: Timestamp) -> bool {
        let recent = self.state.processes.has_read(&actor.task, SAME_ACT, now);
        let mut recent = recent.iter();
        recent.any(|of| of.own && of.reading.credential.fingerprint == *fingerprint)
    }

    /// Whether a machine uses the credential with this very program: then it is the machine's own
    /// program that a person has started.
    fn is_usual(&self, actor: &Actor, fingerprint: &Fingerprint) -> bool {
        let Some(exe) = actor.exe.as_deref() else {
            return false;
        };
        let host = &self.state.host;
        // Of an account its name does not say whose it is.
        let is_machine = |identity: &Selector| {
            identity.is_machine() || host.account_of(identity).is_some_and(|of| of.is_machine())
        };
        let mut rows = self.state.registry.usage.rows();
        host.has_program_of_root(actor.task.exe, exe)
            && rows.any(|row| {
                let key = &row.key;
                key.fingerprint == *fingerprint && key.exe == exe && is_machine(&key.identity)
            })
    }
}
