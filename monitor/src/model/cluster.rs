//! Objects of a Kubernetes cluster that tokens are bound to, and live no longer than.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Selector, Timestamp};

/// Longest uid, in bytes. Kubernetes makes UUIDs, which have 36; the API allows other texts.
const LONGEST: usize = 64;

/// The uid of an object of a cluster: no other object ever has it, whatever its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterUid(Arc<str>);

/// Why a text is no uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a uid of a cluster's object has 1 to {LONGEST} ASCII letters, digits and dashes")]
pub struct ClusterUidError;

impl ClusterUid {
    /// The whole uid.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterUid {
    type Err = ClusterUidError;

    fn from_str(text: &str) -> Result<Self, ClusterUidError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if (1..=LONGEST).contains(&text.len()) && text.chars().all(is_plain) {
            Ok(Self(text.into()))
        } else {
            Err(ClusterUidError)
        }
    }
}

impl TryFrom<String> for ClusterUid {
    type Error = ClusterUidError;

    fn try_from(text: String) -> Result<Self, ClusterUidError> {
        text.parse()
    }
}

impl From<ClusterUid> for String {
    fn from(uid: ClusterUid) -> Self {
        uid.0.as_ref().to_owned()
    }
}

impl fmt::Display for ClusterUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a token lives no longer than, as its claims say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The service account that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<ClusterUid>,
    /// The pod that it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<ClusterUid>,
}

impl Bound {
    /// What claims say; `None` where they bind a token to nothing.
    pub fn of(account: Option<ClusterUid>, pod: Option<ClusterUid>) -> Option<Box<Self>> {
        (account.is_some() || pod.is_some()).then(|| Box::new(Self { account, pod }))
    }

    /// Whether it ends with this object.
    pub fn is_to(&self, uid: &ClusterUid) -> bool {
        self.uids().any(|of| of == uid)
    }

    /// All that it ends with.
    pub fn uids(&self) -> impl Iterator<Item = &ClusterUid> {
        self.account.iter().chain(&self.pod)
    }
}

/// A service account of the cluster, or a pod of this node, came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterChange {
    /// Its name: `k8s:sa:prod/api`, `k8s:pod:prod/api-7d9f`.
    pub selector: Selector,
    /// Its uid.
    pub uid: ClusterUid,
    /// Whether the cluster has it now.
    pub present: bool,
}

/// An object that the cluster has no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRemoval {
    /// What it was called.
    pub selector: Selector,
    /// Its uid.
    pub uid: ClusterUid,
    /// Since when, as far as it is known here.
    pub at: Timestamp,
    /// Whether the tokens bound to it that were known then are retired.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What comes from outside is short and plain, or no uid.
        #[test]
        fn uids_are_short_and_plain(text in ".{0,80}") {
            match text.parse::<ClusterUid>() {
                Ok(uid) => {
                    prop_assert_eq!(uid.as_str(), &text);
                    prop_assert!(text.len() <= 64);
                    prop_assert!(text.bytes().all(|b| b == b'-' || b.is_ascii_alphanumeric()));
                }
                Err(_) => prop_assert!(
                    text.is_empty() || text.len() > 64
                        || text.bytes().any(|b| b != b'-' && !b.is_ascii_alphanumeric())
                ),
            }
        }

        #[test]
        fn a_uuid_is_a_uid(text in "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}") {
            let uid: ClusterUid = text.parse().unwrap();
            let json = serde_json::to_string(&uid).unwrap();
            prop_assert_eq!(serde_json::from_str::<ClusterUid>(&json).unwrap(), uid);
        }
    }
}
