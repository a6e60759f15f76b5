//! What one identity normally does.

mod frozen;

use serde::{Deserialize, Serialize};

use super::anomaly::{Maturity, Reason};
use super::budget::Test;
use super::calendar::Calendar;
use super::callers::Callers;
use super::contact::{Contact, Destination, Phase, Scope, Service, Way};
use super::destinations::{Destinations, Place, Standing, as_f64, day_of};
use super::drift::Drift;
use super::groups::{Groups, Level};
use super::host::{Host, count};
use super::leak::Leak;
use super::novelty::Services;
use super::numbers::{Moments, p_value};
use super::prior::{self, Role};
use super::programs::Programs;
use super::question::{EACH, Question, conduct, rhythm, volume};
use super::tail::Tail;

pub(super) use frozen::Spoken;

/// What a day leaves of the weight of those before: half after thirty.
const DAILY: f32 = 0.977;
/// New destinations that a day can teach: more are tests all the same, and change no habit.
const NEWS: u8 = 8;
/// For so many days a service whose newness was told is not told of again, and of so many.
const TOLD_DAYS: u16 = 7;
const TOLD: usize = 16;
/// Connections in an hour below which nothing is asked.
const RATE: u32 = 16;
/// Hours that must have been watched before it is asked about an hour's connections, and about hours.
const RATE_HOURS: f64 = 6.0;
const HOUR_HOURS: f64 = 240.0;
/// A chance of an act in an hour above which it is not asked about.
const USUAL_HOUR: f64 = 0.05;

/// The least chance of a new address under a name that is known: who owns a name moves it, and not who uses it.
/// But whoever is asked for a name answers what they like, so that it stays a surprise.
const MOVED: f64 = 0.1;
/// A chance of another program to connect by above which it is not asked about.
const USUAL_CALLER: f64 = 0.5;

/// The groups in which programs are things: those that run, and those that connect. No program has such a
/// hash but by chance.
pub(super) const PROGRAMS: u64 = 1;
const CALLERS: u64 = 2;

/// One identity's habits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Baseline {
    /// In seconds of the epoch.
    pub(super) first: u32,
    pub(super) last: u32,
    day: u16,
    news: u8,
    /// Whether its peers know of it.
    #[serde(skip)]
    joined: bool,
    /// Calibration has heard of an alert of it today.
    pub(super) alerted: bool,
    /// The tests whose alerts have taken their part of today's, as bits.
    shown: u16,
    pub(super) destinations: Destinations,
    pub(super) services: Services,
    domains: Tail,
    /// Services whose newness was told, with the day: their next destinations are of the same cause.
    told: Vec<(Service, u16)>,
    /// The day on which it was told that there are too many connections: once a day.
    rate_told: u16,
    pub(super) calendar: Calendar,
    /// Logarithms of the bytes sent to a destination in a day.
    day_sent: Moments,
    pub(super) leak: Leak,
    drift: Drift,
    /// Bytes of the day that goes on.
    sent_today: u64,
    pub(super) programs: Programs,
    callers: Callers,
    /// Of the destinations on the Internet that were new: those without a name, and all.
    unnamed: (f32, f32),
    /// A hash of the program by which it connected last: whose peer it is. 0 for devices.
    pub(super) program: u64,
    /// What operators have said of it, and what waits for their word; stored behind all else.
    #[serde(skip)]
    pub(super) spoken: Spoken,
    /// The database does not know it as it is.
    #[serde(skip)]
    pub(super) is_unstored: bool,
    /// When it was stored last.
    #[serde(skip)]
    pub(super) stored_at: u32,
}

/// Who acts: what its baseline is shrunk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peers {
    /// A hash of the program; 0 where it is not known.
    pub(super) program: u64,
    pub(super) role: Role,
}

impl Baseline {
    /// Bytes that it takes in memory, with all that it points to.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.destinations.heap()
            + self.services.heap()
            + self.domains.heap()
            + self.calendar.heap()
            + self.programs.heap()
            + self.callers.heap()
            + self.spoken.heap()
            + self.told.capacity() * size_of::<(Service, u16)>()
    }

    pub(super) fn maturity(&self) -> Maturity {
        Maturity {
            hours: self.calendar.hours(),
        }
    }

    /// Whether acts can have led to it: what comes from outside may be anything.
    pub(super) fn is_sound(&self) -> bool {
        self.destinations.is_sound()
            && self.services.is_sound()
            && self.domains.is_sound()
            && self.told.len() <= TOLD
            && self.calendar.is_sound()
            && self.day_sent.is_sound()
            && self.leak.is_sound()
            && self.drift.is_sound()
            && self.programs.is_sound()
            && self.callers.is_sound()
            && super::numbers::is_count(self.unnamed.0)
            && super::numbers::is_count(self.unnamed.1)
            && self.spoken.is_sound()
    }

    /// What peers may take from it.
    pub(super) fn teach(&mut self, groups: &mut Groups) {
        self.joined = true;
        groups.join(self.program);
        for known in self.destinations.iter() {
            if known.standing == Standing::Suspect {
                continue;
            }
            for level in [Level::Destination, Level::Network, Level::Service] {
                if level <= known.level.max(Level::Destination) {
                    groups.learn(self.program, level, thing(known.destination, level));
                }
            }
        }
        for program in self.programs.iter() {
            groups.learn(PROGRAMS, Level::Service, program);
        }
    }

    /// Time has come to this second: what has ended is learned, and asked about.
    pub(super) fn advance(&mut self, at: u32, host: &mut Host, ask: &mut Vec<Question>) {
        if self.first == 0 {
            self.first = at;
        }
        self.last = self.last.max(at);
        let hour = at / 3_600;
        let passed = self.calendar.advance(hour);
        // After a long silence its hours say nothing more than that.
        for ended in hour.saturating_sub(passed.min(48))..hour {
            if let Some(p) = self.leak.close(ended) {
                let reason = Reason::Leak {
                    hours: self.leak.since,
                    sent: self.leak.sent_since.into(),
                    usual: self.leak.usual_since.into(),
                };
                ask.push(Question {
                    test: Test::Leak,
                    destination: None,
                    reasons: vec![(reason, p)],
                });
            }
        }
        let day = day_of(at);
        if day > self.day {
            for first in self.destinations.end_day(day, &mut self.day_sent) {
                host.learn_first_day(&first);
            }
            if self.day > 0 {
                self.end_day(ask);
                let kept = (1..(day - self.day).min(365)).fold(DAILY, |kept, _| kept * DAILY);
                self.services.fade(kept);
                self.programs.fade(kept);
                self.callers.fade(kept);
            }
            self.told
                .retain(|(_, told)| day.saturating_sub(*told) < TOLD_DAYS);
            (self.day, self.news, self.alerted, self.shown) = (day, 0, false, 0);
        }
    }

    fn end_day(&mut self, ask: &mut Vec<Question>) {
        let sent = std::mem::take(&mut self.sent_today);
        if let Some(p) = self.drift.close(as_f64(sent)) {
            let reason = Reason::Drift {
                days: self.drift.days,
                sent: self.drift.sent.into(),
                usual: self.drift.usual(),
            };
            ask.push(Question {
                test: Test::Drift,
                destination: None,
                reasons: vec![(reason, p)],
            });
        }
    }

    /// Comes to those that run its program, when it acts for the first time.
    pub(super) fn join(&mut self, peers: Peers, host: &mut Host) {
        if !self.joined {
            self.joined = true;
            host.groups.join(peers.program);
        }
    }

    /// Takes in a contact.
    pub(super) fn contact(
        &mut self,
        at: u32,
        contact: &Contact,
        peers: Peers,
        host: &mut Host,
        ask: &mut Vec<Question>,
    ) {
        self.program = peers.program;
        match contact.phase {
            Phase::Opened => {
                self.rate(ask);
                self.opened(at, contact, peers, host, ask);
            }
            Phase::Carried { sent, received, .. } => {
                self.leak.add(sent);
                self.sent_today = self.sent_today.saturating_add(sent);
                let Place::Table(index) = self.destinations.find(contact.destination) else {
                    return;
                };
                let Some(known) = self.destinations.get_mut(index) else {
                    return;
                };
                known.carried(at, sent, received);
                if known.is_trusted() {
                    let (own, others) = (known.day_sent, self.day_sent);
                    volume(known, &own, &others, ask);
                } else {
                    conduct(known, peers.role, host, ask);
                }
            }
        }
    }

    fn rate(&mut self, ask: &mut Vec<Question>) {
        let calendar = &mut self.calendar;
        calendar.in_hour = calendar.in_hour.saturating_add(1);
        let hour = self.last / 3_600;
        if calendar.in_hour == 1 && calendar.hours() >= HOUR_HOURS {
            let share = calendar.active_chance();
            if share < USUAL_HOUR {
                ask.push(Question {
                    test: Test::Hour,
                    destination: None,
                    reasons: vec![(Reason::Hour { share }, share)],
                });
            }
        }
        let due = RATE.saturating_mul(EACH.saturating_pow(calendar.looked.into()));
        let is_told = self.rate_told == self.day;
        if calendar.in_hour < due || calendar.hours() < RATE_HOURS || is_told {
            return;
        }
        calendar.looked = calendar.looked.saturating_add(1);
        let usual = calendar.mean(hour);
        if f64::from(calendar.in_hour) > 2.0 * usual {
            let count = calendar.in_hour;
            let p = p_value(calendar.rate_tail());
            ask.push(Question {
                test: Test::Rate,
                destination: None,
                reasons: vec![(Reason::Rate { count, usual }, p)],
            });
        }
    }

    fn opened(
        &mut self,
        at: u32,
        contact: &Contact,
        peers: Peers,
        host: &mut Host,
        ask: &mut Vec<Question>,
    ) {
        let destination = contact.destination;
        let service = destination.service();
        let place = self.destinations.find(destination);
        let caller = self.caller(at, peers, host);
        if let Place::Table(index) = place {
            ask.extend(by_another(destination, caller));
            let Some(known) = self.destinations.get_mut(index) else {
                return;
            };
            if known.opened(at) && known.standing != Standing::Suspect {
                self.services.learn(service, Level::Known);
            }
            if !known.is_trusted() {
                rhythm(known, peers.role, host, ask);
            }
            return;
        }
        let is_known = place == Place::Tail;
        let level = if is_known {
            Level::Known
        } else {
            self.level(destination, service, contact)
        };
        let mut novelty = 0.0;
        let is_told = self.told.iter().any(|(of, _)| *of == service);
        if level != Level::Known && !is_told {
            let thing = thing(destination, level);
            let told = host.groups.tell(peers.program, level, thing);
            let mut p = self.services.chance(service, level) * told.chance;
            if level == Level::Service && told.users == 0 {
                p *= prior::service_tail(service, peers.role);
            }
            if level == Level::Destination && self.has_name(contact.name) {
                p = p.max(MOVED);
            }
            let users = told.users;
            let mut reasons = vec![(Reason::New { level, users }, p_value(p))];
            if contact.domain.is_none() && can_have_name(service, peers.role) {
                reasons.push((Reason::Unnamed, host.unnamed_share(self.unnamed)));
            }
            reasons.extend(caller);
            let question = Question {
                test: Test::First,
                destination: Some(destination),
                reasons,
            };
            novelty = libm::log(question.p());
            ask.push(question);
        } else {
            ask.extend(by_another(destination, caller));
        }
        let index = self.destinations.insert(destination, at, novelty, is_known);
        if let Some(known) = self.destinations.get_mut(index) {
            known.opened(at);
            known.level = level;
            if is_told {
                known.standing = Standing::Suspect;
            }
        }
        if is_known {
            self.services.learn(service, Level::Known);
        }
        for name in [contact.domain, contact.name].into_iter().flatten() {
            self.domains.add(name);
        }
    }

    /// Whether the program that connects is new to it, and how unlikely that is.
    fn caller(&mut self, at: u32, peers: Peers, host: &mut Host) -> Option<(Reason, f64)> {
        if peers.program == 0 {
            return None;
        }
        let chance = self.callers.called(peers.program, at / 3_600)?;
        let thing = caller_thing(peers.program);
        let told = host.groups.tell(CALLERS, Level::Service, thing);
        let (users, p) = (told.users, p_value(chance * told.chance));
        if p < USUAL_CALLER {
            return Some((Reason::Caller { users }, p));
        }
        self.learn_caller(peers, host);
        None
    }

    fn learn_caller(&mut self, peers: Peers, host: &mut Host) {
        self.callers.learn();
        if !host.is_held {
            let thing = caller_thing(peers.program);
            host.groups.learn(CALLERS, Level::Service, thing);
        }
    }

    /// A question was answered with "no": what it was about is ordinary.
    pub(super) fn admit(&mut self, question: &Question, peers: Peers, host: &mut Host) {
        if self.news >= NEWS {
            return;
        }
        for (reason, _) in &question.reasons {
            match (question.test, reason, question.destination) {
                (Test::First, Reason::New { level, .. }, Some(destination)) => {
                    self.news += 1;
                    let service = destination.service();
                    self.services.learn(service, *level);
                    if can_have_name(service, peers.role) {
                        let of = question.reasons.iter();
                        let is_unnamed = of.clone().any(|(of, _)| matches!(of, Reason::Unnamed));
                        host.learn_name(is_unnamed);
                        count(&mut self.unnamed, is_unnamed);
                    }
                    for new in [Level::Destination, Level::Network, Level::Service] {
                        if new <= *level {
                            host.groups
                                .learn(peers.program, new, thing(destination, new));
                        }
                    }
                }
                (_, Reason::Caller { .. }, _) => {
                    self.learn_caller(peers, host);
                }
                (Test::Program, ..) => {
                    self.news += 1;
                    self.programs.learn(peers.program, self.last / 3_600);
                    host.groups.learn(PROGRAMS, Level::Service, peers.program);
                }
                _ => {}
            }
        }
    }

    /// Whether this is the first alert of a test today. What comes after it is of the same cause.
    pub(super) fn is_first(&mut self, test: Test) -> bool {
        let bit = 1 << test as u16;
        let is_first = self.shown & bit == 0;
        self.shown |= bit;
        is_first
    }

    fn has_name(&self, name: Option<u64>) -> bool {
        name.is_some_and(|name| self.domains.has(name))
    }

    /// What of a destination is new.
    fn level(&self, destination: Destination, service: Service, contact: &Contact) -> Level {
        if !self.services.has(service) {
            Level::Service
        } else if self.destinations.has_network(destination) || self.has_name(contact.domain) {
            Level::Destination
        } else {
            Level::Network
        }
    }

    /// It was alerted about: what it did is not learned as ordinary.
    pub(super) fn suspect(&mut self, question: &Question) {
        self.alerted = true;
        let is_caller = |(reason, _): &(Reason, f64)| matches!(reason, Reason::Caller { .. });
        if question.reasons.iter().any(is_caller) {
            self.callers.told(self.program);
        }
        let is_new = |(reason, _): &(Reason, f64)| {
            matches!(
                reason,
                Reason::New {
                    level: Level::Service,
                    ..
                }
            )
        };
        if let Some(destination) = question.destination
            && question.reasons.iter().any(is_new)
        {
            if self.told.len() >= TOLD {
                self.told.remove(0);
            }
            self.told.push((destination.service(), self.day));
        }
        match question.test {
            Test::First | Test::Conduct | Test::Volume => {
                let place = question.destination.map(|of| self.destinations.find(of));
                if let Some(Place::Table(index)) = place
                    && let Some(known) = self.destinations.get_mut(index)
                    && known.standing == Standing::New
                {
                    known.standing = Standing::Suspect;
                }
            }
            Test::Rate => {
                self.calendar.quarantine();
                self.rate_told = self.day;
            }
            Test::Leak => self.leak.told(),
            Test::Drift => self.drift.told(),
            Test::Hour | Test::Program | Test::Caller => {}
        }
    }

    /// A program began under it.
    pub(super) fn program(
        &mut self,
        at: u32,
        program: u64,
        host: &mut Host,
        ask: &mut Vec<Question>,
    ) {
        let Some(chance) = self.programs.began(program, at / 3_600) else {
            return;
        };
        let told = host.groups.tell(PROGRAMS, Level::Service, program);
        let p = p_value(chance * told.chance);
        let users = told.users;
        ask.push(Question {
            test: Test::Program,
            destination: None,
            reasons: vec![(Reason::Program { users }, p)],
        });
    }
}

/// It connects by another program to where it is known.
fn by_another(to: Destination, caller: Option<(Reason, f64)>) -> Option<Question> {
    caller.map(|caller| Question {
        test: Test::Caller,
        destination: Some(to),
        reasons: vec![caller],
    })
}

/// Whether a name is asked for such a service as a rule: programs do for what is on the Internet. Devices
/// do too, but not where this host would see it.
fn can_have_name(of: Service, role: Role) -> bool {
    role == Role::Program && of.way == Way::Out && of.scope == Scope::Public
}

/// A program that connects, as one number: another thing than the program that runs.
fn caller_thing(program: u64) -> u64 {
    super::hash(&(CALLERS, program))
}

/// What a level is about, as one number.
pub(super) fn thing(destination: Destination, level: Level) -> u64 {
    let service = destination.service();
    match level {
        Level::Known | Level::Destination => super::hash(&destination),
        Level::Network => super::hash(&(service, destination.network())),
        Level::Service => super::hash(&service),
    }
}
