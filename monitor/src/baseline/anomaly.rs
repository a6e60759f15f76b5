//! What is out of the ordinary, with all that a person has to know to judge it.

use serde::{Deserialize, Serialize};

use super::budget::Test;
use super::contact::Destination;
use super::groups::Level;
use crate::model::DetectionId;

/// One thing that is not as usual, and how unlikely it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Reason {
    /// A destination that is new.
    New {
        /// What of it.
        level: Level,
        /// Others of this host that have used it.
        users: u32,
    },
    /// Bytes to or from a destination that is new, in its first day.
    Carried {
        /// Sent.
        sent: u64,
        /// Received.
        received: u64,
    },
    /// A new destination that never answers.
    Silent {
        /// How often it was called.
        times: u32,
    },
    /// A new destination that is called in a rhythm.
    Rhythm {
        /// Calls.
        times: u32,
        /// Seconds from one to the next, as the middle of their logarithms.
        period: f64,
        /// How far they spread around it: the standard deviation of their logarithms.
        spread: f64,
    },
    /// Connections in this hour.
    Rate {
        /// How many.
        count: u32,
        /// How many are usual.
        usual: f64,
    },
    /// Bytes to a known destination on this day.
    Volume {
        /// How many.
        sent: u64,
        /// How many are usual.
        usual: f64,
    },
    /// An act in an hour in which there is none.
    Hour {
        /// In how many of such hours there was one.
        share: f64,
    },
    /// More than usual for some hours.
    Leak {
        /// For how many.
        hours: u16,
        /// Bytes in them.
        sent: f64,
        /// Bytes that are usual in such hours.
        usual: f64,
    },
    /// More in a day than when it was watched first, for some days.
    Drift {
        /// For how many.
        days: u16,
        /// Bytes in them.
        sent: f64,
        /// Bytes that were usual in a day.
        usual: f64,
    },
    /// A new destination for which no name was asked.
    Unnamed,
    /// A program by which this identity never connected.
    Caller {
        /// Others of this host that connect by it.
        users: u32,
    },
    /// A program that never ran under this identity.
    Program {
        /// Others of this host that have run it.
        users: u32,
    },
}

impl Reason {
    /// The detection that it speaks for.
    fn id(&self) -> DetectionId {
        match self {
            Self::New { .. } | Self::Unnamed | Self::Silent { .. } => DetectionId::NewDestination,
            Self::Carried { .. } | Self::Volume { .. } => DetectionId::UnusualVolume,
            Self::Rhythm { .. } => DetectionId::Beacon,
            Self::Rate { .. } => DetectionId::UnusualRate,
            Self::Hour { .. } => DetectionId::UnusualHour,
            Self::Leak { .. } | Self::Drift { .. } => DetectionId::SlowExfiltration,
            Self::Caller { .. } | Self::Program { .. } => DetectionId::NewProgram,
        }
    }
}

/// How much a baseline knows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Maturity {
    /// Hours that were watched.
    pub hours: f64,
}

/// Hours after which a baseline has seen what there is: two weeks.
pub(super) const MATURE: f64 = 14.0 * 24.0;

/// What names an alert is at least so unlikely.
const UNLIKELY: f64 = 0.3;

impl Maturity {
    /// From 0 to 1.
    pub fn share(self) -> f64 {
        (self.hours / MATURE).min(1.0)
    }
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// The test that found it.
    pub test: Test,
    /// The other end, where it is about one.
    pub destination: Option<Destination>,
    /// What is unusual, each with its own chance.
    pub reasons: Vec<(Reason, f64)>,
    /// The chance of all of it together on an ordinary day.
    pub p: f64,
    /// What the test might be wrong with.
    pub alpha: f64,
    /// How much is known of the identity.
    pub maturity: Maturity,
}

impl Anomaly {
    /// The detection of the most unlikely of its reasons. That a destination is new is not what its
    /// conduct is told for, unless nothing of that is unlikely by itself.
    pub fn id(&self) -> DetectionId {
        let is_conduct = self.test == Test::Conduct;
        let least = self.reasons.iter();
        let least = least.filter(|(reason, p)| {
            !is_conduct || (*p < UNLIKELY && !matches!(reason, Reason::New { .. }))
        });
        let least = least.min_by(|left, right| left.1.total_cmp(&right.1));
        least.map_or(DetectionId::NewDestination, |(reason, _)| reason.id())
    }
}
