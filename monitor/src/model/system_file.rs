//! Files in which a host keeps who may do what on it: CW-208 guards them, whether or not they hold
//! a credential at present. sudo's rules are no credential, and an empty list of authorized keys
//! is one line away from a way in.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::CredentialKind;

/// What a guarded file decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SystemFile {
    /// shadow(5) and gshadow(5), their backups, and copies of them.
    Passwords,
    /// sudoers(5)
    Sudoers,
    /// `authorized_keys` of sshd(8).
    AuthorizedKeys,
    /// The host's own Kerberos keys.
    Keytab,
    /// Keys and configurations with which kubelet and the control plane are somebody.
    ClusterKeys,
}

/// Files by the end of their path.
const FILES: &[(&str, SystemFile)] = &[
    ("etc/shadow", SystemFile::Passwords),
    ("etc/shadow-", SystemFile::Passwords),
    ("etc/gshadow", SystemFile::Passwords),
    ("etc/gshadow-", SystemFile::Passwords),
    ("etc/sudoers", SystemFile::Sudoers),
    ("etc/krb5.keytab", SystemFile::Keytab),
    (".ssh/authorized_keys", SystemFile::AuthorizedKeys),
    (".ssh/authorized_keys2", SystemFile::AuthorizedKeys),
    ("etc/kubernetes/admin.conf", SystemFile::ClusterKeys),
    ("etc/kubernetes/super-admin.conf", SystemFile::ClusterKeys),
    ("etc/kubernetes/kubelet.conf", SystemFile::ClusterKeys),
    (
        "etc/kubernetes/controller-manager.conf",
        SystemFile::ClusterKeys,
    ),
    ("etc/kubernetes/scheduler.conf", SystemFile::ClusterKeys),
];

/// Directories by the end of their path, for the files that lie in them.
const DIRECTORIES: &[(&str, SystemFile)] = &[
    ("etc/sudoers.d", SystemFile::Sudoers),
    ("etc/ssh/authorized_keys.d", SystemFile::AuthorizedKeys),
    ("etc/kubernetes/pki", SystemFile::ClusterKeys),
    ("etc/kubernetes/pki/etcd", SystemFile::ClusterKeys),
    ("var/lib/kubelet/pki", SystemFile::ClusterKeys),
];

/// Below these lie the files of containers: a container's own passwords are none of this host's.
const CONTAINERS: &[&str] = &[
    "/var/lib/docker/",
    "/var/lib/containerd/",
    "/containers/storage/",
];

impl SystemFile {
    /// What a file is by its place and by what it holds. A copy of the password file is one
    /// wherever it lies; so is a list of keys that sshd was told to use.
    pub fn of(path: &Path, holds: impl IntoIterator<Item = CredentialKind>) -> Option<Self> {
        let text = path.to_string_lossy();
        if CONTAINERS.iter().any(|place| text.contains(place)) {
            return None;
        }
        Self::at(path).or_else(|| {
            holds.into_iter().find_map(|kind| match kind {
                CredentialKind::ShadowPassword => Some(Self::Passwords),
                CredentialKind::SshAuthorizedKey => Some(Self::AuthorizedKeys),
                _ => None,
            })
        })
    }

    /// What a file is by its place alone.
    pub fn at(path: &Path) -> Option<Self> {
        let is_public = path
            .extension()
            .is_some_and(|extension| extension == "crt" || extension == "pub");
        let directory = path.parent()?;
        let by_name = FILES.iter().find(|(end, _)| path.ends_with(end));
        let by_directory = || {
            let mut places = DIRECTORIES.iter();
            places.find(|(end, _)| directory.ends_with(end) && !is_public)
        };
        by_name.or_else(by_directory).map(|(_, kind)| *kind)
    }

    /// What a person calls it, in a sentence.
    pub fn label(self) -> &'static str {
        match self {
            Self::Passwords => "the host's passwords",
            Self::Sudoers => "sudo's rules",
            Self::AuthorizedKeys => "a list of authorized SSH keys",
            Self::Keytab => "the host's Kerberos keys",
            Self::ClusterKeys => "keys of the Kubernetes cluster",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_or_the_content_tells() {
        let of = |path: &str, kinds: &[CredentialKind]| {
            SystemFile::of(Path::new(path), kinds.iter().copied())
        };
        for (path, kind) in [
            ("/etc/shadow", SystemFile::Passwords),
            ("/srv/jail/etc/gshadow-", SystemFile::Passwords),
            ("/etc/sudoers.d/90-cloud", SystemFile::Sudoers),
            ("/home/ana/.ssh/authorized_keys", SystemFile::AuthorizedKeys),
            ("/etc/kubernetes/pki/etcd/ca.key", SystemFile::ClusterKeys),
            (
                "/var/lib/kubelet/pki/kubelet-client-current.pem",
                SystemFile::ClusterKeys,
            ),
        ] {
            assert_eq!(of(path, &[]), Some(kind), "{path}");
        }
        let shadow = CredentialKind::ShadowPassword;
        assert_eq!(of("/tmp/x", &[shadow]), Some(SystemFile::Passwords));
        for path in [
            "/etc/passwd",
            "/etc/kubernetes/pki/ca.crt",
            "/etc/sudo.conf",
            "/srv/app.keytab",
        ] {
            assert_eq!(of(path, &[CredentialKind::Keytab]), None, "{path}");
        }
        let layer = "/var/lib/docker/overlay2/5f/diff/etc/shadow";
        assert_eq!(of(layer, &[shadow]), None);
    }
}
