//! What holds for all identities of a host: its peers, what new destinations are like, and the budget.

use serde::{Deserialize, Serialize};

use super::budget::{Budget, Test};
use super::calibration::Calibration;
use super::destinations::{FirstDay, as_f64};
use super::groups::Groups;
use super::numbers::{Belief, Moments, is_count, log_bytes, p_value};
use super::prior::{self, Role};

/// First days that count.
const FIRST_DAYS: f64 = 500.0;
/// Spread that new destinations are not thought to be without: a factor of 4.5.
const LEAST_VARIANCE: f64 = 2.25;
/// How regular a rhythm is.
const REGULAR: f64 = 0.01;

/// The host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) groups: Groups,
    pub(super) budget: Budget,
    pub(super) kept: Kept,
    /// Who acts is frozen: it teaches nobody.
    pub(super) is_held: bool,
}

/// What of it is kept over a restart besides the groups, which are made of the identities.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    new_sent: Moments,
    new_received: Moments,
    /// Of new destinations: those that could have answered and did not, and all of these.
    silent: (f32, f32),
    rhythmic: (f32, f32),
    /// Of new destinations on the Internet: those that nobody asked a name for, and all of these.
    unnamed: (f32, f32),
    calibrations: [Calibration; Test::ALL.len()],
}

impl Kept {
    /// Whether acts can have led to it.
    pub(super) fn is_sound(&self) -> bool {
        let counts = [
            self.silent.0,
            self.silent.1,
            self.rhythmic.0,
            self.rhythmic.1,
            self.unnamed.0,
            self.unnamed.1,
        ];
        self.new_sent.is_sound()
            && self.new_received.is_sound()
            && counts.into_iter().all(is_count)
            && self.calibrations.iter().all(Calibration::is_sound)
    }
}

impl Host {
    pub(super) fn new(budget: f64) -> Self {
        Self {
            groups: Groups::default(),
            budget: Budget::new(budget),
            kept: Kept::default(),
            is_held: false,
        }
    }

    pub(super) fn learn_first_day(&mut self, day: &FirstDay) {
        let kept = &mut self.kept;
        if day.is_told {
            kept.new_sent.add(log_bytes(as_f64(day.sent)), FIRST_DAYS);
            kept.new_received
                .add(log_bytes(as_f64(day.received)), FIRST_DAYS);
            count(&mut kept.silent, day.is_silent);
        }
        if let Some(rhythm) = day.rhythm {
            count(&mut kept.rhythmic, rhythm < REGULAR);
        }
    }

    /// The chance that a new destination is sent, or sends, as much in its first day.
    pub(super) fn carried_tail(&self, role: Role, sent: u64, received: u64) -> f64 {
        let tail = |belief: Belief, seen: &Moments, bytes: u64| {
            let mut belief = belief.after(seen);
            belief.variance = belief.variance.max(LEAST_VARIANCE);
            belief.upper_tail(log_bytes(as_f64(bytes)))
        };
        let sent = tail(prior::NEW_SENT, &self.kept.new_sent, sent);
        let received = tail(prior::new_received(role), &self.kept.new_received, received);
        // The smaller of two comes twice as often.
        p_value(2.0 * sent.min(received))
    }

    /// The share of new destinations that never answer.
    pub(super) fn silent_share(&self) -> f64 {
        share(self.kept.silent, prior::UNANSWERED)
    }

    /// The share of new destinations that are called in a rhythm, of those that are called often.
    pub(super) fn rhythm_share(&self, role: Role) -> f64 {
        share(self.kept.rhythmic, prior::rhythmic(role))
    }

    /// The share of new destinations that nobody asked a name for; `own` of those of an identity.
    pub(super) fn unnamed_share(&self, own: (f32, f32)) -> f64 {
        let all = share(self.kept.unnamed, prior::UNNAMED);
        share(own, (all * prior::WORTH_OF_HOST, prior::WORTH_OF_HOST))
    }

    pub(super) fn learn_name(&mut self, is_unnamed: bool) {
        count(&mut self.kept.unnamed, is_unnamed);
    }

    pub(super) fn calibration(&mut self, test: Test) -> Option<&mut Calibration> {
        self.kept.calibrations.get_mut(test as usize)
    }
}

pub(super) fn count(of: &mut (f32, f32), is: bool) {
    if of.1 >= 1_000.0 {
        *of = (of.0 * 0.5, of.1 * 0.5);
    }
    of.0 += f32::from(u8::from(is));
    of.1 += 1.0;
}

fn share(seen: (f32, f32), prior: (f64, f64)) -> f64 {
    (f64::from(seen.0) + prior.0) / (f64::from(seen.1) + prior.1)
}
