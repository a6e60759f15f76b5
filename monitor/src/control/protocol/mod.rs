//! What is said over the control socket, and what `--output json` prints: the same types.

mod credentials;
mod doctor;
mod offboarding;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use super::life::{RotationView, TransitionView};
use crate::model::{
    Alert, CredentialKind, CredentialState, Exception, Timestamp, Usage, Word, time::rfc3339,
};
use crate::registry::{Assessment, LeastPrivilege};

pub use crate::baseline::{
    BaselineList, BaselineSummary, DigestView, FrozenView, Habit, Habits, Standing, UntoldView,
    Way, WordView,
};
pub use credentials::{CredentialView, FileView, FindingKind, HeldView, IdentityView, Inventory};
pub use doctor::{Doctor, DoctorHook, SystemCallPrice, TriedView};
pub use offboarding::{OffboardView, OffboardedView, OwnedView};

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
    /// How much is known of what identities normally do.
    Baselines,
    /// What is normal for an identity.
    Habits {
        /// A selector.
        identity: String,
    },
    /// What stayed under the budget of false alerts.
    BaselineDigest {
        /// How many seconds back.
        seconds: u64,
    },
    /// Say something about what was learned of an identity.
    BaselineWord {
        /// A selector.
        identity: String,
        /// What.
        word: Word,
        /// Why.
        reason: String,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// To [`Request::Baselines`].
    Baselines(Box<BaselineList>),
    /// To [`Request::Habits`].
    Habits(Box<Habits>),
    /// To [`Request::BaselineDigest`].
    BaselineDigest(Box<DigestView>),
    /// To [`Request::BaselineWord`]: what it did.
    BaselineWord(Box<WordView>),
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
    /// The watch of the cluster's API, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesStatus>,
}

/// The watch of the cluster's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesStatus {
    /// This node.
    pub node: String,
    /// Service accounts that the cluster has.
    pub accounts: u64,
    /// Pods of this node.
    pub pods: u64,
    /// Objects that were passed over: too many, or with a name or uid that is none.
    pub left_out: u64,
    /// Why not all is watched at present, in one line.
    pub away: Option<String>,
    /// Since when it is as it is.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
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
