//! A baseline that an operator froze: the identity is held against what was known of it at that moment.
//!
//! There are three of it. The *reference* is what was known, and nothing but an operator's word ever
//! changes it. The baseline that is asked counts what goes on, and at each hour and each day is made
//! of the reference again, so that what it learns in between is lost. The third learns on *apart* as
//! if nothing were frozen, and is asked nothing: it is what an operator approves.

use serde::{Deserialize, Serialize};

use super::{Baseline, PROGRAMS, Peers, thing};
use crate::baseline::contact::Destination;
use crate::baseline::destinations::{Place, Standing};
use crate::baseline::groups::{Groups, Level};
use crate::baseline::host::Host;
use crate::baseline::question::Question;

/// Programs that were told and are remembered until an operator speaks; beyond, the oldest is forgotten.
const PROGRAMS_TOLD: usize = 24;
/// Longest texts of an operator that are kept here, in bytes. The history has them whole.
const BY: usize = 64;
const REASON: usize = 512;

/// What operators have said of a baseline, and what waits for their word.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::baseline) struct Spoken {
    pub(in crate::baseline) frozen: Option<Box<Frozen>>,
    /// Programs that were told, by hash of their paths.
    programs: Vec<u64>,
}

/// A baseline that was frozen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::baseline) struct Frozen {
    /// In seconds of the epoch.
    pub(in crate::baseline) since: u32,
    /// Who said so, and why.
    pub(in crate::baseline) by: String,
    pub(in crate::baseline) reason: String,
    /// The hour at which the baseline was last made of the reference, as hours of the epoch.
    held: u32,
    reference: Baseline,
    apart: Baseline,
}

/// How many things are ordinary that were not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::baseline) struct Ordinary {
    pub(in crate::baseline) destinations: u64,
    pub(in crate::baseline) programs: u64,
}

impl Spoken {
    /// Whether acts and words can have led to it.
    pub(in crate::baseline) fn is_sound(&self) -> bool {
        self.programs.len() <= PROGRAMS_TOLD
            && self.frozen.as_ref().is_none_or(|of| {
                of.by.len() <= BY
                    && of.reason.len() <= REASON
                    && of.reference.is_sound()
                    && of.apart.is_sound()
            })
    }

    pub(super) fn heap(&self) -> usize {
        let frozen = self.frozen.as_ref().map_or(0, |of| {
            let texts = of.by.capacity() + of.reason.capacity();
            texts + size_of::<Frozen>() - 2 * size_of::<Baseline>()
                + of.reference.bytes()
                + of.apart.bytes()
        });
        frozen + self.programs.capacity() * size_of::<u64>()
    }

    /// A program was told.
    pub(in crate::baseline) fn program_told(&mut self, program: u64) {
        if self.programs.contains(&program) {
            return;
        }
        if self.programs.len() >= PROGRAMS_TOLD {
            self.programs.remove(0);
        }
        self.programs.push(program);
    }
}

impl Frozen {
    /// Takes an act into what learns apart.
    pub(in crate::baseline) fn learn_apart(
        &mut self,
        at: u32,
        peers: Peers,
        host: &mut Host,
        act: impl FnOnce(&mut Baseline, u32, &mut Host, &mut Vec<Question>),
    ) {
        let mut unasked = Vec::new();
        self.apart.advance(at, host, &mut unasked);
        act(&mut self.apart, at, host, &mut unasked);
        for question in unasked {
            self.apart.admit(&question, peers, host);
        }
    }

    /// Nobody watched between these moments.
    pub(in crate::baseline) fn unwatched(&mut self, from: u32, to: u32, host: &mut Host) {
        self.apart.advance(from, host, &mut Vec::new());
        if self.apart.calendar.hour() < to / 3_600 {
            self.apart.skip(to / 3_600);
        }
    }

    /// Nobody watched until this hour.
    pub(in crate::baseline) fn skip(&mut self, hour: u32) {
        self.apart.skip(hour);
    }

    /// Time has passed: what `baseline` has learned is lost.
    pub(in crate::baseline) fn hold(&mut self, baseline: &mut Baseline) {
        let hour = baseline.calendar.hour();
        if hour == self.held {
            return;
        }
        if hour / 24 == self.held / 24 {
            baseline.hold_hour(&self.reference);
        } else {
            baseline.go_on_from(&self.reference);
        }
        self.held = hour;
    }

    /// What days are held against does not move, whatever was told of it.
    pub(in crate::baseline) fn hold_days(&self, baseline: &mut Baseline) {
        baseline.drift.learn_as(&self.reference.drift);
    }
}

impl Baseline {
    /// What peers may take from it after a restart: of one that is frozen, what was known then.
    pub(in crate::baseline) fn teach_again(&mut self, groups: &mut Groups) {
        match &mut self.spoken.frozen {
            Some(frozen) => {
                frozen.reference.teach(groups);
                self.joined = true;
            }
            None => self.teach(groups),
        }
    }

    /// Nobody watched until this hour.
    pub(in crate::baseline) fn skip(&mut self, hour: u32) {
        self.calendar.skip(hour);
        self.leak.skip();
    }

    /// What hours and days are held against is the reference's; what goes on is its own.
    fn hold_hour(&mut self, reference: &Self) {
        self.calendar.learn_as(&reference.calendar);
        self.leak.learn_as(&reference.leak);
        self.drift.learn_as(&reference.drift);
    }

    /// All that was learned is the reference's. What goes on, evidence that grows over days, and what
    /// was told already, is its own; and what is new since stays known as new.
    fn go_on_from(&mut self, reference: &Self) {
        self.hold_hour(reference);
        let now = std::mem::take(&mut self.destinations);
        self.destinations = reference.destinations.clone();
        self.destinations.go_on(&now);
        self.services = reference.services.clone();
        self.domains = reference.domains.clone();
        self.programs = reference.programs.clone();
        // Which programs were asked about is of that day.
        self.programs.fade(1.0);
        self.day_sent = reference.day_sent;
        self.unnamed = reference.unnamed;
        let now = std::mem::replace(&mut self.callers, reference.callers.clone());
        self.callers.go_on(&now);
    }

    /// Learns nothing from now on.
    pub(in crate::baseline) fn freeze(&mut self, at: u32, by: &str, reason: &str) {
        if self.spoken.frozen.is_some() {
            return;
        }
        let reference = Self {
            spoken: Spoken::default(),
            ..self.clone()
        };
        self.destinations.hold();
        self.spoken.frozen = Some(Box::new(Frozen {
            since: at,
            by: cut(by, BY),
            reason: cut(reason, REASON),
            held: self.calendar.hour(),
            apart: reference.clone(),
            reference,
        }));
    }

    /// Learns again, from where it was frozen.
    pub(in crate::baseline) fn unfreeze(&mut self) {
        if let Some(frozen) = self.spoken.frozen.take() {
            self.go_on_from(&frozen.reference);
        }
    }

    /// All that it did is ordinary: also what it did while it was frozen, and what it sends.
    pub(in crate::baseline) fn approve(&mut self, groups: &mut Groups) -> Ordinary {
        let programs = std::mem::take(&mut self.spoken.programs);
        let Some(mut frozen) = self.spoken.frozen.take() else {
            return self.believe(&programs, groups);
        };
        let Frozen {
            reference, apart, ..
        } = &mut *frozen;
        // What was learned apart was not taught to peers.
        let mut trusted = 0;
        for known in apart.destinations.iter() {
            if reference.destinations.find(known.destination) == Place::None {
                trusted += u64::from(known.is_trusted());
                teach(groups, apart.program, known.destination, known.level);
            }
        }
        let mut learned = 0;
        for program in apart.programs.iter() {
            if !reference.programs.iter().any(|of| of == program) {
                learned += 1;
                groups.learn(PROGRAMS, Level::Service, program);
            }
        }
        let mut ordinary = apart.believe(&programs, groups);
        ordinary.destinations += trusted;
        ordinary.programs += learned;
        reference.clone_from(apart);
        self.go_on_from(&frozen.reference);
        self.leak.told();
        self.told.clear();
        self.spoken.frozen = Some(frozen);
        ordinary
    }

    fn believe(&mut self, programs: &[u64], groups: &mut Groups) -> Ordinary {
        let mut ordinary = Ordinary::default();
        for of in self.destinations.approve() {
            ordinary.destinations += 1;
            let service = of.destination.service();
            if !self.services.has(service) {
                self.services.learn(service, Level::Service);
            } else if of.was == Standing::Suspect {
                self.services.learn(service, of.level);
            }
            // What was not told was taught when it was new.
            if of.was == Standing::Suspect {
                teach(groups, self.program, of.destination, of.level);
            }
        }
        for program in programs {
            if !self.programs.iter().any(|of| of == *program) {
                ordinary.programs += 1;
                self.programs.learn(*program, self.last / 3_600);
                groups.learn(PROGRAMS, Level::Service, *program);
            }
        }
        ordinary.programs += self.callers.approve();
        self.told.clear();
        self.leak.told();
        self.drift.told();
        ordinary
    }
}

fn teach(groups: &mut Groups, program: u64, destination: Destination, level: Level) {
    for of in [Level::Destination, Level::Network, Level::Service] {
        if of <= level.max(Level::Destination) {
            groups.learn(program, of, thing(destination, of));
        }
    }
}

/// The start of a text, in whole characters.
fn cut(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
