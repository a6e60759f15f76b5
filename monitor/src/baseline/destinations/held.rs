//! Destinations of a baseline that is frozen, and of one that is approved.

use super::{Destinations, Known, MOST, Place, Standing};
use crate::baseline::contact::Destination;
use crate::baseline::groups::Level;

/// What an operator made ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::baseline) struct Approved {
    pub(in crate::baseline) destination: Destination,
    pub(in crate::baseline) level: Level,
    /// How far it was believed before.
    pub(in crate::baseline) was: Standing,
}

impl Known {
    /// As it is now, but no more trusted than a stranger, however many days it comes.
    fn stranger(&self) -> Self {
        let standing = match self.standing {
            Standing::Suspect => Standing::Suspect,
            _ => Standing::New,
        };
        Self {
            standing,
            days: self.days.min(1),
            ..self.clone()
        }
    }
}

impl Destinations {
    /// Goes on from `now`, in which more was learned since, without having learned it: what was
    /// trusted before is as it was but for the day that goes on, and all else is a stranger still.
    pub(in crate::baseline) fn go_on(&mut self, now: &Self) {
        for known in &mut self.table {
            let mut others = now.table.iter();
            let other = others.find(|of| of.destination == known.destination);
            match other {
                Some(other) if known.is_trusted() => {
                    (known.last, known.last_day) = (other.last, other.last_day);
                    known.is_open = other.is_open;
                    known.sent_today = other.sent_today;
                    known.received_today = other.received_today;
                    known.looked = other.looked;
                }
                Some(other) => *known = other.stranger(),
                // It had to leave for another.
                None => {
                    known.is_open = false;
                    (known.sent_today, known.received_today) = (0, 0);
                    known.looked.bytes = 0;
                }
            }
        }
        // None has to leave for a stranger. First what was told, so that it is not told again.
        for is_suspect in [true, false] {
            for other in &now.table {
                if (other.standing == Standing::Suspect) == is_suspect
                    && self.table.len() < MOST
                    && self.find(other.destination) == Place::None
                {
                    self.table.reserve_exact(1);
                    self.table.push(other.stranger());
                }
            }
        }
    }

    /// What is trusted stays so, and nothing else becomes so by coming again.
    pub(in crate::baseline) fn hold(&mut self) {
        for known in self.table.iter_mut().filter(|of| !of.is_trusted()) {
            *known = known.stranger();
        }
    }

    /// Believes all of them, by an operator's word. Returns those that were not believed.
    pub(in crate::baseline) fn approve(&mut self) -> Vec<Approved> {
        let strangers = self.table.iter_mut().filter(|of| !of.is_trusted());
        strangers
            .map(|known| {
                let was = std::mem::replace(&mut known.standing, Standing::Approved);
                Approved {
                    destination: known.destination,
                    level: known.level,
                    was,
                }
            })
            .collect()
    }
}
