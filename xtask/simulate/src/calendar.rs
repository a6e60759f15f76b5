//! Days, hours on the wall, holidays.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use monitor::model::Timestamp;

/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000_000_000;
/// Nanoseconds in a day.
pub const DAY: i64 = 86_400 * SECOND;

/// Seconds as nanoseconds; saturates.
pub fn seconds(of: f64) -> i64 {
    (of * SECOND as f64) as i64
}

/// Hours as nanoseconds; saturates.
pub fn hours(of: f64) -> i64 {
    seconds(of * 3600.0)
}

/// A host's time.
#[derive(Debug, Clone)]
pub struct Calendar {
    /// The first moment.
    pub begin: Timestamp,
    /// The first moment after it all.
    pub end: Timestamp,
    /// The end of the learning time.
    pub warm: Timestamp,
    zone: TimeZone,
    /// Weekdays that are like Sundays.
    pub holidays: Vec<Date>,
}

impl Calendar {
    /// From midnight, UTC, of the first day.
    ///
    /// # Errors
    /// When the zone is none, or the dates lie outside of what 64 bits of nanoseconds hold.
    pub fn new(start: Date, days: u32, warm_up: u32, zone: &str) -> Result<Self, jiff::Error> {
        let midnight = start.to_zoned(TimeZone::UTC)?.timestamp();
        let begin = Timestamp::from_unix_seconds(midnight.as_second());
        let after = |days: u32| Timestamp(begin.0.saturating_add(i64::from(days) * DAY));
        Ok(Self {
            begin,
            end: after(days),
            warm: after(warm_up),
            zone: TimeZone::posix(zone)?,
            holidays: Vec::new(),
        })
    }

    /// The time on the wall.
    pub fn local(&self, at: Timestamp) -> DateTime {
        let at = at.to_jiff().unwrap_or_default();
        self.zone.to_datetime(at)
    }

    /// When the clock on the wall shows a time: after a gap the first time behind it, in a fold the
    /// first of both.
    pub fn moment(&self, date: Date, hour: i8, minute: i8) -> Option<Timestamp> {
        let zoned = date
            .at(hour, minute, 0, 0)
            .to_zoned(self.zone.clone())
            .ok()?;
        Some(Timestamp::from_unix_seconds(zoned.timestamp().as_second()))
    }

    /// Whether people do not work on a day.
    pub fn is_day_off(&self, date: Date) -> bool {
        date.weekday().to_monday_one_offset() >= 6 || self.holidays.contains(&date)
    }

    /// The local dates that have a moment between two.
    pub fn dates(&self, from: Timestamp, to: Timestamp) -> Vec<Date> {
        let last = self.local(to).date();
        let mut date = self.local(from).date();
        let mut dates = vec![date];
        while date < last {
            let Ok(next) = date.tomorrow() else { break };
            date = next;
            dates.push(date);
        }
        dates
    }

    /// When the clock on the wall is changed.
    pub fn changes(&self) -> Vec<Timestamp> {
        let begin = self.begin.to_jiff().unwrap_or_default();
        let end = self.end;
        self.zone
            .following(begin)
            .map(|change| Timestamp::from_unix_seconds(change.timestamp().as_second()))
            .take_while(|at| *at < end)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_on_the_wall_changes_without_a_database_of_zones() {
        let start = "2026-03-09".parse().unwrap();
        let zone = "CET-1CEST,M3.5.0,M10.5.0/3";
        let calendar = Calendar::new(start, 28, 14, zone).unwrap();
        assert_eq!(calendar.changes().len(), 1);
        let told = |date: &str| {
            let at = calendar.moment(date.parse().unwrap(), 2, 30).unwrap();
            at.to_string()[..16].to_owned()
        };
        assert_eq!(told("2026-03-28"), "2026-03-28T01:30");
        // 02:30 is not on the wall that night.
        assert_eq!(told("2026-03-29"), "2026-03-29T01:30");
        assert_eq!(told("2026-03-30"), "2026-03-30T00:30");
        assert!(calendar.is_day_off("2026-03-29".parse().unwrap()));
        assert!(!calendar.is_day_off("2026-04-03".parse().unwrap()));
        assert_eq!(calendar.dates(calendar.begin, calendar.warm).len(), 15);
        let without = Calendar::new(start, 28, 14, "UTC0").unwrap();
        assert_eq!(without.changes(), []);
    }
}
