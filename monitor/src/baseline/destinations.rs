//! The destinations of one identity: a bounded table of those that matter, and a memory of the rest.

mod held;

use serde::{Deserialize, Serialize};

use super::contact::{Destination, Scope};
use super::groups::Level;
use super::numbers::Moments;
use super::tail::Tail;

/// Most destinations that are kept one by one.
pub(super) const MOST: usize = 64;
/// A destination is trusted after contacts on as many days.
const TRUSTED_DAYS: u16 = 3;
/// What a day's rest leaves of a destination's weight: half after thirty.
const DAILY: f32 = 0.977;
/// Openings within so many seconds are one: a retry is no rhythm.
const ONE_OPENING: u32 = 2;
/// Gaps that count for a rhythm.
const GAPS: f64 = 64.0;
/// So many openings without an answer are a silence, and so many gaps may be a rhythm.
const SILENT: u32 = 3;
pub(super) const RHYTHM: f64 = 6.0;
/// Days that count for what is ordinary to send.
const DAYS: f64 = 30.0;

/// How far a destination is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Seen on too few days to be ordinary.
    New,
    /// It was alerted about: time alone does not make it ordinary.
    Suspect,
    /// Ordinary.
    Trusted,
    /// An operator said that it is.
    Approved,
}

/// One destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) destination: Destination,
    /// In seconds of the epoch.
    pub(super) first: u32,
    pub(super) last: u32,
    /// Days with contact, and the last of them as days of the epoch.
    pub(super) days: u16,
    last_day: u16,
    /// Whether the last day has not been learned yet.
    is_open: bool,
    /// Hours with contact, old ones fading.
    pub(super) sittings: f32,
    pub(super) opened: u32,
    /// Times that it was told what was carried, and those in which anything came back.
    pub(super) carried: u32,
    pub(super) answered: u32,
    /// Logarithms of the seconds between openings.
    pub(super) gaps: Moments,
    /// Logarithms of the bytes sent in a day.
    pub(super) day_sent: Moments,
    pub(super) sent_today: u64,
    pub(super) received_today: u64,
    /// What was new of it, and the logarithm of the chance of that.
    pub(super) level: Level,
    pub(super) novelty: f32,
    /// Looks that were already taken: powers of two of bytes, of gaps, and the unanswered.
    pub(super) looked: Looked,
    pub(super) standing: Standing,
}

/// How far the looks at a destination have come: each is one test, and a test is taken once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Looked {
    pub(super) bytes: u8,
    pub(super) gaps: u8,
    pub(super) unanswered: bool,
}

impl Known {
    fn new(destination: Destination, at: u32, novelty: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a logarithm of few digits")]
        let novelty = novelty as f32;
        Self {
            destination,
            first: at,
            last: at,
            days: 0,
            last_day: 0,
            is_open: false,
            sittings: 0.0,
            opened: 0,
            carried: 0,
            answered: 0,
            gaps: Moments::default(),
            day_sent: Moments::default(),
            sent_today: 0,
            received_today: 0,
            level: Level::Known,
            novelty,
            looked: Looked::default(),
            standing: Standing::New,
        }
    }

    /// Whether it was called a few times and never answered. Groups do not answer.
    pub(super) fn is_silent(&self) -> bool {
        self.carried >= SILENT
            && self.answered == 0
            && self.destination.service().scope != Scope::Group
    }

    fn is_sound(&self) -> bool {
        self.gaps.is_sound()
            && self.day_sent.is_sound()
            && super::numbers::is_count(self.sittings)
            && self.novelty.is_finite()
    }

    pub(super) fn is_trusted(&self) -> bool {
        matches!(self.standing, Standing::Trusted | Standing::Approved)
    }

    /// An opening. Returns whether it begins a new hour of contact.
    pub(super) fn opened(&mut self, at: u32) -> bool {
        let is_first = self.opened == 0;
        self.opened = self.opened.saturating_add(1);
        let gap = at.saturating_sub(self.last);
        if !is_first && gap >= ONE_OPENING {
            self.gaps.add(libm::log(f64::from(gap)), GAPS);
        }
        let is_new_hour = is_first || at / 3_600 != self.last / 3_600;
        if is_new_hour {
            self.sittings += 1.0;
        }
        self.touch(at);
        is_new_hour
    }

    /// What was carried.
    pub(super) fn carried(&mut self, at: u32, sent: u64, received: u64) {
        self.carried = self.carried.saturating_add(1);
        self.answered = self.answered.saturating_add(u32::from(received > 0));
        self.touch(at);
        self.sent_today = self.sent_today.saturating_add(sent);
        self.received_today = self.received_today.saturating_add(received);
    }

    fn touch(&mut self, at: u32) {
        self.last = self.last.max(at);
        let day = day_of(at);
        if day <= self.last_day {
            return;
        }
        if self.days > 0 {
            self.sittings *= powi(DAILY, day - self.last_day);
        }
        self.last_day = day;
        self.is_open = true;
        self.days = self.days.saturating_add(1);
        if self.standing == Standing::New && self.days >= TRUSTED_DAYS {
            self.standing = Standing::Trusted;
        }
    }

    /// Its day is over. What was sent in it is learned, unless it is suspect.
    fn end_day(&mut self, identity: &mut Moments) -> Option<FirstDay> {
        let (sent, received) = (self.sent_today, self.received_today);
        (self.sent_today, self.received_today) = (0, 0);
        self.looked.bytes = 0;
        if self.standing == Standing::Suspect {
            return None;
        }
        let logarithm = super::numbers::log_bytes(as_f64(sent));
        self.day_sent.add(logarithm, DAYS);
        identity.add(logarithm, DAYS * 4.0);
        (self.days == 1).then(|| FirstDay {
            sent,
            received,
            is_told: self.carried > 0,
            is_silent: self.is_silent(),
            rhythm: (self.gaps.weight() >= RHYTHM).then(|| super::numbers::regularity(&self.gaps)),
        })
    }

    /// How much it would be missed.
    fn worth(&self, now: u32) -> f32 {
        let age = day_of(now).saturating_sub(self.last_day);
        let kept = if self.is_trusted() { 4.0 } else { 1.0 };
        kept * self.sittings * powi(DAILY, age)
    }
}

/// What a destination was on the day on which it was new: what others that are new are held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FirstDay {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Whether anything told what was carried.
    pub(super) is_told: bool,
    /// Whether it was called a few times and never answered.
    pub(super) is_silent: bool,
    /// How regular it was, where it was called often enough.
    pub(super) rhythm: Option<f64>,
}

pub(super) fn day_of(at: u32) -> u16 {
    u16::try_from(at / 86_400).unwrap_or(u16::MAX)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "of bytes, the first digits matter"
)]
pub(super) fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

/// By squaring, so that every machine rounds alike.
fn powi(base: f32, mut exponent: u16) -> f32 {
    let (mut result, mut square) = (1.0_f32, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= square;
        }
        square *= square;
        exponent >>= 1;
    }
    result
}

/// The table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Destinations {
    table: Vec<Known>,
    tail: Tail,
}

/// Where a destination was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the table, at this index.
    Table(usize),
    /// It was trusted once, and has left the table.
    Tail,
    /// Nowhere.
    None,
}

impl Destinations {
    pub(super) fn find(&self, destination: Destination) -> Place {
        match self
            .table
            .iter()
            .position(|of| of.destination == destination)
        {
            Some(index) => Place::Table(index),
            None if self.tail.has(super::hash(&destination)) => Place::Tail,
            None => Place::None,
        }
    }

    /// Whether any of the same service lies in the same network.
    pub(super) fn has_network(&self, destination: Destination) -> bool {
        let (service, network) = (destination.service(), destination.network());
        let mut table = self.table.iter();
        table.any(|of| of.destination.network() == network && of.destination.service() == service)
            || self.tail.has(super::hash(&(service, network)))
    }

    /// Puts it into the table, in the place of what would be missed least. Returns its index.
    pub(super) fn insert(
        &mut self,
        destination: Destination,
        at: u32,
        novelty: f64,
        of_tail: bool,
    ) -> usize {
        let mut known = Known::new(destination, at, novelty);
        if of_tail {
            known.standing = Standing::Trusted;
        }
        if self.table.len() < MOST {
            // One at a time: most identities have a few, and there are many identities.
            self.table.reserve_exact(1);
            self.table.push(known);
            return self.table.len() - 1;
        }
        let worths = self.table.iter().map(|of| of.worth(at)).enumerate();
        let least = worths.min_by(|left, right| left.1.total_cmp(&right.1));
        let index = least.map_or(0, |(index, _)| index);
        let left = std::mem::replace(&mut self.table[index], known);
        if left.is_trusted() {
            let of = left.destination;
            self.tail.add(super::hash(&of));
            self.tail.add(super::hash(&(of.service(), of.network())));
        }
        index
    }

    /// The day before `day` is over for all that had a contact in it.
    pub(super) fn end_day(&mut self, day: u16, identity: &mut Moments) -> Vec<FirstDay> {
        let had = self.table.iter_mut();
        let had = had.filter(|of| of.last_day < day && of.is_open);
        had.filter_map(|of| {
            of.is_open = false;
            of.end_day(identity)
        })
        .collect()
    }

    pub(super) fn is_sound(&self) -> bool {
        self.table.len() <= MOST && self.tail.is_sound() && self.table.iter().all(Known::is_sound)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Known> {
        self.table.get_mut(index)
    }

    pub(super) fn heap(&self) -> usize {
        self.table.capacity() * size_of::<Known>() + self.tail.heap()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.table.iter()
    }
}
