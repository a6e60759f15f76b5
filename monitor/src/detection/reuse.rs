//! CW-210: a credential that two machine identities use.
//!
//! Told when the second is learned as a user, and so once for each pair: who was a user before is
//! known again after a restart.

use super::Detector;
use super::credential::touched;
use super::fold::Finding;
use crate::attribution::{Actor, Reading};
use crate::model::{DetectionId, Selector, Severity, Timestamp};
use crate::registry::is_same_identity;

/// Whoever uses more credentials than this keeps or checks them for others.
const KEEPER: usize = 8;
/// Debian's example key, which packages are set up with and nobody should rely on.
const EXAMPLE: &str = "/etc/ssl/private/ssl-cert-snakeoil.key";
/// Services that only start what is somebody else's.
const STARTERS: &[&str] = &[
    "systemd:unit:cron.service",
    "systemd:unit:crond.service",
    "systemd:unit:anacron.service",
    "systemd:unit:atd.service",
    "systemd:unit:ssh.service",
    "systemd:unit:sshd.service",
    "systemd:unit:ssh@",
    "systemd:unit:sshd@",
    "systemd:unit:getty@",
    "systemd:unit:serial-getty@",
];

impl Detector {
    /// A user of a credential was just learned.
    pub(super) fn reuse(
        &self,
        actor: &Actor,
        reading: &Reading,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let users = &self.state.registry.users;
        let credential = &reading.credential;
        let known = users.of(&credential.fingerprint);
        let Some((new, before)) = known.split_last() else {
            return;
        };
        if credential.path.as_deref() == Some(EXAMPLE) || !self.is_machine(&new.identity) {
            return;
        }
        // The account whose file it is, outside of its services: whoever looks after these.
        let is_account = new.identity.as_str().starts_with("unix:");
        let owner = users.owner(reading.file);
        if is_account && owner.is_some_and(|of| of.uid == actor.task.uid) {
            return;
        }
        if before
            .iter()
            .any(|of| is_same_identity(&of.identity, &new.identity))
        {
            return;
        }
        let mut told = Vec::<&Selector>::new();
        for other in before {
            if !self.is_machine(&other.identity)
                || told
                    .iter()
                    .any(|told| is_same_identity(told, &other.identity))
                || self.is_one_account(actor, &other.identity)
            {
                continue;
            }
            told.push(&other.identity);
        }
        if let [first, ..] = told.as_slice() {
            let id = DetectionId::Reuse;
            let path = credential.path.as_ref();
            let path = path.map(|path| format!(" at {path}")).unwrap_or_default();
            let more = match told.len() {
                1 => String::new(),
                all => format!(", and {} more", all - 1),
            };
            let summary = format!(
                "The {} {}{path} is used by {} with {}, and also by {first}{more}",
                credential.kind.label(),
                credential.fingerprint,
                new.identity,
                new.exe,
            );
            let mut finding = touched(id, actor, credential.clone(), None, summary, now);
            if told.len() > 1 {
                finding.alert.severity = Severity::Medium;
            }
            findings.push(finding);
        }
    }

    /// Whether an identity is a machine's own: no root outside of a service, who is whoever
    /// administers, and nobody who keeps others' credentials.
    fn is_machine(&self, identity: &Selector) -> bool {
        let text = identity.as_str();
        let is_root = matches!(text, "unix:user:root" | "unix:uid:0");
        !is_root
            && !STARTERS.iter().any(|starter| text.starts_with(starter))
            && self.state.registry.users.reach(identity) <= KEEPER
    }

    /// Whether an identity is only the account that this actor runs under: a service and its
    /// account's jobs are one.
    fn is_one_account(&self, actor: &Actor, other: &Selector) -> bool {
        actor.selectors.contains(other)
    }
}
