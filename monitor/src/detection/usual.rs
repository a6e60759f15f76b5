//! Who reads which credentials on every host, or was declared to: no user that has to be learned, and
//! no outsider.

use super::Detector;
use crate::attribution::{Actor, Reading};
use crate::model::{CredentialKind, Timestamp};
use crate::registry::FileOwner;

/// Programs that load credentials for others, as root.
const SYSTEM: &[&str] = &["systemd", "systemd-*"];
/// ssh and its like, with their own user's keys.
const SSH: &[&str] = &[
    "ssh",
    "ssh-add",
    "ssh-agent",
    "ssh-copy-id",
    "ssh-keygen",
    "ssh-sk-helper",
    "scp",
    "sftp",
    "gpg-agent",
    "gnome-keyring-daemon",
    "gcr-ssh-agent",
    "seahorse",
];
/// Where sshd's own keys lie, and who uses them.
const HOST_KEYS: &str = "/etc/ssh/ssh_host_";
const SSHD: &[&str] = &["sshd", "sshd-*", "ssh-keygen", "ssh-keysign"];
/// Servers that read their TLS key when they start and when they reload, which may be once a year.
const TLS_SERVERS: &[&str] = &[
    "apache2",
    "caddy",
    "charon*",
    "cockpit-*",
    "cupsd",
    "dovecot",
    "exim4",
    "ftpd",
    "grafana*",
    "haproxy",
    "httpd",
    "imap-login",
    "lighttpd",
    "mariadbd",
    "master",
    "memcached",
    "mosquitto",
    "mysqld",
    "named",
    "nginx",
    "openvpn",
    "pop3-login",
    "postgres",
    "proftpd",
    "prometheus*",
    "pure-ftpd",
    "redis-server",
    "rsyslogd",
    "slapd",
    "smtpd",
    "squid",
    "starter",
    "stunnel*",
    "syslog-ng",
    "tlsmgr",
    "tlsproxy",
    "traefik",
    "unbound",
    "valkey-server",
    "varnishd",
    "vsftpd",
];
/// Units that renew certificates.
const RENEWERS: &[&str] = &[
    "acme",
    "certbot",
    "dehydrated",
    "lego",
    "snap.certbot.renew",
    "cert-renewer",
];
/// Tools of one kind, with their own user's login.
const GIT: &[&str] = &["git", "git-*", "curl", "wget"];
const CONTAINER_TOOLS: &[&str] = &[
    "buildah",
    "buildkitd",
    "containerd",
    "crio",
    "docker",
    "docker-*",
    "dockerd",
    "kubelet",
    "nerdctl",
    "podman",
    "skopeo",
];
const CLUSTER_TOOLS: &[&str] = &["kubelet", "kubectl", "kubeadm", "helm", "k3s"];
/// A second daemon looks at what the first one guards.
const SELF: &[&str] = &["credwatch"];

impl Detector {
    /// Who reads it on every host, or was declared.
    pub(super) fn is_insider(
        &self,
        actor: &Actor,
        reading: &Reading,
        owner: Option<FileOwner>,
        now: Timestamp,
    ) -> bool {
        let task = &actor.task;
        let is_root = task.uid == 0 || task.euid == 0;
        let kind = reading.credential.kind;
        let path = reading.credential.path.as_deref().unwrap_or_default();
        let is_owner = owner.is_some_and(|of| of.uid == task.uid || of.uid == task.euid);
        let unit = actor.placement.service().unwrap_or_default();
        let by_kind = || match kind {
            CredentialKind::SshPrivateKey if path.starts_with(HOST_KEYS) => {
                is_root && self.runs(actor, SSHD)
            }
            CredentialKind::SshPrivateKey => is_owner && self.runs(actor, SSH),
            CredentialKind::X509PrivateKey => {
                self.runs(actor, TLS_SERVERS)
                    || is_root && RENEWERS.iter().any(|name| unit.starts_with(name))
            }
            CredentialKind::GitCredential | CredentialKind::Netrc => {
                is_owner && self.runs(actor, GIT)
            }
            CredentialKind::ContainerRegistryAuth => {
                (is_owner || is_root) && self.runs(actor, CONTAINER_TOOLS)
            }
            CredentialKind::Kubeconfig | CredentialKind::KubernetesServiceAccountToken => {
                is_owner && self.runs(actor, CLUSTER_TOOLS)
            }
            _ => false,
        };
        self.runs(actor, SELF)
            || is_root && self.runs(actor, SYSTEM)
            || is_root && self.is_package_work(actor)
            || by_kind()
            || self.is_declared_user(actor, reading)
            || self.is_allowed_to_read(actor, reading.file, now)
    }

    fn is_declared_user(&self, actor: &Actor, reading: &Reading) -> bool {
        let registry = &self.state.registry;
        let fingerprint = &reading.credential.fingerprint;
        let Some(entry) = registry.credential(fingerprint) else {
            return false;
        };
        let owner = entry.declared.as_ref().and_then(|said| said.owner.as_ref());
        let program = self.program_of(actor);
        let mut declared = self.declared_users(fingerprint);
        declared.any(|pattern| pattern.matches(&actor.selectors, program))
            || owner.is_some_and(|owner| actor.selectors.contains(owner))
            || self.is_one_of(actor, &self.settings.users.allowed)
    }
}
