//! CW-207: who speaks to a socket that is as good as a credential.

use super::Detector;
use super::describe;
use super::fold::{Cause, Finding};
use crate::attribution::Actor;
use crate::model::{DetectionId, Severity, Timestamp};

/// What listens at a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SocketKind {
    /// An agent that signs with SSH keys.
    SshAgent,
    /// docker, containerd, podman, CRI-O: whoever speaks to it can be root.
    ContainerRuntime,
    /// A Vault agent.
    VaultAgent,
    /// A SPIRE agent's or server's API.
    Spire,
}

/// Clients of ssh agents, and the agents that stand before others.
const SSH_PROGRAMS: &[&str] = &[
    "ssh",
    "ssh-add",
    "ssh-agent",
    "ssh-copy-id",
    "ssh-keygen",
    "ssh-pkcs11-helper",
    "ssh-sk-helper",
    "scp",
    "sftp",
    "git",
    "sshd",
    "sshd-session",
    "gpg-agent",
    "gpg-connect-agent",
    "gnome-keyring-daemon",
    "gcr-ssh-agent",
    "seahorse",
];
/// Container runtimes and their clients.
const CONTAINER_PROGRAMS: &[&str] = &[
    "docker",
    "docker-*",
    "dockerd",
    "containerd",
    "containerd-shim*",
    "ctr",
    "nerdctl",
    "podman",
    "conmon",
    "crio",
    "crictl",
    "cri-dockerd",
    "kubelet",
    "kubeadm",
    "buildkitd",
    "buildctl",
    "systemd",
];

impl SocketKind {
    /// By the socket's path; `None` for one that is no credential, as the sensor's own for its
    /// self-test.
    fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let kind = if matches!(
            name,
            "docker.sock" | "containerd.sock" | "podman.sock" | "crio.sock"
        ) {
            Self::ContainerRuntime
        } else if path.contains("/spire") {
            Self::Spire
        } else if path.contains("/vault") {
            Self::VaultAgent
        } else if name == "S.gpg-agent.ssh"
            || path.contains("/ssh-")
            || path.contains("/keyring/ssh")
            || path.contains("/openssh_agent")
        {
            Self::SshAgent
        } else {
            return None;
        };
        Some(kind)
    }

    /// What a person calls it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::SshAgent => "an ssh agent",
            Self::ContainerRuntime => "a container runtime",
            Self::VaultAgent => "a Vault agent",
            Self::Spire => "a SPIRE agent",
        }
    }
}

impl Detector {
    pub(super) fn control_socket(
        &self,
        actor: &Actor,
        path: &str,
        owner: Option<u32>,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let Some(kind) = SocketKind::of(path) else {
            return;
        };
        let owner = owner.or_else(|| owner_by_place(path));
        if self.is_declared(actor, &self.settings.control_sockets) {
            return;
        }
        let severity = match kind {
            SocketKind::SshAgent => self.ssh_agent(actor, owner),
            SocketKind::ContainerRuntime => {
                (!self.runs(actor, CONTAINER_PROGRAMS)).then_some(Severity::High)
            }
            SocketKind::VaultAgent | SocketKind::Spire => Some(Severity::Medium),
        };
        let Some(severity) = severity else {
            return;
        };
        let id = DetectionId::ControlSocket;
        let owner_name = owner.map(|uid| describe::user(uid, &self.state.host));
        let mut alert = describe::alert(id, now);
        alert.severity = severity;
        alert.summary = describe::spoke(actor, kind, path, owner_name.as_deref());
        alert.identity = Some(actor.identity().clone());
        alert.process = Some(actor.to_alert());
        alert.path = Some(path.to_owned());
        if kind == SocketKind::ContainerRuntime {
            // From there to the host is a step.
            alert.attack = vec!["T1611".to_owned()];
        } else {
            alert.attack = vec!["T1550".to_owned()];
        }
        let mut parts = describe::actor_parts(actor);
        parts.push(path.to_owned());
        findings.push(Finding {
            cause: Cause { id, parts },
            alert,
            weight: 1,
        });
    }

    /// Whose agent it is decides; then, with what program. `None` for its owner's ssh.
    fn ssh_agent(&self, actor: &Actor, owner: Option<u32>) -> Option<Severity> {
        let task = &actor.task;
        let is_ssh = self.runs(actor, SSH_PROGRAMS);
        match owner {
            Some(owner) if owner == task.uid => (!is_ssh).then_some(Severity::Low),
            // `sudo -E ssh`: the person who logged in as the owner.
            Some(owner) if task.login_uid == Some(owner) => Some(Severity::Low),
            Some(_) => Some(Severity::High),
            // Only root can reach into another user's agent.
            None if is_ssh && task.uid != 0 && task.euid != 0 => None,
            None => Some(Severity::Medium),
        }
    }
}

/// A user's runtime directory says whose it is.
fn owner_by_place(path: &str) -> Option<u32> {
    let rest = path.strip_prefix("/run/user/")?;
    rest.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_told_by_their_paths() {
        for (path, kind) in [
            ("/tmp/ssh-XyZ12/agent.4711", SocketKind::SshAgent),
            ("/run/user/1000/keyring/ssh", SocketKind::SshAgent),
            ("/run/user/1000/gnupg/S.gpg-agent.ssh", SocketKind::SshAgent),
            ("/run/docker.sock", SocketKind::ContainerRuntime),
            (
                "/run/user/7/podman/podman.sock",
                SocketKind::ContainerRuntime,
            ),
            ("/run/spire/agent/public/api.sock", SocketKind::Spire),
            ("/run/vault/agent.sock", SocketKind::VaultAgent),
        ] {
            assert_eq!(SocketKind::of(path), Some(kind), "{path}");
        }
        assert_eq!(SocketKind::of("/run/x"), None);
        assert_eq!(owner_by_place("/run/user/1000/keyring/ssh"), Some(1000));
        assert_eq!(owner_by_place("/tmp/ssh-x/agent.1"), None);
    }
}
