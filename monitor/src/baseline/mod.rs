//! Baselines: what each identity normally does, learned from its own acts and those of its peers, and how
//! unlikely the next act is. Pure over (act, state, time of the act), and bounded.
//!
//! An act becomes *questions* ("is this new destination too unlikely?"), each with a p-value made of reasons
//! that a person can read. The p-value is corrected by how often the like of it came on this host
//! (`calibration`), and held against what the host's budget of false alerts leaves for one question
//! (`budget`). What is told is an [`Anomaly`]; what it is about is not learned as ordinary.

mod anomaly;
mod budget;
mod calendar;
mod calibration;
mod callers;
mod contact;
mod destinations;
mod digest;
mod drift;
mod groups;
mod habits;
mod host;
mod identity;
mod leak;
mod novelty;
mod numbers;
mod prior;
mod programs;
mod question;
mod stored;
mod tail;
mod unwatched;
mod words;

use std::hash::{Hash, Hasher};

use hashlink::{LinkedHashMap, LruCache};
use siphasher::sip::SipHasher13;

pub use anomaly::{Anomaly, Maturity, Reason};
pub use budget::Test;
pub use contact::{Contact, Destination, Phase, Scope, Service, Way};
pub use destinations::Standing;
pub use digest::{DigestView, Untold, UntoldView};
pub use groups::Level;
pub use habits::{BaselineList, BaselineSummary, Habit, Habits};
pub use prior::Role;
pub use stored::{StoredError, Unstored, VERSION};
pub use words::{FrozenView, WordError, WordView};

use crate::model::{Selector, Timestamp};
use anomaly::MATURE;
use digest::Digest;
use host::Host;
use identity::{Baseline, Peers};
use question::Question;

/// Most identities that have a baseline. Beyond, the one is forgotten that has not acted for longest.
const IDENTITIES: usize = 16_384;

/// Most programs whose paths are kept for people, and the longest path.
const NAMES: usize = 1_024;
const NAME: usize = 256;

/// Of a thing that baselines remember. It is stored, so it is the same in every version.
pub fn hash(of: &impl Hash) -> u64 {
    let mut hasher = SipHasher13::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Who acts.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// The identity.
    pub identity: &'a Selector,
    /// The program by which it acts, where it is known: what its peers are told by.
    pub program: Option<&'a str>,
    /// What it is.
    pub role: Role,
}

/// The baselines of a host.
#[derive(Debug)]
pub struct Baselines {
    identities: LinkedHashMap<Selector, Box<Baseline>>,
    host: Host,
    /// What those that are frozen would teach. Nobody asks it.
    apart: Host,
    /// Kept, so that an act without questions allocates nothing.
    questions: Vec<Question>,
    /// Identities that were forgotten, because there are too many.
    forgotten: u64,
    /// Paths of programs by their hash, for people.
    names: LruCache<u64, String>,
    /// What was asked about and not told.
    digest: Digest,
    /// What the database does not know yet.
    ledger: stored::Ledger,
}

impl Default for Baselines {
    fn default() -> Self {
        Self::new(1.0)
    }
}

impl Baselines {
    /// Knows nothing yet, and tells of as many ordinary things a day as being out of the ordinary.
    pub fn new(budget: f64) -> Self {
        Self {
            identities: LinkedHashMap::new(),
            host: Host::new(budget),
            apart: Host::new(budget),
            questions: Vec::new(),
            forgotten: 0,
            names: LruCache::new(NAMES),
            digest: Digest::default(),
            ledger: stored::Ledger::default(),
        }
    }

    /// Goes by another budget from now on.
    pub fn set_budget(&mut self, budget: f64) {
        self.host.budget.set(budget);
    }

    /// How many identities have one.
    pub fn len(&self) -> usize {
        self.identities.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// Bytes that the baseline of an identity takes in memory.
    pub fn bytes(&self, identity: &Selector) -> Option<usize> {
        self.identities.get(identity).map(|of| of.bytes())
    }

    /// How many alerts the budget held back on the day that goes on.
    pub fn held_back(&self) -> u64 {
        self.host.budget.held_back
    }

    /// What was asked about since a moment and not told, the least likely first. The sentences are made
    /// elsewhere.
    pub fn digest(&self, since: Timestamp) -> (DigestView, Vec<&Untold>) {
        self.digest.since(since, self.host.budget.per_day())
    }

    /// Takes in a contact.
    pub fn contact(&mut self, who: Who<'_>, contact: &Contact) -> Vec<Anomaly> {
        let peers = Peers {
            program: who.program.map_or(0, |program| hash(&program)),
            role: who.role,
        };
        self.act(who, peers, contact.time, |baseline, at, host, ask| {
            baseline.contact(at, contact, peers, host, ask);
        })
    }

    /// A program begins under an identity.
    pub fn began(&mut self, who: Who<'_>, time: Timestamp) -> Vec<Anomaly> {
        let Some(program) = who.program else {
            return Vec::new();
        };
        let peers = Peers {
            program: hash(&program),
            role: who.role,
        };
        if program.len() <= NAME && self.names.get(&peers.program).is_none() {
            self.names.insert(peers.program, program.to_owned());
        }
        self.act(who, peers, time, |baseline, at, host, ask| {
            baseline.program(at, peers.program, host, ask);
        })
    }

    fn act(
        &mut self,
        Who {
            identity, program, ..
        }: Who<'_>,
        peers: Peers,
        time: Timestamp,
        act: impl Fn(&mut Baseline, u32, &mut Host, &mut Vec<Question>),
    ) -> Vec<Anomaly> {
        let at = seconds(time);
        self.host.budget.day(destinations::day_of(at));
        self.digest.come_to(at);
        if !self.identities.contains_key(identity) {
            self.make_room();
            self.identities.insert(identity.clone(), Box::default());
        }
        let Some(baseline) = self.identities.to_back(identity) else {
            return Vec::new();
        };
        baseline.is_unstored = true;
        self.ledger.until = self.ledger.until.max(at);
        let mut questions = std::mem::take(&mut self.questions);
        baseline.join(peers, &mut self.host);
        let mut frozen = baseline.spoken.frozen.take();
        let is_frozen = frozen.is_some();
        if let Some(frozen) = &mut frozen {
            frozen.learn_apart(at, peers, &mut self.apart, &act);
            baseline.advance(at, &mut self.apart, &mut questions);
            frozen.hold(baseline);
        } else {
            baseline.advance(at, &mut self.host, &mut questions);
        }
        self.host.is_held = is_frozen;
        act(baseline, at, &mut self.host, &mut questions);
        self.host.is_held = false;
        let mut anomalies = Vec::new();
        for question in questions.drain(..) {
            let into = is_frozen.then_some(&mut self.apart);
            let judged = judge(&mut self.host, into, baseline, peers, question);
            let (untold, is_held_back) = match judged {
                Judged::Told(anomaly) => {
                    self.digest.asked(at, true);
                    anomalies.push(anomaly);
                    continue;
                }
                Judged::HeldBack(anomaly) => (Some(anomaly), true),
                Judged::Ordinary(anomaly) => (anomaly, false),
            };
            self.digest.asked(at, false);
            if let Some(anomaly) = untold {
                let digest = &mut self.digest;
                digest.keep(at, identity, program, anomaly, is_held_back);
            }
        }
        if let Some(frozen) = frozen {
            frozen.hold_days(baseline);
            baseline.spoken.frozen = Some(frozen);
        }
        self.questions = questions;
        anomalies
    }
}

/// What came of a question.
enum Judged {
    /// It is to be told.
    Told(Anomaly),
    /// It would be, and too many were told at once.
    HeldBack(Anomaly),
    /// It is ordinary. What is unusual all the same is for the digest.
    Ordinary(Option<Anomaly>),
}

/// Whether it is to be told. What is not, is ordinary, and calibrates what comes after it. Where the
/// identity is frozen, there is a host apart into which it teaches: how an old reference fits says
/// nothing of how the p-values of others are.
fn judge(
    host: &mut Host,
    apart: Option<&mut Host>,
    baseline: &mut Baseline,
    peers: Peers,
    question: Question,
) -> Judged {
    let raw = question.p();
    let alpha = host.budget.spend(question.test);
    let Some(calibration) = host.calibration(question.test) else {
        return Judged::Ordinary(None);
    };
    let p = calibration.correct(raw);
    let maturity = baseline.maturity();
    let anomaly = |question: Question| Anomaly {
        test: question.test,
        destination: question.destination,
        reasons: question.reasons,
        p,
        alpha,
        maturity,
    };
    if p > alpha {
        if let Some(apart) = apart {
            baseline.admit(&question, peers, apart);
        } else {
            calibration.learn(raw);
            baseline.admit(&question, peers, host);
        }
        return Judged::Ordinary(Digest::wants(p).then(|| anomaly(question)));
    }
    // A day of alerts of one identity is one word about how the p-values are.
    if !baseline.alerted && apart.is_none() {
        calibration.learn(raw);
    }
    baseline.suspect(&question);
    if question.test == Test::Program {
        baseline.spoken.program_told(peers.program);
    }
    if !baseline.is_first(question.test) || host.budget.take() {
        Judged::Told(anomaly(question))
    } else {
        Judged::HeldBack(anomaly(question))
    }
}

fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.unix_seconds().max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
