//! `[offboard]`: when something is gone, and when it is safe to delete.

use std::time::Duration;

use serde::Deserialize;

use super::duration;

const DAY: Duration = Duration::from_secs(86_400);

/// When something is gone, and when it is safe to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OffboardConfig {
    /// For at least this long a thing must have been quiet while it was watched, before it is
    /// called safe to delete.
    #[serde(deserialize_with = "duration::deserialize")]
    pub least_observation: Duration,
    /// The same, where too few uses were seen to know how often it is used: longer than the rarest
    /// use that is reckoned with.
    #[serde(deserialize_with = "duration::deserialize")]
    pub unknown_rhythm: Duration,
    /// An account or a unit that is gone for this long was removed. One that comes back sooner was
    /// replaced, as packages do.
    #[serde(deserialize_with = "duration::deserialize")]
    pub removal_grace: Duration,
}

impl Default for OffboardConfig {
    fn default() -> Self {
        Self {
            least_observation: DAY * 30,
            unknown_rhythm: DAY * 400,
            removal_grace: Duration::from_secs(3_600),
        }
    }
}
