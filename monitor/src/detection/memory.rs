//! CW-205 and CW-206: a process reaches into another, where secrets lie unwrapped.

use super::Detector;
use super::describe;
use super::fold::{Cause, Finding};
use crate::attribution::Actor;
use crate::model::{AlertCredential, DetectionId, MemoryAccess, Severity, Timestamp};

/// What starts, stops, counts and contains processes, and keeps their remains.
const KEEPERS: &[&str] = &[
    "systemd",
    "systemd-*",
    "containerd",
    "containerd-shim*",
    "dockerd",
    "docker-init",
    "runc",
    "crun",
    "conmon",
    "conmonrs",
    "podman",
    "crio",
    "buildkitd",
    "kubelet",
    "criu",
    "polkitd",
    "accounts-daemon",
    "dbus-daemon",
    "dbus-broker*",
    "abrt-*",
];
/// What shows processes to a person. ps reads every environment, whether or not it is asked to show
/// them (procps 4.0.2): what `ps e` does is not told from what `ps` does.
const VIEWERS: &[&str] = &[
    "ps", "pgrep", "pkill", "pidof", "killall", "pstree", "pidstat", "pmap", "pwdx", "top", "htop",
    "atop", "btop", "w", "lsof", "fuser", "ss", "netstat",
];
/// Units that see after what has to be started anew when a package was upgraded.
const UPGRADES: &[&str] = &[
    "apt-daily-upgrade.service",
    "apt-daily.service",
    "packagekit.service",
    "dnf-automatic.service",
    "dnf-automatic-install.service",
];

/// What a process holds, for the sentence.
pub(super) struct Holding {
    pub(super) credential: AlertCredential,
    /// Whether it was seen to read it; else its program is known to use it.
    pub(super) is_seen: bool,
}

impl Detector {
    pub(super) fn memory_access(
        &self,
        actor: &Actor,
        target: &Actor,
        how: MemoryAccess,
        granted: bool,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        // pid 1 may be any program, and is over all others.
        let is_own = actor.task.key() == target.task.key() || actor.task.pid == 1;
        if is_own || self.is_keeper(actor) {
            return;
        }
        let looks = matches!(
            how,
            MemoryAccess::Environ | MemoryAccess::Maps | MemoryAccess::Other
        );
        if looks && self.runs(actor, VIEWERS) {
            return;
        }
        let found = match how {
            // Not even the kernel's question said of whom; that it is another user's, it did.
            MemoryAccess::Descriptor if target.task.pid == 0 => {
                Some(unnamed(actor, how, granted, now))
            }
            MemoryAccess::Environ => self.environ(actor, target, granted, now),
            _ => self.memory(actor, target, how, granted, now),
        };
        findings.extend(found);
    }

    fn is_keeper(&self, actor: &Actor) -> bool {
        let unit = actor.placement.service();
        self.runs(actor, KEEPERS)
            || self.is_of_systemd(actor)
            || self.is_package_hook(actor)
            || unit.is_some_and(|unit| UPGRADES.contains(&unit))
            || self.is_declared(actor, &self.settings.process_memory)
    }

    /// CW-205. What runs as the same identity has got the same environment by the same way.
    fn environ(
        &self,
        actor: &Actor,
        target: &Actor,
        granted: bool,
        now: Timestamp,
    ) -> Option<Finding> {
        if actor.is_same_as(target) {
            return None;
        }
        let severity = if granted {
            Severity::High
        } else {
            Severity::Medium
        };
        let summary = describe::reached(actor, target, MemoryAccess::Environ, granted, None, now);
        let id = DetectionId::EnvironScrape;
        // Whoever goes through all of /proc is one cause, and a reader worse than one who tried.
        let parts = vec![severity.as_str().to_owned()];
        Some(finding(id, severity, actor, target, summary, parts, now))
    }

    /// CW-206.
    fn memory(
        &self,
        actor: &Actor,
        target: &Actor,
        how: MemoryAccess,
        granted: bool,
        now: Timestamp,
    ) -> Option<Finding> {
        let is_same = actor.is_same_as(target);
        let is_weak = matches!(how, MemoryAccess::Maps | MemoryAccess::Other);
        let started_it = || {
            let mut lineage = self.state.processes.lineage(&target.task).take(64);
            lineage.any(|(parent, ..)| parent == actor.task.key())
        };
        let is_ordinary = match how {
            // The kernel asks this for much that is harmless: only between users is it worth a word.
            MemoryAccess::Other => actor.task.uid == target.task.uid,
            MemoryAccess::Maps => is_same,
            // A debugger on what it has started itself.
            _ => is_same && started_it(),
        };
        if is_ordinary {
            return None;
        }
        let holding = self.holding(target, now)?;
        let severity = match (is_weak, is_same, granted) {
            (true, ..) | (_, true, false) => Severity::Low,
            (_, true, true) | (_, false, false) => Severity::Medium,
            (_, false, true) => Severity::High,
        };
        let summary = describe::reached(actor, target, how, granted, Some(&holding), now);
        let mut parts = vec![severity.as_str().to_owned()];
        if !is_weak {
            parts.push(target.identity().to_string());
            parts.push(holding.credential.fingerprint.to_string());
        }
        let id = DetectionId::MemoryScrape;
        let mut finding = finding(id, severity, actor, target, summary, parts, now);
        finding.alert.credential = Some(holding.credential);
        Some(finding)
    }

    /// The secret that a process has in memory: one that it was seen to read; of a process that is
    /// older than the daemon, one that its program is known to use.
    fn holding(&self, target: &Actor, now: Timestamp) -> Option<Holding> {
        let processes = &self.state.processes;
        if let Some(reading) = processes.holds(&target.task) {
            let credential = self.as_it_stands(&reading, now);
            let credential = credential.unwrap_or_else(|| reading.credential.clone());
            return Some(Holding {
                credential,
                is_seen: true,
            });
        }
        let exe = target.exe.as_deref()?;
        if !processes.is_from_before(&target.task) {
            return None;
        }
        let registry = &self.state.registry;
        let is_secret = |fingerprint: &_| {
            let entry = registry.credential(fingerprint);
            entry.is_some_and(|entry| entry.credential.kind.is_secret())
        };
        let fingerprint = registry
            .usage
            .latest_of(target.identity(), exe, is_secret)?;
        Some(Holding {
            credential: self.known(fingerprint, now)?,
            is_seen: false,
        })
    }
}

/// A process that was reached into and is not known: what it holds is not, either.
fn unnamed(actor: &Actor, how: MemoryAccess, granted: bool, now: Timestamp) -> Finding {
    let id = DetectionId::MemoryScrape;
    let severity = if granted {
        Severity::Medium
    } else {
        Severity::Low
    };
    let mut alert = describe::alert(id, now);
    alert.severity = severity;
    alert.summary = describe::reached_unnamed(actor, how, granted);
    alert.identity = Some(actor.identity().clone());
    alert.process = Some(actor.to_alert());
    let mut parts = describe::actor_parts(actor);
    parts.push(severity.as_str().to_owned());
    parts.push("unnamed".to_owned());
    Finding {
        cause: Cause { id, parts },
        alert,
        weight: 1,
    }
}

fn finding(
    id: DetectionId,
    severity: Severity,
    actor: &Actor,
    target: &Actor,
    summary: String,
    more_parts: Vec<String>,
    now: Timestamp,
) -> Finding {
    let mut alert = describe::alert(id, now);
    alert.severity = severity;
    alert.summary = summary;
    alert.identity = Some(actor.identity().clone());
    alert.process = Some(actor.to_alert());
    alert.target = Some(target.to_alert());
    let mut parts = describe::actor_parts(actor);
    parts.extend(more_parts);
    Finding {
        cause: Cause { id, parts },
        alert,
        weight: 1,
    }
}
