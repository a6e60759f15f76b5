//! From when on is judged.

use std::fmt;
use std::str::FromStr;

use super::judge::Span;
use crate::model::Timestamp;

/// Where the warm-up ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Split {
    /// At this time.
    Time(Timestamp),
    /// After this part of each host's time.
    Fraction(f64),
}

/// A text that is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no time and no part: write it like 2026-03-15T00:00:00Z, 2026-03-15 or 0.5 (of each host's time)"
)]
pub struct SplitError(String);

impl FromStr for Split {
    type Err = SplitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || SplitError(text.to_owned());
        if let Ok(fraction) = text.parse::<f64>() {
            let is_part = (0.0..1.0).contains(&fraction);
            return is_part
                .then_some(Self::Fraction(fraction))
                .ok_or_else(wrong);
        }
        let midnight = |text: &str| -> Option<jiff::Timestamp> {
            let date: jiff::civil::Date = text.parse().ok()?;
            let at = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            Some(at.timestamp())
        };
        let at = text.parse().ok().or_else(|| midnight(text));
        let at: jiff::Timestamp = at.ok_or_else(wrong)?;
        let at = i64::try_from(at.as_nanosecond()).map_err(|_| wrong())?;
        Ok(Self::Time(Timestamp(at)))
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(at) => write!(f, "{at}"),
            Self::Fraction(part) => write!(f, "{part}"),
        }
    }
}

impl Split {
    /// What is judged of a host whose facts go from one time to another.
    pub fn span(split: Option<Self>, begin: Timestamp, end: Timestamp) -> Span {
        let from = match split {
            None => begin,
            Some(Self::Time(at)) => at.clamp(begin, end),
            Some(Self::Fraction(part)) => begin.after(end.since(begin).mul_f64(part)),
        };
        Span { from, until: end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_a_day_or_a_part() {
        let at = |seconds| Timestamp::from_unix_seconds(seconds);
        let day: Split = "1970-01-03".parse().unwrap();
        assert_eq!(day, Split::Time(at(172_800)));
        assert_eq!("1970-01-03T00:00:00Z".parse(), Ok(day));
        let part: Split = "0.25".parse().unwrap();
        for wrong in ["", "1.5", "-1", "NaN", "tomorrow"] {
            assert!(wrong.parse::<Split>().is_err(), "{wrong}");
        }
        let from = |split, begin, end| Split::span(split, at(begin), at(end)).from;
        assert_eq!(from(Some(part), 100, 500), at(200));
        assert_eq!(from(None, 100, 500), at(100));
        assert_eq!(from(Some(day), 0, 500), at(500));
        assert_eq!(from(Some(day), 200_000, 300_000), at(200_000));
        let days = Split::span(Some(part), at(0), at(4 * 86_400)).days();
        assert!((days - 3.0).abs() < 1e-9);
    }
}
