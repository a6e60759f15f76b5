//! What is said over the control socket, and what `--output json` prints: the same types.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use super::devices::DeviceView;
use super::life::{RotationView, TransitionView};
use crate::model::{
    Account, Alert, Backend, Capability, CredentialKind, CredentialState, Exception, Fingerprint,
    HeldIn, KernelKey, Selector, Timestamp, Usage, time::rfc3339,
};
use crate::registry::OwnerFrom;
use crate::registry::{Assessment, Belonging, LeastPrivilege};

/// JSON is UTF-8 and a path need not be: one file with an odd name, which any user can make, must
/// not keep the others from being shown. Bytes that are no UTF-8 become U+FFFD.
fn lossy<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

/// The same for one path.
pub(super) fn lossy_path<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

/// A client's request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// How the daemon is.
    Status,
    /// What this host lets it see, and by what.
    Doctor,
    /// All credentials known.
    Credentials,
    /// All identities known.
    Identities,
    /// Credentials, identities and kernel keys as of one moment.
    Inventory,
    /// The newest alerts, newest last.
    Alerts {
        /// How many at most.
        limit: u32,
    },
    /// The usage map.
    Usage,
    /// Every step in the life of a credential or an identity.
    History {
        /// A path, a fingerprint or the start of one, or a selector.
        target: String,
    },
    /// Versions of credentials that another has followed, and who has which.
    Rotations {
        /// The start of either version's fingerprint; `None` for all.
        of: Option<String>,
    },
    /// Declare a credential or identity decommissioned.
    Retire {
        /// An absolute path, a fingerprint or a selector.
        target: String,
        /// Why.
        reason: Option<String>,
    },
    /// Take that back.
    Restore {
        /// An absolute path, a fingerprint or a selector.
        target: String,
    },
    /// Raise nothing more for the cause of an alert.
    Allow {
        /// The alert's id, or a start of it that no other has.
        alert: String,
        /// Why.
        reason: String,
        /// For how long, in seconds; `None` for the usual time.
        seconds: Option<u64>,
        /// Also where the registry's own word would have to be changed instead.
        force: bool,
    },
    /// What is allowed.
    Exceptions,
    /// Take an exception back.
    Disallow {
        /// Its id, or a start of it that no other has.
        id: String,
    },
    /// Whether something can be deleted.
    SafeToDelete {
        /// An absolute path, a fingerprint or a selector; `None` for all that is retired, expired or
        /// dormant.
        target: Option<String>,
    },
    /// Whether identities have more rights than they use.
    Overprivileged {
        /// A selector; `None` for everybody whose programs are known.
        identity: Option<String>,
    },
    /// Retire an identity with the credentials that are its own.
    Offboard {
        /// A selector.
        identity: String,
        /// Why.
        reason: Option<String>,
        /// Also the credentials that others use or own.
        include_shared: bool,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// Whether what was offboarded is quiet.
    OffboardStatus {
        /// A selector; `None` for every identity that is retired.
        identity: Option<String>,
    },
}

impl Request {
    /// Whether the answer rests on all that has happened until it is asked for.
    pub fn is_about_all_until_now(&self) -> bool {
        matches!(
            self,
            Self::SafeToDelete { .. }
                | Self::Overprivileged { .. }
                | Self::Offboard { .. }
                | Self::OffboardStatus { .. }
        )
    }
}

/// The daemon's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "response", content = "body", rename_all = "kebab-case")]
pub enum Response {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Doctor`].
    Doctor(Box<Doctor>),
    /// To [`Request::Credentials`].
    Credentials(Vec<CredentialView>),
    /// To [`Request::Identities`].
    Identities(Vec<IdentityView>),
    /// To [`Request::Inventory`].
    Inventory(Box<Inventory>),
    /// To [`Request::Alerts`].
    Alerts(Vec<Alert>),
    /// To [`Request::Usage`].
    Usage(Vec<Usage>),
    /// To [`Request::History`].
    History(Vec<TransitionView>),
    /// To [`Request::Rotations`].
    Rotations(Vec<RotationView>),
    /// To [`Request::Retire`] and [`Request::Restore`]: what changed.
    Changed(Vec<ChangeView>),
    /// To [`Request::Exceptions`], and to [`Request::Allow`] and [`Request::Disallow`] the one that
    /// was made or taken back.
    Exceptions(Vec<Exception>),
    /// To [`Request::SafeToDelete`].
    SafeToDelete(Vec<Assessment>),
    /// To [`Request::Overprivileged`].
    Overprivileged(Vec<LeastPrivilege>),
    /// To [`Request::Offboard`].
    Offboard(Box<OffboardView>),
    /// To [`Request::OffboardStatus`].
    OffboardStatus(Vec<OffboardedView>),
    /// The request was understood and refused, or failed.
    Error {
        /// What went wrong and what to do, in one sentence.
        message: String,
    },
}

/// How the daemon is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    #[serde(with = "rfc3339")]
    pub started: Timestamp,
    /// Hooks are attached, running tasks and files were taken in, and the self-test is over.
    pub ready: bool,
    /// The kernel's release.
    pub kernel: String,
    /// What the daemon goes by.
    pub configuration: Configuration,
    /// Every hook of the sensor.
    pub hooks: Vec<HookStatus>,
    /// Events lost since start, over all stages.
    pub lost: u64,
    /// Events taken in since start.
    pub events: u64,
    /// How long events waited between the kernel and the pipeline.
    pub delay: Delay,
    /// Credentials known.
    pub credentials: u64,
    /// Files watched in the kernel.
    pub watched_files: u64,
    /// Identities known.
    pub identities: u64,
    /// Alerts raised since start.
    pub alerts: u64,
    /// Every sink.
    pub sinks: Vec<SinkStatus>,
}

/// What the daemon goes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Its file, which need not exist.
    #[serde(with = "crate::model::path")]
    pub file: PathBuf,
    /// When it was last taken in.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// Keys that were changed and hold after a restart.
    pub waiting: Vec<String>,
    /// What is wrong with the file, or with the registry's, while what held before holds.
    pub wrong: Vec<String>,
}

/// How long events waited, in microseconds; 0 before the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay {
    /// The median.
    pub p50_us: u64,
    /// What one in a hundred exceeded.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// One hook of the sensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookStatus {
    /// What it watches: `process_exec`, `file_read`.
    pub name: String,
    /// How: `tp_btf sched_process_exec`, `fanotify`.
    pub backend: String,
    /// Whether it is in place.
    pub attached: bool,
    /// How often it has fired since start.
    pub fired: u64,
    /// How many of its events were lost.
    pub lost: u64,
    /// How many were told with a later one of the same process.
    pub folded: u64,
    /// How many were told in sum, because their process makes too many.
    pub capped: u64,
    /// Why it is not in place, or what it does not see here.
    pub note: Option<String>,
}

/// What a host lets Credwatch see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Doctor {
    /// The kernel's release.
    pub kernel: String,
    /// Its lockdown: `none`, `integrity`, `confidentiality`; `None` where that cannot be read.
    pub lockdown: Option<String>,
    /// The security modules that are active; `None` where that cannot be read.
    pub security_modules: Option<String>,
    /// The daemon's pid; `None` for a trial without one.
    pub daemon: Option<u32>,
    /// What a hook on every system call would cost here; `None` where it was not measured.
    pub system_call_hook: Option<SystemCallPrice>,
    /// Every hook that is needed here.
    pub hooks: Vec<DoctorHook>,
}

impl Eq for Doctor {}

impl Doctor {
    /// Hooks without a backend that fires, but for those that the operator has not chosen.
    pub fn gaps(&self) -> Vec<&str> {
        let gaps = self.hooks.iter();
        gaps.filter(|hook| !hook.by_choice && (!hook.attached || hook.is_testable() && !hook.fired))
            .map(|hook| hook.hook.as_str())
            .collect()
    }
}

/// What the cheapest system call takes, in nanoseconds, at the least of several rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SystemCallPrice {
    /// Without the hook.
    pub without_ns: f64,
    /// With it.
    pub with_ns: f64,
}

/// One act that must be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorHook {
    /// What it belongs to.
    pub capability: Capability,
    /// What it watches: `process_exec`, `file_read`.
    pub hook: String,
    /// How: `fentry security_file_open`; empty when nothing sees it.
    pub backend: String,
    /// The kind of that.
    pub kind: Option<Backend>,
    /// Whether a backend is in place.
    pub attached: bool,
    /// Whether an act of the self-test came through it.
    pub fired: bool,
    /// Events so far.
    pub events: u64,
    /// What is not seen; `None` when all is.
    pub gap: Option<String>,
    /// What would close the gap.
    pub fix: Option<String>,
    /// The operator has not chosen the one backend that works here.
    pub by_choice: bool,
    /// What was tried before and does not work here.
    pub tried: Vec<TriedView>,
}

impl DoctorHook {
    /// Whether the self-test has an act for it: an answer of the name system, and what devices send, has
    /// to come from somebody else.
    pub fn is_testable(&self) -> bool {
        !["dns", "gateway_flow"].contains(&self.hook.as_str())
    }
}

/// A backend that does not work on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriedView {
    /// Which.
    pub backend: String,
    /// Why not.
    pub failure: String,
}

/// One sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// Its type and target: `syslog tcp 10.0.0.5:601`.
    pub name: String,
    /// Alerts handed to it and written.
    pub sent: u64,
    /// Alerts that could not be written.
    pub failed: u64,
    /// The latest error.
    pub error: Option<String>,
}

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

/// What `offboard` has done, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffboardView {
    /// The identity.
    pub identity: Selector,
    /// Its state before.
    pub before: CredentialState,
    /// Whether it was done.
    pub done: bool,
    /// The credentials that it owned or used.
    pub credentials: Vec<OwnedView>,
}

/// A credential that an identity owned or used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedView {
    /// Its name.
    pub fingerprint: Fingerprint,
    /// What it is.
    pub kind: CredentialKind,
    /// Its state before.
    pub before: CredentialState,
    /// Whether it is retired with the identity.
    pub retires: bool,
    /// Why it is the identity's.
    pub why: Belonging,
    /// Who else uses or owns it.
    pub shared_with: Vec<Selector>,
    /// Every path at which it lies.
    #[serde(serialize_with = "lossy")]
    pub paths: Vec<PathBuf>,
    /// When it was last used, by anybody.
    #[serde(with = "rfc3339::option")]
    pub last_used: Option<Timestamp>,
}

/// Whether something that was offboarded is quiet since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffboardedView {
    /// The identity that it was offboarded with.
    pub identity: Selector,
    /// The identity itself, or the fingerprint of a credential.
    pub target: String,
    /// What it is, for credentials.
    pub kind: Option<CredentialKind>,
    /// Since when it is retired.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// Who retired it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// Its latest use since then; `None` where it was quiet.
    #[serde(with = "rfc3339::option")]
    pub used: Option<Timestamp>,
    /// Who used it.
    pub used_by: Option<Selector>,
    /// With which program.
    pub used_with: Option<String>,
    /// For how long it was quiet while it was watched, in seconds.
    pub quiet_seconds: u64,
    /// For how long of that time a use could not be seen, in seconds.
    pub unwatched_seconds: u64,
}

/// What `retire` or `restore` changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// The fingerprint or selector.
    pub target: String,
    /// What it is, for credentials.
    pub kind: Option<CredentialKind>,
    /// The state before.
    pub before: CredentialState,
    /// The state now.
    pub state: CredentialState,
    /// Every path at which it lies, for credentials.
    #[serde(serialize_with = "lossy")]
    pub paths: Vec<PathBuf>,
}
