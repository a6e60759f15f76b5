//! CW-103: somebody acts as an identity that is retired.

use std::net::SocketAddr;
use std::time::Duration;

use super::Detector;
use super::describe;
use super::fold::{Cause, Finding};
use crate::attribution::Actor;
use crate::model::{
    AlertDestination, CredentialState, DetectionId, ProcessKey, Selector, Task, Timestamp,
};
use crate::registry::Declared;

/// What was done under the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// A program was started.
    Exec,
    /// A connection was opened.
    Connect,
    /// Its uid was taken.
    SetUid,
}

impl Act {
    fn verb(self) -> &'static str {
        match self {
            Self::Exec => "ran",
            Self::Connect => "connected to",
            Self::SetUid => "became this account in",
        }
    }
}

/// A uid that was taken. Most processes that take one exec right after, and the alert should name
/// what they run: it waits for that, for their end, or for this long.
const PATIENCE: Duration = Duration::from_millis(500);

/// A uid that was taken and has not acted yet.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    task: Task,
    since: Timestamp,
}

impl Detector {
    pub(super) fn retired_identity(
        &mut self,
        actor: &Actor,
        act: Act,
        destination: Option<SocketAddr>,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        self.pending.remove(&actor.task.key());
        for selector in &actor.selectors {
            if let Some(said) = self.retired(selector, now) {
                findings.push(active(actor, selector, said, act, destination, now));
            }
        }
    }

    fn retired(&self, selector: &Selector, now: Timestamp) -> Option<&Declared> {
        let said = self.state.registry.identity(selector)?.declared.as_ref()?;
        let retired = matches!(
            said.state,
            CredentialState::Retired | CredentialState::Revoked | CredentialState::Decoy
        );
        (retired && !said.came_after(now)).then_some(said)
    }

    /// A process takes another uid: as that uid from now on.
    pub(super) fn identity_change(&mut self, task: &Task, uid: u32, now: Timestamp) {
        let task = Task {
            uid,
            ..task.clone()
        };
        if let Some(name) = self.state.host.user(uid)
            && self.retired(&Selector::unix_user(name), now).is_some()
        {
            self.pending
                .entry(task.key())
                .or_insert(Pending { task, since: now });
        }
    }

    /// Those that did nothing else for a while.
    pub(super) fn settle_pending(&mut self, now: Timestamp, findings: &mut Vec<Finding>) {
        if self.pending.is_empty() {
            return;
        }
        let due = |pending: &Pending| now.since(pending.since) >= PATIENCE;
        let due: Vec<_> = self
            .pending
            .iter()
            .filter(|(_, of)| due(of))
            .map(|(key, _)| *key)
            .collect();
        self.settle(&due, now, findings);
    }

    /// One that ended without doing anything else.
    pub(super) fn settle_exited(&mut self, task: &Task, now: Timestamp, to: &mut Vec<Finding>) {
        self.settle(&[task.key()], now, to);
    }

    pub(super) fn settle_all(&mut self, now: Timestamp, findings: &mut Vec<Finding>) {
        let all: Vec<_> = self.pending.keys().copied().collect();
        self.settle(&all, now, findings);
    }

    fn settle(&mut self, keys: &[ProcessKey], now: Timestamp, findings: &mut Vec<Finding>) {
        for key in keys {
            if let Some(pending) = self.pending.remove(key) {
                let actor = Actor::of(&pending.task, &self.state.processes, &self.state.host);
                self.retired_identity(&actor, Act::SetUid, None, now, findings);
            }
        }
    }
}

fn active(
    actor: &Actor,
    selector: &Selector,
    said: &Declared,
    act: Act,
    destination: Option<SocketAddr>,
    now: Timestamp,
) -> Finding {
    let id = DetectionId::RetiredIdentityActive;
    let destination = destination.map(|to| AlertDestination {
        address: to.ip(),
        port: to.port(),
    });
    let mut alert = describe::alert(id, now);
    alert.summary = describe::active(actor, selector, said, act.verb(), destination, now);
    alert.identity = Some(selector.clone());
    alert.process = Some(actor.to_alert());
    alert.destination = destination;
    // Whatever a session under the account runs is one cause; a connection is another.
    let login = actor
        .task
        .login_uid
        .map(|uid| uid.to_string())
        .unwrap_or_default();
    let parts = vec![selector.to_string(), act.verb().to_owned(), login];
    Finding {
        cause: Cause { id, parts },
        alert,
        weight: 1,
    }
}
