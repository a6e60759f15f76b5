//! What the host was watched for, and how things were used in that time. Kept over restarts, so
//! that silence can be told from blindness.

use serde::{Deserialize, Serialize};

use super::{Target, Timestamp};

/// Since when this host is watched, and when a use could have gone unseen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// When the first run began to watch.
    pub since: Timestamp,
    /// The latest moment that was watched.
    pub until: Timestamp,
    /// Times that were not, by their beginning.
    pub holes: Vec<Hole>,
}

/// A time in which a use could have gone unseen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// Its first moment.
    pub from: Timestamp,
    /// Its last moment; `None` while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// What was missing.
    pub cause: Blindness,
}

/// Why nothing, or not all, was seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Blindness {
    /// No daemon ran.
    NotRunning {
        /// Whether the host was booted in that time: services have started unseen.
        rebooted: bool,
    },
    /// The daemon ran, and did not get to run on.
    Held,
    /// The clock was set, and this time never was.
    ClockSet,
    /// Events were lost.
    Lost {
        /// The hook, or the queue behind it.
        hook: String,
    },
    /// A hook was not in place.
    Hook {
        /// Which.
        hook: String,
    },
    /// Several of these, with the times between them: there were too many to keep each.
    Several,
}

/// How one credential or identity is used: what a rhythm can be read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsePattern {
    /// Of what. Never a path.
    pub subject: Target,
    /// Since when without a break a file of this host is known to hold it, so that its reads are
    /// seen. `None` where none does, and for identities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present_since: Option<Timestamp>,
    /// The first use seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// The latest use seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// How many uses were seen.
    pub uses: u64,
    /// The longest pause between two uses, in nanoseconds. What was not watched in it makes it
    /// longer than it was, never shorter.
    pub longest: u64,
    /// How many pauses were at least half as long.
    pub alike: u64,
}

impl UsePattern {
    /// Of something of which nothing was seen yet.
    pub fn new(subject: Target) -> Self {
        Self {
            subject,
            present_since: None,
            first: None,
            last: None,
            uses: 0,
            longest: 0,
            alike: 0,
        }
    }

    /// Takes in a number of uses at a moment.
    pub fn note(&mut self, uses: u64, at: Timestamp) {
        if let Some(last) = self.last
            && at > last
        {
            let pause = u64::try_from(at.since(last).as_nanos()).unwrap_or(u64::MAX);
            if pause / 2 > self.longest {
                self.alike = 1;
            } else if pause >= self.longest / 2 {
                self.alike = self.alike.saturating_add(1);
            }
            self.longest = self.longest.max(pause);
        }
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = self.last.max(Some(at));
        self.uses = self.uses.saturating_add(uses);
    }
}
