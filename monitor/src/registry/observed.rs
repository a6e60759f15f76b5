//! When this host was watched, and how each credential and identity was used in that time: what
//! tells silence from blindness.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::time::Duration;

use foldhash::HashMap;

use crate::model::{Blindness, Fingerprint, Hole, Ledger, Selector, Target, Timestamp, UsePattern};

/// Most holes that are kept. Beyond it the two that are closest become one, with the time between
/// them: less is then known to have been watched than was.
const HOLES: usize = 1_024;
/// Most credentials and identities whose use is followed. Of others nothing is concluded.
const PATTERNS: usize = 131_072;
/// Most that are handed out to be stored at once. Others follow.
const AT_ONCE: usize = 4_096;
/// A loss is told when it is counted, and a hook that is silent when it is found to be: what was
/// missed lies at most this much before.
const NOTICED_LATE: Duration = Duration::from_secs(60);
/// An identity acts all the time: acts no further apart than this are one.
const ONE_ACT: Duration = Duration::from_secs(1);

/// The ledger, and the patterns of use.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    ledger: Option<Ledger>,
    credentials: HashMap<Fingerprint, UsePattern>,
    identities: HashMap<Selector, UsePattern>,
    ledger_changed: bool,
    changed: BTreeSet<Target>,
}

/// What has changed since it was last stored.
#[derive(Debug, Default)]
pub struct Unstored {
    /// The ledger.
    pub ledger: Option<Ledger>,
    /// Patterns of use.
    pub patterns: Vec<UsePattern>,
}

impl Observed {
    /// The ledger; `None` before any daemon that keeps one has watched.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref()
    }

    /// How something is used.
    pub fn pattern(&self, subject: &Target) -> Option<&UsePattern> {
        match subject {
            Target::Credential(fingerprint) => self.credentials.get(fingerprint),
            Target::Identity(selector) => self.identities.get(selector),
            Target::Path(_) => None,
        }
    }

    /// Takes back what was stored.
    pub fn restore_ledger(&mut self, ledger: &Ledger) {
        self.ledger = Some(ledger.clone());
    }

    /// Takes back what was stored.
    pub fn restore_pattern(&mut self, pattern: &UsePattern) {
        match &pattern.subject {
            Target::Credential(of) => self.credentials.insert(of.clone(), pattern.clone()),
            Target::Identity(of) => self.identities.insert(of.clone(), pattern.clone()),
            // Nothing speaks of the use of one.
            Target::Path(_) => None,
        };
    }

    /// A run of the daemon begins: nothing was watched since the last one, and what it could not
    /// see this one tells anew.
    pub fn begin(&mut self, since: Option<Timestamp>, rebooted: bool, now: Timestamp) {
        self.ledger_changed = true;
        let Some(ledger) = &mut self.ledger else {
            self.ledger = Some(Ledger {
                since: now,
                until: now,
                holes: Vec::new(),
            });
            return;
        };
        for hole in &mut ledger.holes {
            hole.to.get_or_insert(now);
        }
        let from = since.unwrap_or(ledger.until).min(now);
        ledger.until = now;
        self.hole(from, Some(now), Blindness::NotRunning { rebooted });
    }

    /// Time passed, and was watched.
    pub fn pass(&mut self, now: Timestamp) {
        if let Some(ledger) = &mut self.ledger {
            ledger.until = ledger.until.max(now);
        }
    }

    /// The daemon did not run on for so many nanoseconds, until now.
    pub fn held(&mut self, lasted: u64, now: Timestamp) {
        let from = before(now, Duration::from_nanos(lasted));
        self.hole(from, Some(now), Blindness::Held);
    }

    /// The clock was set. What lies between is a time that never was; what lies ahead of a clock
    /// that was set back is not known to have been watched.
    pub fn clock_set(&mut self, from: Timestamp, to: Timestamp) {
        if to >= from {
            self.hole(from, Some(to), Blindness::ClockSet);
        } else if let Some(ledger) = &mut self.ledger {
            ledger.until = to;
            ledger.since = ledger.since.min(to);
            ledger.holes.retain(|hole| hole.from <= to);
            for hole in &mut ledger.holes {
                hole.to = hole.to.map(|end| end.min(to));
            }
            self.hole(to, Some(to), Blindness::ClockSet);
        }
    }

    /// Events of a hook, or of the queue behind it, were lost.
    pub fn lost(&mut self, hook: &str, now: Timestamp) {
        let hook = hook.to_owned();
        self.hole(
            before(now, NOTICED_LATE),
            Some(now),
            Blindness::Lost { hook },
        );
    }

    /// A hook does not work.
    pub fn hook_failed(&mut self, hook: &str, now: Timestamp) {
        let cause = Blindness::Hook {
            hook: hook.to_owned(),
        };
        let is_known = |ledger: &Ledger| {
            let mut holes = ledger.holes.iter();
            holes.any(|hole| hole.to.is_none() && hole.cause == cause)
        };
        if !self.ledger.as_ref().is_some_and(is_known) {
            self.hole(before(now, NOTICED_LATE), None, cause);
        }
    }

    /// A hook works again.
    pub fn hook_works(&mut self, name: &str, now: Timestamp) {
        let Some(ledger) = &mut self.ledger else {
            return;
        };
        for hole in &mut ledger.holes {
            let is_its = matches!(&hole.cause, Blindness::Hook { hook } if hook == name);
            if is_its && hole.to.is_none() {
                hole.to = Some(now);
                self.ledger_changed = true;
            }
        }
    }

    /// A credential was used.
    pub fn used(&mut self, credential: &Fingerprint, uses: u64, now: Timestamp) {
        if let Some(pattern) = self.of_credential(credential) {
            pattern.note(uses, now);
        }
    }

    /// An identity acted.
    pub fn acted(&mut self, identity: &Selector, now: Timestamp) {
        let is_full = self.is_full();
        let last = self.identities.get(identity).and_then(|known| known.last);
        if last.is_some_and(|last| now >= last && now.since(last) < ONE_ACT) {
            return;
        }
        let changed = &mut self.changed;
        if let Some(pattern) = entry(&mut self.identities, identity, is_full, changed) {
            pattern.note(1, now);
        }
    }

    /// Whether files of this host are known to hold a credential.
    pub fn present(&mut self, credential: &Fingerprint, is_present: bool, now: Timestamp) {
        let known = self.credentials.get(credential);
        let was_present = known.is_some_and(|known| known.present_since.is_some());
        if was_present == is_present {
            return;
        }
        if let Some(pattern) = self.of_credential(credential) {
            pattern.present_since = is_present.then_some(now);
        }
    }

    fn of_credential(&mut self, credential: &Fingerprint) -> Option<&mut UsePattern> {
        let is_full = self.is_full();
        let changed = &mut self.changed;
        entry(&mut self.credentials, credential, is_full, changed)
    }

    fn is_full(&self) -> bool {
        self.credentials.len() + self.identities.len() >= PATTERNS
    }

    fn hole(&mut self, from: Timestamp, to: Option<Timestamp>, cause: Blindness) {
        let Some(ledger) = &mut self.ledger else {
            return;
        };
        self.ledger_changed = true;
        let from = from.max(ledger.since);
        // Losses come by the hundred in a flood.
        let mut holes = ledger.holes.iter_mut().rev().take(8);
        if let Some(same) =
            holes.find(|of| of.cause == cause && of.from <= from && of.to >= Some(from))
            && to.is_some()
        {
            same.to = same.to.max(to);
            return;
        }
        let place = ledger.holes.partition_point(|hole| hole.from <= from);
        ledger.holes.insert(place, Hole { from, to, cause });
        while ledger.holes.len() > HOLES {
            merge_closest(&mut ledger.holes);
        }
    }

    /// What has changed since it was last asked.
    pub fn take_unstored(&mut self) -> Unstored {
        let ledger = std::mem::take(&mut self.ledger_changed).then(|| self.ledger.clone());
        let later = self.changed.iter().nth(AT_ONCE).cloned();
        let later = later.map(|later| self.changed.split_off(&later));
        let now = std::mem::replace(&mut self.changed, later.unwrap_or_default());
        let patterns = now.into_iter();
        let patterns = patterns.filter_map(|subject| self.pattern(&subject).cloned());
        Unstored {
            ledger: ledger.flatten(),
            patterns: patterns.collect(),
        }
    }
}

/// The pattern of something, made where there is none and room for one. It is noted as changed.
fn entry<'a, K: Clone + Eq + Hash + Into<Target>>(
    patterns: &'a mut HashMap<K, UsePattern>,
    of: &K,
    is_full: bool,
    changed: &mut BTreeSet<Target>,
) -> Option<&'a mut UsePattern> {
    if is_full && !patterns.contains_key(of) {
        return None;
    }
    let subject: Target = of.clone().into();
    changed.insert(subject.clone());
    let entry = patterns.entry(of.clone());
    Some(entry.or_insert_with(|| UsePattern::new(subject)))
}

fn before(now: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_sub(by))
}

/// One that goes on swallows what comes after it.
fn merge_closest(holes: &mut Vec<Hole>) {
    let apart = |pair: &[Hole]| {
        let end = pair[0].to.unwrap_or(Timestamp(i64::MAX));
        pair[1].from.0.saturating_sub(end.0)
    };
    let closest = holes.windows(2).enumerate();
    let closest = closest.min_by_key(|(_, pair)| apart(pair));
    let Some(place) = closest.map(|(place, _)| place) else {
        return;
    };
    let later = holes.remove(place + 1);
    let Some(earlier) = holes.get_mut(place) else {
        return;
    };
    if earlier.cause != later.cause {
        earlier.cause = Blindness::Several;
    }
    earlier.to = match (earlier.to, later.to) {
        (Some(a), Some(b)) => Some(a.max(b)),
        _ => None,
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * SECOND)
    }

    fn key() -> Target {
        Target::Credential(Fingerprint::new("x"))
    }

    fn watching() -> Observed {
        let mut observed = Observed::default();
        observed.begin(None, false, at(1_000));
        observed
    }

    fn unseen(observed: &Observed, now: i64) -> Vec<(i64, i64)> {
        let spans = observed.ledger().unwrap().unseen(&key(), at(now));
        let seconds = |time: Timestamp| time.0 / SECOND;
        spans
            .iter()
            .map(|(a, b)| (seconds(*a), seconds(*b)))
            .collect()
    }

    #[test]
    fn what_was_not_watched_is_known_and_what_hides_no_use_is_not_counted() {
        let mut observed = watching();
        observed.held(5 * SECOND.unsigned_abs(), at(2_000));
        observed.lost("dns", at(2_500));
        observed.lost("file_read", at(3_000));
        observed.lost("file_read", at(3_030));
        observed.hook_failed("file_open", at(4_000));
        observed.hook_failed("file_open", at(4_010));
        observed.hook_works("file_open", at(4_100));
        observed.clock_set(at(5_000), at(6_000));
        observed.pass(at(7_000));
        let expected = [
            (1_995, 2_000),
            (2_940, 3_030),
            (3_940, 4_100),
            (5_000, 6_000),
        ];
        assert_eq!(unseen(&observed, 7_000), expected);
        let ledger = observed.ledger().unwrap();
        let of_identity = Target::Identity(Selector::unix_user("a"));
        let spans = ledger.unseen(&of_identity, at(7_000));
        assert_eq!(spans.len(), 2, "no file hook: {spans:?}");
        assert_eq!(unseen(&observed, 7_100).last(), Some(&(7_000, 7_100)));
    }

    #[test]
    fn a_gateway_that_is_blind_hides_devices_and_nobody_else() {
        let mut observed = watching();
        observed.hook_failed("gateway_flow on br-iot", at(2_060));
        observed.hook_works("gateway_flow on br-iot", at(2_100));
        observed.lost("gateway_flow", at(3_060));
        observed.lost("process_exec", at(4_060));
        observed.pass(at(5_000));
        let ledger = observed.ledger().unwrap();
        let hidden = |of: &str| {
            let of = Target::Identity(of.parse().unwrap());
            ledger.unseen(&of, at(5_000)).len()
        };
        assert_eq!(hidden("device:ip:192.0.2.7"), 2);
        assert_eq!(hidden("unix:user:a"), 1);
        assert_eq!(unseen(&observed, 5_000), []);
    }

    #[test]
    fn a_run_begins_where_the_last_one_was_seen_and_with_other_hooks() {
        let mut observed = watching();
        observed.hook_failed("file_map", at(2_000));
        observed.pass(at(3_000));
        let stored = observed.take_unstored().ledger.unwrap();
        let mut next = Observed::default();
        next.restore_ledger(&stored);
        next.begin(Some(at(2_990)), true, at(3_600));
        next.pass(at(4_000));
        assert_eq!(unseen(&next, 4_000), [(1_940, 3_600)]);
        let rebooted = Blindness::NotRunning { rebooted: true };
        assert_eq!(next.ledger().unwrap().holes[1].cause, rebooted);
        assert!(observed.take_unstored().ledger.is_none(), "stored once");
    }

    #[test]
    fn what_lies_ahead_of_a_clock_that_was_set_back_is_not_claimed() {
        let mut observed = watching();
        observed.held(1, at(9_000));
        observed.pass(at(9_500));
        observed.clock_set(at(9_500), at(2_000));
        let ledger = observed.ledger().unwrap();
        assert_eq!(ledger.until, at(2_000));
        assert!(ledger.holes.iter().all(|hole| hole.from <= at(2_000)));
    }

    #[test]
    fn pauses_and_how_often_they_were_as_long() {
        let mut pattern = UsePattern::new(key());
        for day in [0, 1, 2, 9, 16, 22] {
            pattern.note(1, at(day * 86_400));
        }
        assert_eq!(pattern.longest, 7 * 86_400 * SECOND.unsigned_abs());
        assert_eq!((pattern.alike, pattern.uses), (3, 6));
    }

    #[test]
    fn presence_lasts_until_the_last_file_has_gone() {
        let mut observed = watching();
        let key = Fingerprint::new("x");
        observed.present(&key, true, at(1));
        observed.present(&key, true, at(2));
        let since = |of: &Observed| of.pattern(&self::key()).unwrap().present_since;
        assert_eq!(since(&observed), Some(at(1)));
        observed.present(&key, false, at(3));
        observed.present(&key, true, at(4));
        assert_eq!(since(&observed), Some(at(4)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Bounded, and whatever is merged, no time counts as watched that was not.
        #[test]
        fn merging_never_claims_more(times in proptest::collection::vec(2_000i64..1_000_000, 1_000..2_500)) {
            let mut observed = watching();
            for time in &times {
                observed.held(SECOND.unsigned_abs(), at(*time));
            }
            observed.pass(at(1_000_001));
            prop_assert!(observed.ledger().unwrap().holes.len() <= HOLES);
            let unseen = observed.ledger().unwrap().unseen(&key(), at(1_000_001));
            prop_assert!(unseen.windows(2).all(|pair| pair[0].1 < pair[1].0));
            for time in times {
                let is_in = |(a, b): &(Timestamp, Timestamp)| *a <= at(time - 1) && at(time) <= *b;
                prop_assert!(unseen.iter().any(is_in));
            }
        }
    }
}
