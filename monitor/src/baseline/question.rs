//! What is asked of an identity's traffic, and the reasons that a question is made of.

use super::anomaly::Reason;
use super::budget::Test;
use super::contact::Destination;
use super::destinations::{Known, RHYTHM, Standing, as_f64};
use super::host::Host;
use super::numbers::{Belief, Moments, log_bytes, p_value, regularity};
use super::prior::{self, Role};

/// Bytes below which nothing is asked about a destination, and by how much more is each further question.
const CONDUCT_BYTES: u64 = 16 << 10;
const VOLUME_BYTES: u64 = 256 << 10;
pub(super) const EACH: u32 = 2;

/// A question: is this too unlikely?
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub(super) test: Test,
    pub(super) destination: Option<Destination>,
    pub(super) reasons: Vec<(Reason, f64)>,
}

impl Question {
    /// The chance of all of its reasons together, which are chances given those before them.
    pub(super) fn p(&self) -> f64 {
        p_value(self.reasons.iter().map(|(_, p)| p).product())
    }
}

/// Bytes of a day to a destination that is known.
pub(super) fn volume(known: &mut Known, own: &Moments, others: &Moments, ask: &mut Vec<Question>) {
    if !is_due(known.sent_today, VOLUME_BYTES, &mut known.looked.bytes) {
        return;
    }
    let belief = Belief {
        mean: others.mean(),
        variance: others.variance().max(1.0),
        worth: prior::WORTH_OF_OTHERS,
    };
    let belief = belief.after(own);
    let p = p_value(belief.upper_tail(log_bytes(as_f64(known.sent_today))));
    let reason = Reason::Volume {
        sent: known.sent_today,
        usual: libm::expm1(belief.mean),
    };
    if p < 0.5 {
        ask.push(Question {
            test: Test::Volume,
            destination: Some(known.destination),
            reasons: vec![(reason, p)],
        });
    }
}

/// What a new destination is sent, sends, and whether it answers.
pub(super) fn conduct(known: &mut Known, role: Role, host: &Host, ask: &mut Vec<Question>) {
    let carried = known.sent_today.max(known.received_today);
    let is_silent = known.is_silent();
    let is_due = is_due(carried, CONDUCT_BYTES, &mut known.looked.bytes);
    let is_silent_now = is_silent && !std::mem::replace(&mut known.looked.unanswered, is_silent);
    if is_due || is_silent_now {
        asked(known, role, host, ask);
    }
}

/// Whether a new destination is called in a rhythm.
pub(super) fn rhythm(known: &mut Known, role: Role, host: &Host, ask: &mut Vec<Question>) {
    let due = RHYTHM * f64::from(EACH.saturating_pow(known.looked.gaps.into()));
    if known.gaps.weight() < due {
        return;
    }
    known.looked.gaps = known.looked.gaps.saturating_add(1);
    asked(known, role, host, ask);
}

/// All that is known of a destination that is not trusted, as one question.
fn asked(known: &Known, role: Role, host: &Host, ask: &mut Vec<Question>) {
    if known.standing == Standing::Suspect {
        return;
    }
    let new = Reason::New {
        level: known.level,
        users: 0,
    };
    let mut reasons = vec![(new, libm::exp(known.novelty.into()))];
    let (sent, received) = (known.sent_today, known.received_today);
    let p = host.carried_tail(role, sent, received);
    if p < 1.0 {
        reasons.push((Reason::Carried { sent, received }, p));
    }
    if known.is_silent() {
        let times = known.carried;
        reasons.push((Reason::Silent { times }, host.silent_share()));
    }
    let p = regularity(&known.gaps).max(host.rhythm_share(role));
    if known.gaps.weight() >= RHYTHM && p < 1.0 {
        let reason = Reason::Rhythm {
            times: known.opened,
            period: libm::exp(known.gaps.mean()),
            spread: libm::sqrt(known.gaps.variance()),
        };
        reasons.push((reason, p));
    }
    ask.push(Question {
        test: Test::Conduct,
        destination: Some(known.destination),
        reasons,
    });
}

/// Whether as much is reached as is asked about next; each question is about twice as much as the one
/// before it.
fn is_due(of: u64, least: u64, looked: &mut u8) -> bool {
    let next = |looked: u8| least.saturating_mul(u64::from(EACH).saturating_pow(looked.into()));
    if of < next(*looked) {
        return false;
    }
    while of >= next(*looked) && *looked < 48 {
        *looked += 1;
    }
    true
}
