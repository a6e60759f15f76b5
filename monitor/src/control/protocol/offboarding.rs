//! What was offboarded, and whether it is quiet since.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::lossy;
use crate::model::{
    CredentialKind, CredentialState, Fingerprint, Selector, Timestamp, time::rfc3339,
};
use crate::registry::Belonging;

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
