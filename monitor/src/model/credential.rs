//! Credentials: what they are, what they are called, where they lie, whether they should live.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Bound, Selector, Timestamp};

/// How a credential is named without its value. The public part where its kind has one
/// (`SHA256:…` of an SSH key, `x509:spki-sha256:…`, `aws:AKIA…`, `jwt:iss/sub/jti`), else
/// `hmac:…`, an HMAC-SHA256 under this installation's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(Arc<str>);

impl Fingerprint {
    /// Takes a name that was made by the fingerprinting module or read back from storage.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The whole fingerprint.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "`label` says what each one is")]
pub enum CredentialKind {
    SshPrivateKey,
    SshAuthorizedKey,
    SshCertificate,
    X509PrivateKey,
    X509Certificate,
    AwsAccessKey,
    GcpServiceAccountKey,
    GcpUserCredential,
    AzureCredential,
    OciApiKey,
    Kubeconfig,
    KubernetesServiceAccountToken,
    ContainerRegistryAuth,
    GitCredential,
    Netrc,
    NpmToken,
    PypiToken,
    CargoToken,
    VaultToken,
    Keytab,
    ShadowPassword,
    Jwt,
    ApiToken,
    VpnKey,
    WifiPassword,
    MqttPassword,
    /// Declared or retired by path; its content has no shape that is known.
    Opaque,
}

impl CredentialKind {
    /// What a person calls it: `SSH private key`.
    pub fn label(self) -> &'static str {
        match self {
            Self::SshPrivateKey => "SSH private key",
            Self::SshAuthorizedKey => "SSH authorized key",
            Self::SshCertificate => "SSH certificate",
            Self::X509PrivateKey => "X.509 private key",
            Self::X509Certificate => "X.509 certificate",
            Self::AwsAccessKey => "AWS access key",
            Self::GcpServiceAccountKey => "GCP service account key",
            Self::GcpUserCredential => "GCP user credential",
            Self::AzureCredential => "Azure credential",
            Self::OciApiKey => "OCI API key",
            Self::Kubeconfig => "kubeconfig",
            Self::KubernetesServiceAccountToken => "Kubernetes service account token",
            Self::ContainerRegistryAuth => "container registry login",
            Self::GitCredential => "git credential",
            Self::Netrc => "netrc login",
            Self::NpmToken => "npm token",
            Self::PypiToken => "PyPI token",
            Self::CargoToken => "cargo registry token",
            Self::VaultToken => "Vault token",
            Self::Keytab => "Kerberos keytab",
            Self::ShadowPassword => "shadow passwords",
            Self::Jwt => "JSON web token",
            Self::ApiToken => "API token",
            Self::VpnKey => "VPN key",
            Self::WifiPassword => "Wi-Fi password",
            Self::MqttPassword => "MQTT password",
            Self::Opaque => "declared secret",
        }
    }

    /// Whether whoever holds it can act with it. What only lets others in, or only proves, is
    /// public.
    pub fn is_secret(self) -> bool {
        !matches!(
            self,
            Self::SshAuthorizedKey | Self::SshCertificate | Self::X509Certificate
        )
    }
}

/// Where a credential stands in its life.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialState {
    /// In use, or free to be used.
    #[default]
    Active,
    /// A successor exists; both may be used for a while.
    Rotating,
    /// Decommissioned by somebody: any use is an alert.
    Retired,
    /// Declared void by its issuer or owner: any use is an alert.
    Revoked,
    /// Its own end date has passed.
    Expired,
    /// Bait: nobody has a reason to touch it.
    Decoy,
}

impl CredentialState {
    /// As it is written in output and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Rotating => "rotating",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Decoy => "decoy",
        }
    }
}

impl fmt::Display for CredentialState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A file's inode on its file system: what a path, a symlink and a hard link have in common.
/// `dev` is encoded as stat(2) encodes `st_dev`, not as the kernel does.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct FileId {
    /// `st_dev`
    pub dev: u64,
    /// `st_ino`
    pub ino: u64,
}

/// One credential, as its content tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its name.
    pub fingerprint: Fingerprint,
    /// What it is.
    pub kind: CredentialKind,
    /// A public word that helps a person to know it: a key's comment, a token's subject, an
    /// access key id, a certificate's subject. Never any part of a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whom it names, where its content says so (a token's service account).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Selector>,
    /// When it was issued, where its content says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Timestamp>,
    /// When it ends, where its content says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// What it lives no longer than, where its content says so (a token's account and pod).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Box<Bound>>,
}

/// A file that holds credentials, as discovery found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocatedFile {
    /// Its inode.
    pub file: FileId,
    /// Its absolute path, as discovery came to it.
    #[serde(with = "super::path")]
    pub path: PathBuf,
    /// The owner's uid.
    pub uid: u32,
    /// The owner's gid.
    pub gid: u32,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
    /// Last change of content.
    pub modified: Timestamp,
    /// What it holds: one or more. Empty when the file was a credential and is none any more.
    pub credentials: Vec<Credential>,
}
