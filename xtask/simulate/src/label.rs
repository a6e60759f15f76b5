//! What should be found in a recording, and what should not: ground truth, one instance a line.

use std::io::{self, Write};
use std::net::SocketAddr;

use monitor::model::{Selector, Timestamp};
use serde::{Deserialize, Serialize};

/// An instance: an identity, a destination, an episode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// What it is: `beacon`, `deploy`.
    pub kind: String,
    /// Who.
    pub identity: Selector,
    /// Where to; `None` where it is about several, or none.
    pub destination: Option<SocketAddr>,
    /// Its first act.
    #[serde(with = "monitor::model::time::rfc3339")]
    pub begin: Timestamp,
    /// Its last, or the end of what follows from it.
    #[serde(with = "monitor::model::time::rfc3339")]
    pub end: Timestamp,
    /// Whether it is an ordinary change, of which an alert is a false one.
    pub benign: bool,
    /// How strong it is, for people.
    pub note: String,
}

/// Writes labels as JSON Lines, in the order of their beginnings.
///
/// # Errors
/// Those of the file.
pub fn write(labels: &mut [Label], mut to: impl Write) -> io::Result<()> {
    labels.sort_by(|a, b| {
        let key = |of: &Label| {
            (
                of.begin,
                of.kind.clone(),
                of.identity.clone(),
                of.destination,
            )
        };
        key(a).cmp(&key(b))
    });
    for label in labels {
        serde_json::to_writer(&mut to, label)?;
        to.write_all(b"\n")?;
    }
    to.flush()
}
