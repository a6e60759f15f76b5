//! Time in which nobody watched is no silence: calendars go over it.

use super::{Baselines, seconds};
use crate::model::Timestamp;

impl Baselines {
    /// Nobody watched between these moments, nor since the last act if that was before.
    pub fn unwatched(&mut self, from: Timestamp, to: Timestamp) {
        let (from, to) = (seconds(from).max(self.ledger.until), seconds(to));
        let mut unasked = std::mem::take(&mut self.questions);
        for (_, baseline) in &mut self.identities {
            let (last, hour) = (baseline.last, baseline.calendar.hour());
            if hour == 0 || hour >= to / 3_600 {
                continue;
            }
            // Until then it was watched, and what did not happen did not happen. Nothing is asked of
            // it: what has grown until now is asked about at the end of the next hour.
            let mut frozen = baseline.spoken.frozen.take();
            let host = match &frozen {
                Some(_) => &mut self.apart,
                None => &mut self.host,
            };
            baseline.advance(from.min(to), host, &mut unasked);
            unasked.clear();
            baseline.last = last;
            if baseline.calendar.hour() < to / 3_600 {
                baseline.skip(to / 3_600);
            }
            if let Some(frozen) = &mut frozen {
                frozen.unwatched(from.min(to), to, &mut self.apart);
                frozen.hold(baseline);
            }
            baseline.spoken.frozen = frozen;
            baseline.is_unstored = true;
        }
        self.questions = unasked;
        self.ledger.until = self.ledger.until.max(to);
    }

    /// The clock was set. Ahead of it nobody watched; where it goes back, hours begin anew.
    pub fn clock_set(&mut self, from: Timestamp, to: Timestamp) {
        if to >= from {
            self.unwatched(from, to);
            return;
        }
        let to = seconds(to);
        self.digest.set_back(to);
        for (_, baseline) in &mut self.identities {
            if baseline.calendar.hour() > to / 3_600 {
                baseline.skip(to / 3_600);
                if let Some(frozen) = &mut baseline.spoken.frozen {
                    frozen.skip(to / 3_600);
                }
                baseline.is_unstored = true;
            }
        }
        self.ledger.until = to;
    }
}
