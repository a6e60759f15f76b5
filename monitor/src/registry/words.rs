//! Numbers and times as the sentences of reports say them.

use std::time::Duration;

pub(super) fn counted(number: u64, what: &str) -> String {
    let (stem, plural) = match (number, what.strip_suffix('y')) {
        (1, _) => (what, ""),
        (_, Some(stem)) => (stem, "ies"),
        (_, None) if what.ends_with('s') => (what, "es"),
        (_, None) => (what, "s"),
    };
    format!("{number} {stem}{plural}")
}

pub(super) fn times(number: u64) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

/// The largest unit that tells enough.
pub fn span(of: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 3_600;
    const DAY: u64 = 86_400;
    match of.as_secs() {
        seconds if seconds < 2 * MINUTE => format!("{seconds} s"),
        seconds if seconds < 2 * HOUR => format!("{} min", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
        seconds => format!("{} days", seconds / DAY),
    }
}
