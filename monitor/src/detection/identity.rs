//! CW-103: somebody acts as an identity that is retired.

use std::net::SocketAddr;
use std::time::Duration;

use super::Detector;
use super::describe;
use super::fold::{Cause, Finding};
use crate::attribution::{Actor, unix_selectors};
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
    /// As it tells causes apart.
    fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Connect => "connect",
            Self::SetUid => "setuid",
        }
    }
}

/// A uid that was taken. Most processes that take one exec right after, and the alert should name
/// what they run: it waits for that, for their end, or for this long.
const PATIENCE: Duration = Duration::from_millis(500);

/// Most uids that wait. Only a flood of processes has more, and they need not wait then.
const CAPACITY: usize = 4_096;

/// A process, and the uid that it took.
pub(super) type PendingKey = (ProcessKey, u32);

/// A uid that was taken and has not acted yet.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    /// As it was then: what follows may run another program.
    actor: Actor,
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
        let task = &actor.task;
        // The rights are those of the effective uid: who has them acts as it too.
        let mut effective = Vec::new();
        if task.euid != task.uid {
            effective.extend(unix_selectors(task.euid, &self.state.host));
        }
        for selector in actor.selectors.iter().chain(&effective) {
            if let Some(said) = self.retired(selector, now) {
                let to = destination.map(|to| self.destination(to));
                findings.push(active(actor, selector, said, act, to, now));
            }
        }
        if self.pending.is_empty() {
            return;
        }
        // This tells what the uid was taken for. An act as somebody else does not.
        for uid in [task.uid, task.euid] {
            self.pending.remove(&(task.key(), uid));
        }
    }

    pub(super) fn retired(&self, selector: &Selector, now: Timestamp) -> Option<&Declared> {
        let said = self.state.registry.identity(selector)?.declared.as_ref()?;
        let retired = matches!(
            said.state,
            CredentialState::Retired
                | CredentialState::Revoked
                | CredentialState::Expired
                | CredentialState::Decoy
        );
        (retired && !said.came_after(now)).then_some(said)
    }

    /// A process takes another uid: as that uid from now on.
    pub(super) fn identity_change(
        &mut self,
        task: &Task,
        uid: u32,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let host = &self.state.host;
        if !unix_selectors(uid, host).any(|selector| self.retired(&selector, now).is_some()) {
            return;
        }
        if self.pending.len() >= CAPACITY {
            self.settle_all(findings);
        }
        let task = Task {
            uid,
            euid: uid,
            ..task.clone()
        };
        let actor = Actor::of(&task, &self.state.processes, &self.state.host);
        self.pending
            .entry((task.key(), uid))
            .or_insert(Pending { actor, since: now });
    }

    /// Those that did nothing else for a while. A clock that was set back does not keep them.
    pub(super) fn settle_pending(&mut self, now: Timestamp, findings: &mut Vec<Finding>) {
        self.settle(findings, |_, of| {
            now.since(of.since).max(of.since.since(now)) >= PATIENCE
        });
    }

    /// One that ended without doing anything else.
    pub(super) fn settle_exited(&mut self, task: &Task, findings: &mut Vec<Finding>) {
        self.settle(findings, |(process, _), _| *process == task.key());
    }

    pub(super) fn settle_all(&mut self, findings: &mut Vec<Finding>) {
        self.settle(findings, |_, _| true);
    }

    fn settle(
        &mut self,
        findings: &mut Vec<Finding>,
        is_due: impl Fn(&PendingKey, &Pending) -> bool,
    ) {
        if self.pending.is_empty() {
            return;
        }
        let due = self.pending.extract_if(.., |key, of| is_due(key, of));
        for ((_, uid), Pending { actor, since }) in due.collect::<Vec<_>>() {
            for selector in unix_selectors(uid, &self.state.host) {
                if let Some(said) = self.retired(&selector, since) {
                    findings.push(active(&actor, &selector, said, Act::SetUid, None, since));
                }
            }
        }
    }
}

fn active(
    actor: &Actor,
    selector: &Selector,
    said: &Declared,
    act: Act,
    destination: Option<AlertDestination>,
    now: Timestamp,
) -> Finding {
    let id = DetectionId::RetiredIdentityActive;
    let mut alert = describe::alert(id, now);
    alert.summary = describe::active(actor, selector, said, act, destination.as_ref(), now);
    alert.identity = Some(selector.clone());
    alert.process = Some(actor.to_alert());
    alert.destination = destination;
    // Whatever a session under the account runs is one cause; a connection is another.
    let login = actor
        .task
        .login_uid
        .map(|uid| uid.to_string())
        .unwrap_or_default();
    let parts = vec![selector.to_string(), act.as_str().to_owned(), login];
    Finding {
        cause: Cause { id, parts },
        alert,
        weight: 1,
    }
}
