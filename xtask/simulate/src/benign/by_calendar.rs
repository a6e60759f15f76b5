//! Changes that nobody decides on: they follow from the calendar.

use monitor::model::Timestamp;

use crate::calendar::hours;
use crate::label::Label;
use crate::parameters::When;
use crate::routine::Cast;

/// Changes of the clock, and first runs of monthly jobs after the learning time.
pub(super) fn labels(cast: &Cast<'_>) -> Vec<Label> {
    let calendar = &cast.calendar;
    let settle = hours(cast.parameters.benign.settle_hours);
    let mut labels = Vec::new();
    for player in &cast.players {
        let mut label = |kind: &str, begin: Timestamp, note: &str| {
            labels.push(Label {
                kind: kind.to_owned(),
                identity: player.selector.clone(),
                destination: None,
                begin,
                end: Timestamp((begin.0 + settle).min(calendar.end.0)),
                benign: true,
                note: note.to_owned(),
            });
        };
        let activities = &player.role.activities;
        let by_wall = |when: &When| match when {
            When::At { hours, .. } => !hours.is_empty(),
            When::Random { night, .. } => *night < 1.0,
            When::Every { .. } => false,
        };
        if activities.iter().any(|of| by_wall(&of.when)) {
            for at in calendar.changes() {
                label(
                    "clock-change",
                    at,
                    "what goes by the wall's clock is an hour off in UTC",
                );
            }
        }
        for activity in activities {
            let When::At {
                day: Some(day),
                hours,
                minute,
                ..
            } = &activity.when
            else {
                continue;
            };
            let hour = hours.first().copied().unwrap_or(0);
            let dates = calendar.dates(calendar.begin, calendar.end).into_iter();
            let days = dates.filter(|date| date.day() == *day);
            let first = days
                .filter_map(|date| calendar.moment(date, hour, *minute))
                .next();
            if let Some(at) = first.filter(|at| (calendar.warm..calendar.end).contains(at)) {
                label(
                    "monthly-first-run",
                    at,
                    "a monthly job runs for the first time",
                );
            }
        }
    }
    labels
}
