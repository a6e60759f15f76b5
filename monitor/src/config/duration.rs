//! Durations as people write them: `50ms`, `60s`, `1h 30m`, `7d`.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Reads a duration longer than nothing, for `#[serde(deserialize_with)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration with its unit, in quotes: \"60s\", \"5m\", \"1h 30m\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            let signed = parse(text).ok_or_else(|| {
                E::custom(format_args!(
                    "`{}` is no duration; write a number with its unit: \"60s\", \"5m\", \"1h 30m\"",
                    text.escape_debug()
                ))
            })?;
            match Duration::try_from(signed) {
                Ok(duration) if !duration.is_zero() => Ok(duration),
                _ => Err(E::custom(format_args!(
                    "`{}` is not longer than nothing; write a positive duration such as \"60s\"",
                    text.escape_debug()
                ))),
            }
        }
    }

    from.deserialize_str(Text)
}

/// Days and weeks are of 24 hours: there is no calendar in which they could be others.
fn parse(text: &str) -> Option<SignedDuration> {
    let exact = text.parse::<SignedDuration>().ok();
    exact.or_else(|| {
        let span = text.parse::<Span>().ok()?;
        span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_of_24_hours_and_months_are_no_durations() {
        let seconds = |text: &str| parse(text).map(|of| of.as_secs());
        assert_eq!(seconds("30d"), Some(30 * 86_400));
        assert_eq!(seconds("1w 2h"), Some(7 * 86_400 + 7_200));
        assert_eq!(seconds("1h 30m"), Some(5_400));
        assert_eq!(seconds("1 month"), None);
        assert_eq!(seconds("soon"), None);
    }
}
