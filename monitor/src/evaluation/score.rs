//! Runs detectors over a host. Nothing here has ever seen a label: what comes out is judged elsewhere.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::event::{Event, Events};
use super::first_seen::FirstSeen;
use super::source::{Source, SourceError};
use super::told::{Series, Told, is_scored};
use crate::config::DetectionConfig;
use crate::detection::Detector;
use crate::model::{DetectionId, Selector, Timestamp};

/// What this program's own detections are called beside others.
pub const OURS: &str = "credwatch";
/// The rule that all are compared with.
pub const FIRST_SEEN: &str = "first-seen";
/// Most that is kept of what one detector tells.
const MOST_TOLD: usize = 8_000_000;
/// Most times at which something was sent.
const MOST_SENT: usize = 16_000_000;
/// How often it is told how far it is, in facts.
const PROGRESS: u64 = 1 << 18;

/// What came out for one host.
#[derive(Debug)]
pub struct Scored {
    /// The host.
    pub name: String,
    /// Its first fact and its last.
    pub begin: Timestamp,
    /// Its last.
    pub end: Timestamp,
    /// How many there were.
    pub facts: u64,
    /// Detectors in the order in which they are reported.
    pub series: Vec<Series>,
    /// Alerts of rules, which know no budget.
    pub rules: Vec<(Timestamp, DetectionId)>,
    /// What went where.
    pub sent: Sent,
    /// What did not fit into memory, and is in no figure.
    pub untold: u64,
}

/// Bytes by identity and other end, as sums up to each time.
#[derive(Debug, Default)]
pub struct Sent {
    to: BTreeMap<(Selector, IpAddr, u16), Vec<(Timestamp, u64)>>,
    times: usize,
}

impl Sent {
    /// Takes in an event. Returns whether there was room.
    fn add(&mut self, event: &Event) -> bool {
        if event.sent == 0 {
            return true;
        }
        if self.times >= MOST_SENT {
            return false;
        }
        self.times += 1;
        let address = event.destination.ip().to_canonical();
        let key = (event.identity.clone(), address, event.destination.port());
        let sums = self.to.entry(key).or_default();
        let before = sums.last().map_or(0, |(_, sum)| *sum);
        sums.push((event.time, before.saturating_add(event.sent)));
        true
    }

    /// What an identity had sent to another end from one time until another, both included.
    pub fn between(
        &self,
        identity: &Selector,
        (address, port): (IpAddr, u16),
        from: Timestamp,
        until: Timestamp,
    ) -> u64 {
        let Some(sums) = self.to.get(&(identity.clone(), address, port)) else {
            return 0;
        };
        let sum_at = |place: usize| {
            let before = place.checked_sub(1).and_then(|last| sums.get(last));
            before.map_or(0, |(_, sum)| *sum)
        };
        let first = sums.partition_point(|(time, _)| *time < from);
        let last = sums.partition_point(|(time, _)| *time <= until);
        sum_at(last).saturating_sub(sum_at(first))
    }
}

/// Runs our detections at each of these settings, which differ in their budget, and the first-seen rule
/// over the same facts. `event` gets what every detector was given.
///
/// # Errors
/// Where the source is damaged: half of the facts would give wrong figures.
pub fn score(
    source: &Source,
    budgets: &[(f64, DetectionConfig)],
    mut event: impl FnMut(&Event),
    progress: impl Fn(u64),
) -> Result<Scored, SourceError> {
    let mut detectors: Vec<_> = budgets
        .iter()
        .map(|(_, settings)| Detector::new(settings.clone()))
        .collect();
    if detectors.is_empty() {
        // Who acts is told by attribution, also where nothing is to be judged.
        detectors.push(Detector::new(DetectionConfig::default()));
    }
    let mut told: Vec<Vec<Told>> = vec![Vec::new(); detectors.len()];
    let mut first_seen = (FirstSeen::default(), Vec::new());
    let mut events = Events::default();
    let mut scored = Scored {
        name: source.name.clone(),
        begin: Timestamp::default(),
        end: Timestamp::default(),
        facts: 0,
        series: Vec::new(),
        rules: Vec::new(),
        sent: Sent::default(),
        untold: 0,
    };
    let mut untold = 0;
    let mut keep = |to: &mut Vec<Told>, of: Option<Told>| match of {
        Some(of) if to.len() < MOST_TOLD => to.push(of),
        Some(_) => untold += 1,
        None => {}
    };
    for record in source.records()? {
        let record = record?;
        if scored.facts == 0 {
            scored.begin = record.time;
        }
        scored.facts += 1;
        if scored.facts.is_multiple_of(PROGRESS) {
            progress(scored.facts);
        }
        let now = record.time.max(scored.end);
        scored.end = now;
        let mut seen = None;
        for (index, (detector, told)) in detectors.iter_mut().zip(&mut told).enumerate() {
            let outcome = detector.step(&record);
            for (alerts, is_new) in [(&outcome.alerts, true), (&outcome.repeated, false)] {
                for alert in alerts {
                    if is_scored(alert.id) {
                        keep(told, Told::of(alert, now, is_new));
                    } else if index == 0 && is_new && Told::of(alert, now, true).is_some() {
                        scored.rules.push((now, alert.id));
                    }
                }
            }
            if index == 0 {
                seen = outcome.seen;
            }
        }
        let Some(of) = events.of(&record, seen.as_ref()) else {
            continue;
        };
        event(&of);
        if !scored.sent.add(&of) {
            scored.untold += 1;
        }
        if first_seen.0.is_new(&of) {
            let alert = Told {
                time: of.time,
                identity: Some(of.identity),
                destination: Some((of.destination.ip().to_canonical(), of.destination.port())),
                id: None,
                is_new: true,
            };
            keep(&mut first_seen.1, Some(alert));
        }
    }
    for (index, (detector, told)) in detectors.iter_mut().zip(&mut told).enumerate() {
        let end = scored.end;
        for alert in detector.finish() {
            let of = Told::of(&alert, end, true);
            if is_scored(alert.id) {
                keep(told, of);
            } else if index == 0 && of.is_some() {
                scored.rules.push((end, alert.id));
            }
        }
    }
    scored.untold += untold + events.untold;
    let ours = budgets.iter().zip(told).map(|((budget, _), told)| Series {
        detector: OURS.to_owned(),
        budget: Some(*budget),
        told,
    });
    scored.series = ours.collect();
    scored.series.push(Series {
        detector: FIRST_SEEN.to_owned(),
        budget: None,
        told: first_seen.1,
    });
    Ok(scored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    #[test]
    fn bytes_are_those_of_the_time_between() {
        let mut sent = Sent::default();
        let identity: Selector = "device:ip:10.0.0.7".parse().unwrap();
        let to = ("203.0.113.9".parse().unwrap(), 443);
        for (time, bytes) in [(10, 100), (20, 0), (30, 50), (30, 7), (40, 1_000)] {
            let event = Event {
                time: Timestamp(time),
                identity: identity.clone(),
                destination: to.into(),
                protocol: Protocol::Tcp,
                opened: false,
                sent: bytes,
                received: 0,
            };
            assert!(sent.add(&event));
        }
        let between = |from, until| sent.between(&identity, to, Timestamp(from), Timestamp(until));
        assert_eq!(between(0, 9), 0);
        assert_eq!(between(10, 30), 157);
        assert_eq!(between(11, 39), 57);
        assert_eq!(between(31, 99), 1_000);
        let other = "device:ip:10.0.0.8".parse().unwrap();
        assert_eq!(sent.between(&other, to, Timestamp(0), Timestamp(99)), 0);
    }
}
