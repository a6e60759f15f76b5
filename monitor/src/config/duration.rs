//! Durations as people write them: `50ms`, `60s`, `1h 30m`, `7d`.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
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
            let signed = parse(text).map_err(|()| {
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

/// Hours and less, or days, which have 24 of them.
fn parse(text: &str) -> Result<SignedDuration, ()> {
    if let Ok(signed) = text.parse::<SignedDuration>() {
        return Ok(signed);
    }
    let span: jiff::Span = text.parse().map_err(|_| ())?;
    span.to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|_| ())
}
