//! `credwatch replay`: the pipeline over a recording, without kernel, root or clock.

use std::io::BufRead;

use super::{Reader, RecordingError};
use crate::config::DetectionConfig;
use crate::detection::Detector;
use crate::model::{Alert, Timestamp};

/// Runs every fact of a recording through a fresh pipeline and hands on its alerts, in their
/// order. The same bytes in give the same alerts out.
///
/// # Errors
/// Where the recording is damaged; what stood before was handed on.
pub fn replay(
    from: impl BufRead,
    settings: DetectionConfig,
    mut alert: impl FnMut(Alert),
) -> Result<Replayed, RecordingError> {
    let mut detector = Detector::new(settings);
    let mut replayed = Replayed::default();
    let mut error = None;
    for record in Reader::new(from)? {
        match record {
            Ok(record) => {
                replayed.facts += 1;
                replayed.end = record.time;
                let outcome = detector.step(&record);
                replayed.alerts += outcome.alerts.len() as u64;
                outcome.alerts.into_iter().for_each(&mut alert);
            }
            Err(damage) => error = Some(damage),
        }
    }
    let last = detector.finish();
    replayed.alerts += last.len() as u64;
    last.into_iter().for_each(&mut alert);
    error.map_or(Ok(replayed), Err)
}

/// What a replay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Facts taken in.
    pub facts: u64,
    /// Alerts handed on, the sums of repeats included.
    pub alerts: u64,
    /// The time of the last fact.
    pub end: Timestamp,
}
