//! What was watched, and what could hide in the times that were not.

use std::collections::BTreeSet;
use std::time::Duration;

use super::answer::{Reason, Verdict};
use super::words::times;
use crate::model::{Blindness, Hole, Ledger, Timestamp};

/// Whether uses, each within `reach` of the one before, could all lie in `unseen` from `last` on, up
/// to so near to `now` that the next is not due.
pub(super) fn could_hide(
    unseen: &[(Timestamp, Timestamp)],
    last: Timestamp,
    now: Timestamp,
    reach: Duration,
) -> bool {
    let mut at = last;
    for (from, to) in unseen {
        if *to <= at {
            continue;
        }
        if *from > at.after(reach) {
            break;
        }
        at = *to;
    }
    at.after(reach) >= now
}

/// The length of `from..to` without what was not seen.
pub(super) fn watched(
    unseen: &[(Timestamp, Timestamp)],
    from: Timestamp,
    to: Timestamp,
) -> Duration {
    let blind = unseen.iter().map(|(a, b)| {
        let (a, b) = ((*a).max(from), (*b).min(to));
        b.since(a)
    });
    to.since(from).saturating_sub(blind.sum())
}

/// Why a use could have gone unseen from `began` on: the causes of the holes in the observation that
/// hide one.
pub(super) fn unseen_because(
    ledger: &Ledger,
    hides: impl Fn(&Hole) -> bool,
    began: Timestamp,
    now: Timestamp,
) -> Vec<Reason> {
    let (mut runs, mut boots, mut other) = (0u64, 0u64, 0u64);
    let mut hooks = BTreeSet::new();
    let holes = ledger
        .holes
        .iter()
        .filter(|hole| hides(hole) && hole.to.is_none_or(|to| to >= began));
    for hole in holes {
        match &hole.cause {
            Blindness::NotRunning { rebooted: true } => boots += 1,
            Blindness::NotRunning { rebooted: false } => runs += 1,
            Blindness::Lost { hook } | Blindness::Hook { hook } => {
                hooks.insert(hook.clone());
            }
            Blindness::Held | Blindness::ClockSet | Blindness::Several => other += 1,
        }
    }
    let mut reasons = Vec::new();
    let mut add = |code: &str, text: String| {
        reasons.push(Reason::new(Verdict::CannotTell, code, text));
    };
    if boots > 0 {
        add(
            "reboots",
            format!(
                "the host was booted {} since, and what services read before Credwatch runs is \
                 not seen",
                times(boots)
            ),
        );
    }
    if runs > 0 {
        add(
            "not-watched",
            format!(
                "Credwatch did not run {} since, and a use could lie there",
                times(runs)
            ),
        );
    }
    if !hooks.is_empty() {
        let hooks: Vec<_> = hooks.into_iter().collect();
        add(
            "losses",
            format!(
                "events were lost or not hooked since ({}), and a use could be among them",
                hooks.join(", ")
            ),
        );
    }
    if other > 0 || ledger.until < now {
        add(
            "gaps",
            "there are gaps in the observation since, and a use could lie there".to_owned(),
        );
    }
    reasons
}
