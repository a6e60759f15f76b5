//! Points in time. Every stage takes the event's time; only the sensor and the daemon read a clock.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds since the Unix epoch, in UTC. Reads and prints as RFC 3339; is stored and recorded
/// as an integer.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The clock's reading. Not for the pure stages, whose time is the event's.
    pub fn now() -> Self {
        Self(i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX))
    }

    /// From whole seconds since the epoch; saturates.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Whole seconds since the epoch, rounded towards the past.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// The time that has passed since `earlier`; zero when `earlier` lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This point moved ahead by `duration`; saturates.
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)),
        )
    }

    /// As jiff's type, for calendar work. `None` outside the years -9999 to 9999.
    pub fn to_jiff(self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_nanosecond(i128::from(self.0)).ok()
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 with microseconds, as SIEMs expect: `2026-05-01T14:03:21.000000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_jiff() {
            Some(at) => write!(f, "{at:.6}"),
            None => write!(f, "{}ns", self.0),
        }
    }
}

/// Serializes a [`Timestamp`] as RFC 3339 text, for what people and SIEMs read.
pub mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Timestamp;

    /// Writes RFC 3339.
    pub fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(time)
    }

    /// Reads RFC 3339.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        let at: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
        i64::try_from(at.as_nanosecond())
            .map(Timestamp)
            .map_err(D::Error::custom)
    }

    /// The same for an optional time; absent is null.
    pub mod option {
        use serde::{Deserialize, Deserializer, Serializer, de::Error};

        use super::super::Timestamp;

        /// Writes RFC 3339 or null.
        pub fn serialize<S: Serializer>(
            time: &Option<Timestamp>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => to.collect_str(time),
                None => to.serialize_none(),
            }
        }

        /// Reads RFC 3339 or null.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            Option::<String>::deserialize(from)?
                .map(|text| {
                    let at: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
                    i64::try_from(at.as_nanosecond())
                        .map(Timestamp)
                        .map_err(D::Error::custom)
                })
                .transpose()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_rfc3339() {
        let at = Timestamp(1_777_644_201_123_456_000);
        assert_eq!(at.to_string(), "2026-05-01T14:03:21.123456Z");
        assert_eq!(at.unix_seconds(), 1_777_644_201);
        assert_eq!(
            Timestamp(i64::MAX).after(Duration::from_secs(1)),
            Timestamp(i64::MAX)
        );
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
    }
}
