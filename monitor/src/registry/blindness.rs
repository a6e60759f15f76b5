//! What a time in which something was not seen hides, and from whom.

use crate::model::{Blindness, Hole, Ledger, Target, Timestamp};

/// Of what a hook or queue tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tells {
    /// Uses of credentials.
    Credential,
    /// Acts of an identity. What its other acts show as well is no such thing.
    Identity,
    /// What a program was given, and what it uses of it.
    Capability,
}
use Tells::{Capability, Credential, Identity};

/// Whose losses hide what. One that is not here may hide anything.
const HOOKS: &[(&str, &[Tells])] = &[
    ("file_open", &[Credential]),
    ("file_read", &[Credential]),
    ("file_change", &[Credential]),
    ("file_direct", &[Credential]),
    ("file_map", &[Credential]),
    ("file_fault", &[Credential]),
    ("file_write", &[]),
    ("file_denied", &[]),
    ("file_look", &[Credential]),
    ("connect4", &[Identity]),
    ("connect6", &[Identity]),
    ("sendmsg4", &[Identity]),
    ("sendmsg6", &[Identity]),
    ("unix_connect", &[]),
    ("socket_close", &[]),
    ("dns", &[]),
    ("process_exec", &[Identity, Capability]),
    ("process_fork", &[Identity]),
    ("process_exit", &[]),
    ("running_tasks", &[Capability]),
    ("identity_change", &[Identity]),
    ("memory_access", &[]),
    ("key_read", &[]),
    ("capability_use", &[Capability]),
    ("inotify", &[]),
];

/// Hooks and queues by whose losses acts of devices are hidden, and nobody else's. An interface that
/// is not watched is one of its own: `gateway_flow on br-iot`.
const OF_DEVICES: &[&str] = &["gateway_flow", "device_table"];

fn tells(hook: &str, what: Tells) -> bool {
    let known = HOOKS.iter().find(|(name, _)| *name == hook);
    !is_of_devices(hook) && known.is_none_or(|(_, of)| of.contains(&what))
}

fn is_of_devices(hook: &str) -> bool {
    let name = hook.split(' ').next().unwrap_or(hook);
    OF_DEVICES.contains(&name)
}

impl Ledger {
    /// The times in which a use of something could have gone unseen, up to `now`, by their beginning
    /// and apart from each other.
    pub fn unseen(&self, subject: &Target, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        self.unseen_in(|hole| hole.hides(subject), now)
    }

    /// The same for what some of the holes hide.
    pub fn unseen_in(
        &self,
        hides: impl Fn(&Hole) -> bool,
        now: Timestamp,
    ) -> Vec<(Timestamp, Timestamp)> {
        let mut spans: Vec<(Timestamp, Timestamp)> = Vec::new();
        let mut holes: Vec<_> = self.holes.iter().filter(|hole| hides(hole)).collect();
        holes.sort_by_key(|hole| hole.from);
        for hole in holes {
            let end = hole.to.unwrap_or(now).min(now);
            match spans.last_mut() {
                Some(last) if hole.from <= last.1 => last.1 = last.1.max(end),
                _ if hole.from <= end => spans.push((hole.from, end)),
                _ => {}
            }
        }
        // What the ledger does not speak of yet was not watched either.
        if self.until < now {
            spans.push((self.until, now));
        }
        spans
    }
}

impl Hole {
    /// Whether a use of something could have gone unseen in it.
    pub fn hides(&self, subject: &Target) -> bool {
        self.hides_by(|hook| match subject {
            Target::Credential(_) | Target::Path(_) => tells(hook, Credential),
            Target::Identity(of) if of.is_device() => is_of_devices(hook),
            Target::Identity(_) => tells(hook, Identity),
        })
    }

    /// Whether a capability could have been given or used unseen in it.
    pub fn hides_capabilities(&self) -> bool {
        self.hides_by(|hook| tells(hook, Capability))
    }

    /// Whether this is the hook that is not in place at present, so that nothing it would tell is seen.
    pub fn is_blind_to_capabilities(&self) -> bool {
        self.to.is_none()
            && matches!(&self.cause, Blindness::Hook { hook } if hook == "capability_use")
    }

    fn hides_by(&self, hides: impl Fn(&str) -> bool) -> bool {
        match &self.cause {
            Blindness::Lost { hook } | Blindness::Hook { hook } => hides(hook),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_of_every_hook_what_its_losses_hide() {
        for hook in monitor_common::Hook::ALL.iter().map(|hook| hook.name()) {
            let is_known = HOOKS.iter().any(|(name, _)| *name == hook);
            assert!(is_known != is_of_devices(hook), "{hook}");
        }
    }
}
