//! What an operator says of a baseline.

use super::{Detector, Outcome};
use crate::baseline::WordView;
use crate::model::{BaselineWord, DetectionId, Timestamp, Word};

/// What speaks by a baseline.
const SCORED: [DetectionId; 7] = [
    DetectionId::NewDestination,
    DetectionId::UnusualRate,
    DetectionId::UnusualVolume,
    DetectionId::Beacon,
    DetectionId::UnusualHour,
    DetectionId::SlowExfiltration,
    DetectionId::NewProgram,
];

impl Detector {
    pub(super) fn said_of_baseline(
        &mut self,
        said: &BaselineWord,
        now: Timestamp,
        outcome: &mut Outcome,
    ) {
        let mut view = self.state.baselines.say(said, now);
        // A cause that a person has just spoken about starts anew.
        if matches!(said.word, Word::Approve | Word::Forget) {
            for id in SCORED {
                let ended = self.folds.end_of(id, said.identity.as_str());
                view.alerts += (ended.sums.len() + ended.silent.len()) as u64;
                outcome.take_ended(ended);
            }
        }
        self.said = Some(view);
    }

    /// What the latest word about a baseline did, where that was not asked for yet.
    pub fn take_said(&mut self) -> Option<WordView> {
        self.said.take()
    }
}
