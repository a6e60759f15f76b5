//! CW-208: who reads and changes the files and keys with which a host says who may do what.

use super::Detector;
use super::describe;
use super::fold::{Cause, Finding};
use crate::attribution::Actor;
use crate::model::{Access, DetectionId, FileId, Severity, SystemFile, Task, Timestamp};
use crate::registry::GuardedFile;

/// What asks for passwords, and what changes them and the accounts.
const ACCOUNT_PROGRAMS: &[&str] = &[
    "systemd",
    "systemd-*",
    "sshd",
    "sshd-*",
    "login",
    "su",
    "su-rs",
    "sudo",
    "sudo-rs",
    "runuser",
    "doas",
    "sulogin",
    "unix_chkpwd",
    "unix_update",
    "passwd",
    "chpasswd",
    "chgpasswd",
    "chage",
    "chfn",
    "chsh",
    "expiry",
    "gpasswd",
    "newgrp",
    "sg",
    "newusers",
    "useradd",
    "userdel",
    "usermod",
    "groupadd",
    "groupdel",
    "groupmod",
    "groupmems",
    "pwck",
    "grpck",
    "pwconv",
    "pwunconv",
    "grpconv",
    "grpunconv",
    "update-passwd",
    "vipw",
    "vigr",
    "cron",
    "crond",
    "anacron",
    "atd",
    "polkit-agent-helper-1",
    "accounts-daemon",
    "gdm",
    "gdm-*",
    "lightdm",
    "sddm",
    "sddm-*",
    "nscd",
    "nsscd",
    "sssd",
    "sssd_*",
    "dpkg",
    "rpm",
    "cloud-init",
];
/// Programs that ask for the password with every name of an account that they look up (getspnam in
/// perl's getpwnam): adduser and PostgreSQL's tools on Debian are in perl.
const NAME_LOOKERS: &[&str] = &["perl", "perl5*"];
const SUDO_PROGRAMS: &[&str] = &[
    "sudo",
    "sudo-rs",
    "su-rs",
    "sudoedit",
    "visudo",
    "visudo-rs",
    "cvtsudoers",
    "dpkg",
    "rpm",
    "systemd-*",
];
const KEY_PROGRAMS: &[&str] = &["sshd", "sshd-*", "google_*", "systemd-*"];
const KERBEROS_PROGRAMS: &[&str] = &[
    "sshd",
    "sshd-*",
    "sssd",
    "sssd_*",
    "krb5_child",
    "ldap_child",
    "krb5kdc",
    "kadmind",
    "kinit",
    "k5start",
    "gssproxy",
    "rpc.gssd",
    "rpc.svcgssd",
    "smbd",
    "winbindd",
    "net",
    "adcli",
    "realmd",
    "msktutil",
];
const CLUSTER_PROGRAMS: &[&str] = &[
    "kubelet",
    "kubeadm",
    "kubectl",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "etcd",
    "etcdctl",
    "k3s",
];
/// The control plane runs in containers, where its programs lie elsewhere than on the host.
const STATIC_PODS: &[&str] = &[
    "/usr/local/bin/kube-apiserver",
    "/usr/local/bin/kube-controller-manager",
    "/usr/local/bin/kube-scheduler",
    "/usr/local/bin/etcd",
];
/// What the kernel and the system ask for keys.
const KEYRING_PROGRAMS: &[&str] = &[
    "systemd",
    "systemd-*",
    "request-key",
    "key.dns_resolver",
    "cifs.upcall",
    "cifs.idmap",
    "nfsidmap",
    "rpc.gssd",
    "cryptsetup",
    "fscrypt",
    "mount.ecryptfs*",
    "sssd_*",
    "krb5_child",
];
/// Units that set up accounts, on the first boot and by the cloud's word.
const SETUP_UNITS: &[&str] = &[
    "cloud-init",
    "cloud-config",
    "cloud-final",
    "google-guest-agent",
    "amazon-ssm-agent",
    "walinuxagent",
    "waagent",
];
/// A second one looks at what the first one guards.
const SELF: &[&str] = &["credwatch"];
/// systemd keeps the id of a unit's run in its keyring: that is no secret.
const INVOCATION: &str = "invocation_id";

impl Detector {
    /// An act on one of the system's own files.
    pub(super) fn system_file(
        &self,
        actor: &Actor,
        (file, access, path): (FileId, Access, Option<&str>),
        count: u64,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let Some(guarded) = self.state.registry.guarded_then(file, now) else {
            return;
        };
        let is_owner = [actor.task.uid, actor.task.euid].contains(&guarded.owner);
        let is_own_list = guarded.kind == SystemFile::AuthorizedKeys && is_owner;
        // Everybody may look into the list of who may log in as them. To change it is to let
        // somebody in.
        let looks_up = access != Access::Write
            && guarded.kind == SystemFile::Passwords
            && self.runs(actor, NAME_LOOKERS);
        if is_own_list && access != Access::Write || looks_up || self.is_keeper_of(actor, guarded) {
            return;
        }
        let severity = severity(guarded.kind, access, is_own_list);
        let id = DetectionId::SystemSecret;
        let known = || guarded.path.to_string_lossy().into_owned();
        let path = path.map_or_else(known, str::to_owned);
        let mut alert = describe::alert(id, now);
        alert.severity = severity;
        alert.summary = describe::touched_system(actor, guarded.kind, access, &path);
        alert.identity = Some(actor.identity().clone());
        alert.process = Some(actor.to_alert());
        alert.attack = vec![technique(guarded.kind).to_owned()];
        let mut parts = describe::actor_parts(actor);
        parts.push(guarded.kind.label().to_owned());
        parts.push(severity.as_str().to_owned());
        if access == Access::Write {
            // Each way in that is opened is one to close.
            parts.push(path.clone());
        }
        alert.path = Some(path);
        findings.push(Finding {
            cause: Cause { id, parts },
            alert,
            weight: count,
        });
    }

    pub(super) fn is_keeper_of(&self, actor: &Actor, guarded: &GuardedFile) -> bool {
        let programs = match guarded.kind {
            SystemFile::Passwords => ACCOUNT_PROGRAMS,
            SystemFile::Sudoers => SUDO_PROGRAMS,
            SystemFile::AuthorizedKeys => KEY_PROGRAMS,
            SystemFile::Keytab => KERBEROS_PROGRAMS,
            SystemFile::ClusterKeys => CLUSTER_PROGRAMS,
        };
        let exe = actor.exe.as_deref().unwrap_or_default();
        let is_static_pod = || {
            guarded.kind == SystemFile::ClusterKeys
                && actor.placement.container.is_some()
                && actor.task.uid == 0
                && STATIC_PODS.contains(&exe)
        };
        let sets_up = |unit: &str| SETUP_UNITS.iter().any(|start| unit.starts_with(start));
        self.runs(actor, programs)
            || self.runs(actor, SELF)
            || self.is_package_script(actor)
            || self.is_keeper_of_files(actor)
            || actor.placement.service().is_some_and(sets_up)
            || is_static_pod()
            || self.is_declared(actor, &self.settings.system_secrets)
    }

    /// The payload of a key of the kernel was read.
    pub(super) fn key_read(
        &self,
        actor: &Actor,
        serial: u32,
        description: Option<&str>,
        owner: Option<u32>,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let Task { uid, euid, .. } = actor.task;
        let severity = match owner {
            Some(owner) if owner == uid || owner == euid => return,
            Some(_) => Severity::High,
            // Only root can read what it neither owns nor was given.
            None if uid != 0 && euid != 0 => return,
            None => Severity::Medium,
        };
        let is_invocation = description.is_some_and(|text| text.ends_with(INVOCATION));
        if is_invocation
            || self.runs(actor, KEYRING_PROGRAMS)
            || self.is_declared(actor, &self.settings.system_secrets)
        {
            return;
        }
        let id = DetectionId::SystemSecret;
        let owner = owner.map(|uid| describe::user(uid, &self.state.host));
        let mut alert = describe::alert(id, now);
        alert.severity = severity;
        alert.summary = describe::read_key(actor, serial, description, owner.as_deref());
        alert.identity = Some(actor.identity().clone());
        alert.process = Some(actor.to_alert());
        alert.attack = vec!["T1552".to_owned()];
        let mut parts = describe::actor_parts(actor);
        parts.push("keyring".to_owned());
        parts.extend(owner);
        findings.push(Finding {
            cause: Cause { id, parts },
            alert,
            weight: 1,
        });
    }
}

/// To change who may do what is worse than to read it, to read a secret worse than to read a rule,
/// and to be refused is to have got nothing.
fn severity(kind: SystemFile, access: Access, is_own_list: bool) -> Severity {
    let is_secret = !matches!(kind, SystemFile::Sudoers | SystemFile::AuthorizedKeys);
    match access {
        Access::Write if is_own_list => Severity::Medium,
        Access::Write => Severity::Critical,
        Access::Denied if is_secret => Severity::Medium,
        Access::Denied => Severity::Low,
        _ if is_secret => Severity::High,
        _ => Severity::Medium,
    }
}

fn technique(kind: SystemFile) -> &'static str {
    match kind {
        SystemFile::Passwords => "T1003.008",
        SystemFile::Sudoers => "T1548.003",
        SystemFile::AuthorizedKeys => "T1098.004",
        SystemFile::Keytab => "T1558",
        SystemFile::ClusterKeys => "T1552.004",
    }
}
