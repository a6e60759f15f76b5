//! Durations as people write them: `50ms`, `60s`, `1h 30m`, `7d`.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::Deserializer;
use serde::de::{Error, Visitor};

/// A day is 24 hours here, whatever the clocks do.
fn read(text: &str) -> Option<SignedDuration> {
    let days = |span: Span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok();
    text.parse()
        .ok()
        .or_else(|| text.parse().ok().and_then(days))
}

/// Reads a duration longer than nothing, for `#[serde(deserialize_with)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration with its unit, in quotes: \"60s\", \"5m\", \"1h 30m\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            let signed = read(text).ok_or_else(|| {
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
