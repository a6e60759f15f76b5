//! Where credentials lie, and where they do not: names, directories, and file systems.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::secret::MAX_FILE;
use crate::model::SystemFile;

/// Small files without a telling name are looked into up to this size, in bytes.
pub const MAX_SNIFFED: u64 = 16 << 10;

/// Where a host keeps its credentials, unless the configuration says otherwise. Those that are
/// not there are passed over.
pub const DEFAULT_ROOTS: &[&str] = &[
    "/etc",
    "/root",
    "/home",
    "/srv",
    "/opt",
    "/var/lib",
    "/var/run/secrets",
    "/var/backups",
    "/run",
    "/usr/local/etc",
];

/// Where files are put down on their way to somewhere else: intruders use them, and so do people.
pub const STAGING: &[&str] = &["/tmp", "/var/tmp", "/dev/shm"];

/// [`DEFAULT_ROOTS`] as paths.
pub fn default_roots() -> Vec<PathBuf> {
    DEFAULT_ROOTS.iter().map(PathBuf::from).collect()
}

/// [`STAGING`] as paths.
pub fn staging() -> Vec<PathBuf> {
    STAGING.iter().map(PathBuf::from).collect()
}

/// Basenames that tell by themselves, all lowercase or as the tools write them.
const NAMES: &[&str] = &[
    ".bash_history",
    ".dockercfg",
    ".dockerconfigjson",
    ".git-credentials",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".vault-token",
    ".zsh_history",
    "_netrc",
    "accessTokens.json",
    "application_default_credentials.json",
    "auth.json",
    "authorized_keys",
    "authorized_keys2",
    "credentials",
    "credentials.json",
    "credentials.toml",
    "gshadow",
    "hosts.yml",
    "krb5.keytab",
    "kubeconfig",
    "kubelet.conf",
    "msal_token_cache.json",
    "netrc",
    "npmrc",
    "opaque-token",
    "pypirc",
    "service-account.json",
    "service_principal_entries.json",
    "serviceaccount.json",
    "shadow",
    "shadow-",
    "shadow.bak",
    "sudoers",
    "token",
    "vault-token",
];

/// What the names of credential files start with.
const NAME_STARTS: &[&str] = &[
    ".env",
    "authorized_keys",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_rsa",
    "kubeconfig",
    "ssh_host_",
];

/// Extensions of files that may hold keys, certificates or tokens.
const EXTENSIONS: &[&str] = &[
    "cer",
    "crt",
    "env",
    "jwt",
    "key",
    "keytab",
    "kubeconfig",
    "ovpn",
    "p8",
    "pem",
    "pk8",
    "ppk",
    "psk",
    "token",
];

/// A directory and a name in it that tell together.
const IN_DIRECTORY: &[(&str, &str)] = &[
    (".aws", "config"),
    (".docker", "config.json"),
    (".kube", "config"),
    (".oci", "config"),
    (".config", "mosquitto_pub"),
    (".config", "mosquitto_rr"),
    (".config", "mosquitto_sub"),
    ("config", "wireless"),
    ("containers", "auth.json"),
    ("docker", "config.json"),
    ("hostapd", "hostapd.conf"),
    ("kubernetes", "admin.conf"),
    ("kubernetes", "controller-manager.conf"),
    ("kubernetes", "scheduler.conf"),
    ("kubernetes", "super-admin.conf"),
    ("mosquitto", "mosquitto.conf"),
    ("mosquitto", "passwd"),
    ("wpa_supplicant", "wpa_supplicant.conf"),
];

/// Directories that are there for credentials, by their own name.
const CREDENTIAL_DIRECTORIES: &[&str] = &[
    ".aws",
    ".azure",
    ".docker",
    ".kube",
    ".oci",
    ".ssh",
    "authorized_keys.d",
];

/// The same by the end of their path.
const CREDENTIAL_PATHS: &[&str] = &[
    ".aws/cli/cache",
    ".aws/sso/cache",
    ".config/gcloud",
    ".config/gh",
    ".config/containers",
    "etc/credstore",
    "etc/credstore.encrypted",
    "etc/kubernetes",
    "etc/kubernetes/pki",
    "etc/pki/tls/private",
    "etc/ssh",
    "etc/ssl/private",
    "run/secrets",
    "run/secrets/kubernetes.io/serviceaccount",
    "run/secrets/eks.amazonaws.com/serviceaccount",
    "var/lib/kubelet/pki",
];

/// Directories that are not entered: large, made by machines, and without credentials of their
/// own. A file of one that is named or read is still seen.
const SKIPPED: &[&str] = &[
    ".cache",
    ".git",
    ".hg",
    ".rustup",
    ".svn",
    ".terraform",
    "__pycache__",
    "dist-packages",
    "lost+found",
    "node_modules",
    "site-packages",
];

/// The same by the end of their path.
const SKIPPED_PATHS: &[&str] = &[
    ".cargo/git",
    ".nvm/versions",
    ".pyenv/versions",
    ".rbenv/versions",
    ".cargo/registry",
    "cargo/git",
    "cargo/registry",
    "etc/alternatives",
    "etc/ssl/certs",
    "etc/ca-certificates/extracted",
    "etc/pki/ca-trust/extracted",
    "go/pkg/mod",
    "lib/containerd/io.containerd.content.v1.content",
    "lib/containerd/io.containerd.snapshotter.v1.overlayfs",
    "lib/containers/storage",
    "lib/docker/image",
    "lib/docker/overlay2",
    "lib/docker/rootfs",
    "lib/dpkg",
    "lib/apt",
    "lib/flatpak",
    "lib/snapd",
    "run/containerd",
    "run/docker",
    "run/credwatch",
    "lib/credwatch",
    "run/udev",
    "run/systemd/units",
    "run/log",
    "share/containers/storage",
];

/// Absolute paths below which there is the kernel's own and no file of anybody.
const KERNEL: &[&str] = &["/proc", "/sys", "/sys/fs/cgroup", "/dev/pts"];

/// Exact basenames, of at most 31 bytes, that tell a credential file wherever it lies: the kernel
/// half reports the first read of any file so named, also where discovery never looked.
pub fn watched_basenames() -> &'static [&'static str] {
    &[
        ".dockercfg",
        ".dockerconfigjson",
        ".env",
        ".git-credentials",
        ".netrc",
        ".npmrc",
        ".pypirc",
        ".vault-token",
        "accessTokens.json",
        "auth.json",
        "authorized_keys",
        "client-key.pem",
        "client.key",
        "credentials",
        "credentials.json",
        "credentials.toml",
        "gshadow",
        "hosts.yml",
        "id_dsa",
        "id_ecdsa",
        "id_ecdsa_sk",
        "id_ed25519",
        "id_ed25519_sk",
        "id_rsa",
        "key.pem",
        "krb5.keytab",
        "kubeconfig",
        "kubelet.conf",
        "msal_token_cache.json",
        "private.key",
        "private.pem",
        "privkey.pem",
        "server-key.pem",
        "server.key",
        "service-account.json",
        "serviceaccount.json",
        "shadow",
        "shadow-",
        "ssh_host_ecdsa_key",
        "ssh_host_ed25519_key",
        "ssh_host_rsa_key",
        "sudoers",
        "tls.key",
        "token",
    ]
}

/// Whether a directory is there for credentials, so that every new file in it is looked into.
pub fn is_credential_directory(path: &Path) -> bool {
    let by_name = path
        .file_name()
        .and_then(OsStr::to_str)
        .is_some_and(|name| CREDENTIAL_DIRECTORIES.contains(&name));
    by_name || ends_with_any(path, CREDENTIAL_PATHS) || is_systemd_credentials(path)
}

/// Whether all that lies in this file's directory is secret whatever its form: systemd's
/// `LoadCredential=` and credential stores, and the secrets of containers.
pub fn holds_only_secrets(path: &Path) -> bool {
    let Some(directory) = path.parent() else {
        return false;
    };
    is_systemd_credentials(directory)
        || ends_with_any(
            directory,
            &["etc/credstore", "etc/credstore.encrypted", "run/secrets"],
        )
}

/// `/run/credentials/UNIT`
fn is_systemd_credentials(path: &Path) -> bool {
    path.parent() == Some(Path::new("/run/credentials"))
}

/// Whether SSH looks for private keys here, or the name says that this is one.
pub fn is_ssh_key_place(path: &Path) -> bool {
    let name = name(path);
    name.starts_with("id_")
        || name.starts_with("ssh_host_")
        || path
            .parent()
            .is_some_and(|dir| dir.ends_with(".ssh") || dir.ends_with("etc/ssh"))
}

/// Whether a file's place, name and size make it worth reading, whoever may read it.
pub fn is_candidate(path: &Path, len: u64) -> bool {
    if len > MAX_FILE {
        return false;
    }
    // What will be written to an empty one matters.
    if SystemFile::at(path).is_some() {
        return true;
    }
    let name = name(path);
    if len == 0 {
        return false;
    }
    if is_never(name) {
        return false;
    }
    let directory = path.parent();
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or("");
    NAMES.contains(&name)
        || NAME_STARTS.iter().any(|start| name.starts_with(start))
        || EXTENSIONS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(extension))
        || IN_DIRECTORY
            .iter()
            .any(|(dir, file)| name == *file && directory.is_some_and(|d| d.ends_with(dir)))
        || directory.is_some_and(is_credential_directory)
}

/// Whether a file without a telling name should be looked into: small, and not for everybody.
/// Secrets mostly are neither large nor world-readable.
pub fn is_sniffed(path: &Path, len: u64, mode: u32) -> bool {
    (1..=MAX_SNIFFED).contains(&len) && mode & 0o004 == 0 && !is_never(name(path))
}

/// Files that are public whatever their place.
fn is_never(name: &str) -> bool {
    name.ends_with(".pub") && !name.ends_with("-cert.pub")
        || name.starts_with("known_hosts")
        || name == "ca-certificates.crt"
}

/// Whether a directory is not entered, by its name or the end of its path.
pub fn is_skipped_directory(path: &Path) -> bool {
    let name = name(path);
    SKIPPED.contains(&name)
        // The versions behind `..data` are reached by the links that programs use.
        || name.starts_with("..")
        || KERNEL.iter().any(|kernel| path == Path::new(kernel))
        || ends_with_any(path, SKIPPED_PATHS)
        // Python ships the keys of its own test suite.
        || name == "test" && path.parent().is_some_and(|dir| self::name(dir).starts_with("python3"))
}

/// Whether a file system of this type, as /proc/self/mountinfo names it, is not entered from
/// another one: the kernel's own, those across a network, and the layers of containers.
pub fn is_skipped_file_system(kind: &str) -> bool {
    const PSEUDO: &[&str] = &[
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nsfs",
        "nfsd",
        "overlay",
        "proc",
        "pstore",
        "resctrl",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "squashfs",
        "sysfs",
        "tracefs",
    ];
    const NETWORK: &[&str] = &[
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb3",
        "smbfs",
    ];
    PSEUDO.contains(&kind) || NETWORK.contains(&kind) || kind.starts_with("fuse.")
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or("")
}

fn ends_with_any(path: &Path, ends: &[&str]) -> bool {
    ends.iter().any(|end| path.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watched_names_fit_the_kernel_half() {
        let names = watched_basenames();
        assert!(names.iter().all(|name| (1..=31).contains(&name.len())));
        assert!(names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]));
        for name in names {
            assert!(is_candidate(&Path::new("/x").join(name), 100), "{name}");
        }
    }

    #[test]
    fn names_and_places_make_candidates() {
        for path in [
            "/home/ana/.ssh/work",
            "/home/ana/.aws/config",
            "/srv/app/server.PEM",
            "/var/run/secrets/kubernetes.io/serviceaccount/token",
            "/run/credentials/web.service/db",
            "/run/secrets/db-password",
            "/root/.docker/config.json",
            "/etc/sudoers.d/90-cloud",
        ] {
            assert!(is_candidate(Path::new(path), 100), "{path}");
        }
        for path in [
            "/etc/passwd",
            "/home/ana/.ssh/id_rsa.pub",
            "/home/ana/.ssh/known_hosts.old",
            "/etc/x/config.json",
        ] {
            assert!(!is_candidate(Path::new(path), 100), "{path}");
        }
        assert!(!is_candidate(Path::new("/a/id_rsa"), MAX_FILE + 1));
        assert!(!is_candidate(Path::new("/a/id_rsa"), 0));
    }

    #[test]
    fn directories_that_are_skipped() {
        for path in [
            "/proc",
            "/a/node_modules",
            "/home/a/.cargo/registry",
            "/x/..2026",
        ] {
            assert!(is_skipped_directory(Path::new(path)), "{path}");
        }
        for path in ["/etc", "/home/a/proc", "/home/a/.ssh"] {
            assert!(!is_skipped_directory(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn only_pure_places_make_any_content_a_secret() {
        assert!(holds_only_secrets(Path::new(
            "/run/credentials/a.service/b"
        )));
        assert!(holds_only_secrets(Path::new("/var/run/secrets/db")));
        for path in [
            "/run/secrets/kubernetes.io/serviceaccount/namespace",
            "/home/a/.ssh/config",
        ] {
            assert!(!holds_only_secrets(Path::new(path)), "{path}");
        }
    }
}
