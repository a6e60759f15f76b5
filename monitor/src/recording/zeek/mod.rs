//! Conn logs of Zeek, as recordings of what devices of a network do.
//!
//! A line is a connection that has ended, so that the lines are in the order of ends, and each tells at
//! once what an observer learns bit by bit. The pipeline is given its first packet when it began and the rest when it was
//! over, all in the order of time. Read are the logs as Zeek writes them, with tabs or as
//! JSON; lists with a header of names, as data sets have them; and all of these in gzip, in which Zeek
//! puts away what it has rotated.

mod conn;
mod connection;
mod labels;
mod log;
mod told;

use std::io::{self, BufRead, BufReader};

use flate2::bufread::MultiGzDecoder;

pub use conn::Networks;
pub use connection::{Connection, Rest};
pub use labels::{Labelled, labelled};
pub use log::{Log, Rejected, ZeekError, read};
use told::Told;

use super::Replayed;
use crate::config::DetectionConfig;
use crate::detection::Detector;
use crate::model::{Alert, Fact, Record, RegistryChange};
use crate::registry::Registry;

/// What gzip begins with (RFC 1952).
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The log itself, where it is compressed.
///
/// # Errors
/// Those of the file.
pub fn plain<'a>(mut from: impl BufRead + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    if from.fill_buf()?.starts_with(&GZIP) {
        Ok(Box::new(BufReader::new(MultiGzDecoder::new(from))))
    } else {
        Ok(Box::new(from))
    }
}

/// Runs the connections of a log through a fresh pipeline, with words about identities, and hands on
/// the alerts in their order. A word holds from the time that it names, and from the beginning where it
/// names none. Returns what is known in the end.
pub fn replay(
    log: Log,
    words: Vec<RegistryChange>,
    settings: DetectionConfig,
    mut alert: impl FnMut(Alert),
) -> (Replayed, Registry) {
    let mut detector = Detector::new(settings);
    let mut replayed = Replayed::default();
    for record in records(log, words) {
        replayed.facts += 1;
        replayed.end = record.time;
        let outcome = detector.step(&record);
        replayed.alerts += outcome.alerts.len() as u64;
        outcome.alerts.into_iter().for_each(&mut alert);
    }
    let last = detector.finish();
    replayed.alerts += last.len() as u64;
    last.into_iter().for_each(&mut alert);
    (replayed, detector.state.registry)
}

/// The facts of a log and words about identities, in the order of time; words before what happened in the
/// same moment.
pub fn records(log: Log, words: Vec<RegistryChange>) -> impl Iterator<Item = Record> {
    let mut flows = Told::new(log.connections);
    let begin = flows.next_time().unwrap_or_default();
    let words = words.into_iter().map(|mut word| {
        let since = word.since.map_or(begin, |since| since.max(begin));
        word.since.get_or_insert(begin);
        (since, word)
    });
    let mut words: Vec<_> = words.collect();
    words.sort_by_key(|(time, _)| *time);
    let mut words = words.into_iter().peekable();
    std::iter::from_fn(move || {
        let next = flows.next_time();
        let word = words.next_if(|(time, _)| next.is_none_or(|next| *time <= next));
        if let Some((time, word)) = word {
            let fact = Fact::Registry(word);
            return Some(Record { time, fact });
        }
        let (time, flow) = flows.next()?;
        let fact = Fact::Flow(flow);
        Some(Record { time, fact })
    })
}

#[cfg(test)]
mod tests;
