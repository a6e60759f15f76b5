//! Credentials and identities, as operators see them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::devices::DeviceView;
use super::{lossy, lossy_path};
use crate::model::{
    Account, CredentialKind, CredentialState, Fingerprint, HeldIn, KernelKey, Selector, Timestamp,
    time::rfc3339,
};
use crate::registry::OwnerFrom;

/// One credential, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialView {
    /// Its name.
    pub fingerprint: Fingerprint,
    /// What it is.
    pub kind: CredentialKind,
    /// A public word about it.
    pub label: Option<String>,
    /// Its state now.
    pub state: CredentialState,
    /// Since when it is retired, revoked or a decoy.
    #[serde(with = "rfc3339::option")]
    pub retired_at: Option<Timestamp>,
    /// Who said so.
    pub retired_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The declared owner, or whom its content names.
    pub owner: Option<Selector>,
    /// Every path at which it lies.
    #[serde(serialize_with = "lossy")]
    pub paths: Vec<PathBuf>,
    /// When it was issued.
    #[serde(with = "rfc3339::option")]
    pub issued: Option<Timestamp>,
    /// When it ends.
    #[serde(with = "rfc3339::option")]
    pub expires: Option<Timestamp>,
    /// When it was last used.
    #[serde(with = "rfc3339::option")]
    pub last_used: Option<Timestamp>,
    /// How many uses were seen.
    pub uses: u64,
    /// Whose word the owner is.
    #[serde(default)]
    pub owner_from: Option<OwnerFrom>,
    /// When it was first found.
    #[serde(default, with = "rfc3339::option")]
    pub first_seen: Option<Timestamp>,
    /// When it was first used.
    #[serde(default, with = "rfc3339::option")]
    pub first_used: Option<Timestamp>,
    /// Who used it last.
    #[serde(default)]
    pub last_used_by: Option<Selector>,
    /// With what program; `None` where that could not be known.
    #[serde(default)]
    pub last_used_with: Option<String>,
    /// How many identities have used it.
    #[serde(default)]
    pub users: u64,
    /// The files in which it lies, one for each of `paths`.
    #[serde(default)]
    pub files: Vec<FileView>,
    /// The processes that hold it in their environment or arguments.
    #[serde(default)]
    pub held: Vec<HeldView>,
    /// The logs in which it was seen.
    #[serde(default, serialize_with = "lossy")]
    pub logs: Vec<PathBuf>,
    /// What should not be so.
    #[serde(default)]
    pub findings: Vec<FindingKind>,
}

/// A file that holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileView {
    /// Its path.
    #[serde(serialize_with = "lossy_path")]
    pub path: PathBuf,
    /// The owner's uid.
    pub uid: u32,
    /// Its name on the host of the client.
    #[serde(default)]
    pub user: Option<String>,
    /// The owner's gid.
    pub gid: u32,
    /// Its name on the host of the client.
    #[serde(default)]
    pub group: Option<String>,
    /// Permission bits in octal: `0600`.
    pub mode: String,
    /// The last change of its content.
    #[serde(with = "rfc3339")]
    pub modified: Timestamp,
    /// Whether every account can read it, also by the directories above it.
    pub world_readable: bool,
}

/// A process that holds a credential elsewhere than in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldView {
    /// Its pid.
    pub pid: u32,
    /// When it started.
    #[serde(with = "rfc3339")]
    pub started: Timestamp,
    /// Who it is.
    pub identity: Selector,
    /// Its executable.
    pub exe: Option<String>,
    /// Where it holds it.
    #[serde(flatten)]
    pub place: HeldIn,
}

impl std::fmt::Display for HeldView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            HeldIn::Environment { variable } => {
                write!(f, "{variable} in the environ of {}", self.pid)?;
            }
            HeldIn::Arguments => write!(f, "arguments of {}", self.pid)?,
        }
        match &self.exe {
            Some(exe) => write!(f, " ({exe})"),
            None => Ok(()),
        }
    }
}

/// What should not be so with a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A secret lies in a file that every account can read.
    WorldReadable,
    /// A private key lies in a file that a group can read.
    GroupReadable,
    /// It stands among the arguments of a process, in a log or in a shell's history.
    Leaked,
    /// Its end has passed.
    Expired,
    /// A secret that nobody has used since it was found, a week ago or longer.
    NeverUsed,
    /// Nobody declared whose it is, and neither its content nor its place tell.
    NoOwner,
    /// A secret lies in more than one file.
    Copied,
    /// A secret without an end that is older than a year.
    Old,
}

impl FindingKind {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::WorldReadable,
        Self::GroupReadable,
        Self::Leaked,
        Self::Expired,
        Self::NeverUsed,
        Self::NoOwner,
        Self::Copied,
        Self::Old,
    ];

    /// As it is written: `world-readable`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WorldReadable => "world-readable",
            Self::GroupReadable => "group-readable",
            Self::Leaked => "leaked",
            Self::Expired => "expired",
            Self::NeverUsed => "never-used",
            Self::NoOwner => "no-owner",
            Self::Copied => "copied",
            Self::Old => "old",
        }
    }
}

impl std::fmt::Display for FindingKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All that is known, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The moment.
    #[serde(with = "rfc3339")]
    pub time: Timestamp,
    /// Every credential.
    pub credentials: Vec<CredentialView>,
    /// Every identity.
    pub identities: Vec<IdentityView>,
    /// The keys in the kernel's keyrings that the daemon may see.
    pub kernel_keys: Vec<KernelKey>,
}

/// One identity, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityView {
    /// Its name.
    pub selector: Selector,
    /// What kind of actor it is: `account`, `service`, `container`, `workload`, `ci job`, `device`,
    /// `person`.
    #[serde(default)]
    pub kind: String,
    /// What kind of account it is, for unix accounts of a running daemon's host.
    #[serde(default)]
    pub account: Option<Account>,
    /// Its state now.
    pub state: CredentialState,
    /// Since when it is retired.
    #[serde(with = "rfc3339::option")]
    pub retired_at: Option<Timestamp>,
    /// Who said so.
    pub retired_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Its first act seen by this daemon.
    #[serde(with = "rfc3339::option")]
    pub first_seen: Option<Timestamp>,
    /// Its latest act seen.
    #[serde(with = "rfc3339::option")]
    pub last_seen: Option<Timestamp>,
    /// How many credentials it has used.
    pub credentials_used: u64,
    /// How many credentials are its own.
    #[serde(default)]
    pub credentials_owned: u64,
    /// What was seen of it, for devices of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceView>,
}
