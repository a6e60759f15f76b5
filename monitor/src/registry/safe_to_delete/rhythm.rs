//! How something is used, and how long it must be quiet before nothing uses it any more.

use std::time::Duration;

use super::Requirements;
use crate::model::{Target, Timestamp, UsePattern};
use crate::registry::Registry;
use crate::registry::words::{counted, span};

/// Fewest uses from which a rhythm is read.
const RHYTHM_USES: u64 = 3;
/// Shortest time over which they must be spread: one busy hour tells nothing of the month.
const RHYTHM_SPAN: Duration = Duration::from_secs(7 * 86_400);

/// What a rhythm asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    /// The time within which a use would have come again.
    pub(super) reach: Duration,
    /// Whether that is read from uses.
    pub(super) is_known: bool,
}

/// The time within which whatever uses something in this way would have used it again. Of two kinds
/// of pauses that are as long the longest that was seen is a good bound after many, and a poor one
/// after few: twice after many, four times after two.
pub(super) fn need(pattern: &UsePattern, watched_before: Duration, of: Requirements) -> Need {
    // What was watched before the first use was a pause too.
    let longest = Duration::from_nanos(pattern.longest).max(watched_before);
    let span = match (pattern.first, pattern.last) {
        (Some(first), Some(last)) => last.since(first),
        _ => Duration::ZERO,
    };
    if pattern.uses < RHYTHM_USES || span < RHYTHM_SPAN || pattern.alike == 0 {
        return Need {
            reach: of
                .unknown_rhythm
                .max(of.least)
                .max(longest.saturating_mul(2)),
            is_known: false,
        };
    }
    let alike = u32::try_from(pattern.alike.min(1_000)).unwrap_or(1_000);
    let more = longest.saturating_mul(4) / alike;
    Need {
        reach: longest.saturating_mul(2).saturating_add(more),
        is_known: true,
    }
}

/// How something is used, as far as it is known: from what was followed, and from the usage map,
/// which may be older or have been written later.
pub(super) fn pattern(registry: &Registry, subject: &Target) -> UsePattern {
    let known = registry.observed.pattern(subject).cloned();
    let mut pattern = known.unwrap_or_else(|| UsePattern::new(subject.clone()));
    let rows = registry.usage.rows().filter(|row| match subject {
        Target::Credential(of) => row.key.fingerprint == *of,
        Target::Identity(of) => row.key.identity == *of,
        Target::Path(_) => false,
    });
    let (mut first, mut last, mut uses) = (None::<Timestamp>, None::<Timestamp>, 0u64);
    for row in rows {
        first = Some(first.map_or(row.first, |first| first.min(row.first)));
        last = last.max(Some(row.last));
        if row.key.destination.is_empty() {
            uses = uses.saturating_add(row.count);
        }
    }
    if let Target::Identity(of) = subject
        && let Some(entry) = registry.identity(of)
    {
        first = first.into_iter().chain(entry.first_seen).min();
        last = last.max(entry.last_seen);
    }
    // What was not followed in between counts as one pause: longer than any in it.
    if let (Some(from), Some(followed)) = (first, pattern.first)
        && from < followed
    {
        let pause = u64::try_from(followed.since(from).as_nanos()).unwrap_or(u64::MAX);
        pattern.longest = pattern.longest.max(pause);
        pattern.alike = pattern.alike.min(1);
        pattern.first = Some(from);
    }
    if pattern.first.is_none()
        && let (Some(first), Some(last)) = (first, last)
    {
        pattern.note(0, first);
        pattern.note(0, last);
    }
    if let Some(last) = last.filter(|last| pattern.last < Some(*last)) {
        pattern.note(0, last);
    }
    pattern.uses = pattern.uses.max(uses);
    pattern
}

/// The same in words.
pub(super) fn rhythm(pattern: &UsePattern, need: Need) -> String {
    let (Some(first), Some(last)) = (pattern.first, pattern.last) else {
        return "it was never seen used, and what is used once a year is not ruled out sooner"
            .to_owned();
    };
    if !need.is_known {
        return format!(
            "{} seen in all, too few or too close together to know a rhythm",
            counted(pattern.uses, "use")
        );
    }
    let pauses = u32::try_from(pattern.uses.saturating_sub(1).max(1)).unwrap_or(u32::MAX);
    format!(
        "used {} times, every {} on average with a longest pause of {}",
        pattern.uses,
        span(last.since(first) / pauses),
        span(Duration::from_nanos(pattern.longest))
    )
}
