//! What a detector told, in the one form in which all are judged.

use std::net::IpAddr;

use crate::model::{Alert, AlertStatus, DetectionId, Selector, Timestamp};

/// An alert, or a repeat that was counted on one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When an operator could have seen it.
    pub time: Timestamp,
    /// About whom.
    pub identity: Option<Selector>,
    /// About which other end, where it speaks of one.
    pub destination: Option<(IpAddr, u16)>,
    /// Which detection of ours.
    pub id: Option<DetectionId>,
    /// Whether it came as an alert of its own; else an open one counted it.
    pub is_new: bool,
}

impl Told {
    /// Of an alert of ours that came with a fact of this time. `None` for sums of what was told before.
    pub fn of(alert: &Alert, now: Timestamp, is_new: bool) -> Option<Self> {
        if alert.status == AlertStatus::Ended {
            return None;
        }
        let time = if is_new { alert.time } else { alert.last_time };
        let destination = alert.destination.as_ref();
        Some(Self {
            // What waits for more before it is told cannot be seen earlier.
            time: time.max(now),
            identity: alert.identity.clone(),
            destination: destination.map(|of| (of.address.to_canonical(), of.port)),
            id: Some(alert.id),
            is_new,
        })
    }
}

/// Whether a detection is a score under the budget, and no rule.
pub fn is_scored(id: DetectionId) -> bool {
    id.as_str().starts_with("CW-3")
}

/// What one detector told at one budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Whose: `credwatch`, `first-seen`.
    pub detector: String,
    /// False alerts a host and day that it was allowed; `None` for what knows no budget.
    pub budget: Option<f64>,
    /// In the order of time.
    pub told: Vec<Told>,
}
