//! What other programs are given of the events, and what they give back: JSON Lines, times as integers
//! of nanoseconds since the epoch.

use std::io::{self, BufRead, Write};
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::event::Event;
use super::judge::Span;
use super::told::Told;
use crate::model::{Protocol, Selector, Timestamp};

/// Longest line.
const LONGEST_LINE: u64 = 64 << 10;
/// Most alerts of others.
const MOST: usize = 8_000_000;

/// A line of what is given: an event of a host.
#[derive(Debug, Serialize)]
struct Given<'a> {
    host: &'a str,
    time: Timestamp,
    identity: &'a Selector,
    address: IpAddr,
    port: u16,
    protocol: Protocol,
    opened: bool,
    sent: u64,
    received: u64,
}

/// The last line of each host: how far it goes, and from when on is judged.
#[derive(Debug, Serialize)]
struct Host<'a> {
    host: &'a str,
    begin: Timestamp,
    judged_from: Timestamp,
    end: Timestamp,
    events: u64,
}

/// Writes events.
pub struct Export<W: Write> {
    to: W,
    host: String,
    events: u64,
}

impl<W: Write> Export<W> {
    /// Those of one host.
    pub fn new(to: W, host: &str) -> Self {
        Self {
            to,
            host: host.to_owned(),
            events: 0,
        }
    }

    /// One more.
    ///
    /// # Errors
    /// Those of the file.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        self.events += 1;
        let line = Given {
            host: &self.host,
            time: event.time,
            identity: &event.identity,
            address: event.destination.ip().to_canonical(),
            port: event.destination.port(),
            protocol: event.protocol,
            opened: event.opened,
            sent: event.sent,
            received: event.received,
        };
        serde_json::to_writer(&mut self.to, &line)?;
        self.to.write_all(b"\n")
    }

    /// That was all.
    ///
    /// # Errors
    /// Those of the file.
    pub fn finish(mut self, begin: Timestamp, span: Span) -> io::Result<W> {
        let line = Host {
            host: &self.host,
            begin,
            judged_from: span.from,
            end: span.until,
            events: self.events,
        };
        serde_json::to_writer(&mut self.to, &line)?;
        self.to.write_all(b"\n")?;
        self.to.flush()?;
        Ok(self.to)
    }
}

/// An alert of another program.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreign {
    /// Whose it is.
    pub detector: String,
    /// The budget that it was made for, where it knows one.
    #[serde(default)]
    pub budget: Option<f64>,
    /// On which host.
    pub host: String,
    time: Timestamp,
    identity: Selector,
    #[serde(default)]
    destination: Option<SocketAddr>,
}

impl Foreign {
    /// In the form in which all are judged.
    pub fn told(&self) -> Told {
        Told {
            time: self.time,
            identity: Some(self.identity.clone()),
            destination: self
                .destination
                .map(|of| (of.ip().to_canonical(), of.port())),
            id: None,
            is_new: true,
        }
    }
}

/// Why alerts of another program cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ScoresError {
    /// The file.
    #[error("cannot read the alerts: {0}")]
    Io(#[from] io::Error),
    /// A line that is no alert.
    #[error("line {line} is no alert: {why}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Too many.
    #[error("it has more than {MOST} alerts")]
    TooMany,
}

/// A series of another program: of which detector, and at which budget. A line that gives only these says
/// that it was run, also where it told nothing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    detector: String,
    budget: Option<f64>,
    ran: bool,
}

/// What another program gives back.
#[derive(Debug, Default)]
pub struct Scores {
    /// Detectors and budgets, in the order in which they come.
    pub runs: Vec<(String, Option<f64>)>,
    /// Alerts.
    pub alerts: Vec<Foreign>,
}

impl Scores {
    /// Reads more.
    ///
    /// # Errors
    /// At the first line that is no alert.
    pub fn read(&mut self, mut from: impl BufRead) -> Result<(), ScoresError> {
        let mut bytes = Vec::new();
        for line in 1.. {
            bytes.clear();
            let mut limited = io::Read::take(&mut from, LONGEST_LINE);
            if limited.read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let run = match serde_json::from_slice::<Run>(&bytes) {
                Ok(run) if run.ran => (run.detector, run.budget),
                _ => {
                    let alert: Foreign =
                        serde_json::from_slice(&bytes).map_err(|of| ScoresError::Line {
                            line,
                            why: of.to_string(),
                        })?;
                    let run = (alert.detector.clone(), alert.budget);
                    self.alerts.push(alert);
                    run
                }
            };
            if self.runs.last() != Some(&run) && !self.runs.contains(&run) {
                self.runs.push(run);
            }
            if self.alerts.len() > MOST {
                return Err(ScoresError::TooMany);
            }
        }
        Ok(())
    }

    /// What one of them told about a host, in the order of time.
    pub fn told(&self, run: &(String, Option<f64>), host: &str) -> Vec<Told> {
        let of = self
            .alerts
            .iter()
            .filter(|of| of.host == host && of.detector == run.0 && of.budget == run.1);
        let mut told: Vec<_> = of.map(Foreign::told).collect();
        told.sort_by_key(|of| of.time);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_of_others_come_back_by_host_detector_and_budget() {
        let text = concat!(
            r#"{"detector":"b","budget":1.0,"host":"h","time":7,"identity":"unix:user:a","destination":"203.0.113.9:443"}"#,
            "\n",
            r#"{"detector":"b","budget":1.0,"host":"h","time":5,"identity":"unix:user:a","destination":null}"#,
            "\n",
            r#"{"detector":"b","budget":5.0,"host":"h","time":5,"identity":"unix:user:a"}"#,
            "\n",
            r#"{"detector":"a","budget":null,"ran":true}"#,
            "\n"
        );
        let mut scores = Scores::default();
        scores.read(text.as_bytes()).unwrap();
        let run = |name: &str, budget| (name.to_owned(), budget);
        assert_eq!(
            scores.runs,
            [run("b", Some(1.0)), run("b", Some(5.0)), run("a", None)]
        );
        let told = scores.told(&run("b", Some(1.0)), "h");
        let times: Vec<_> = told.iter().map(|of| of.time.0).collect();
        assert_eq!(times, [5, 7]);
        assert!(scores.told(&run("b", Some(1.0)), "g").is_empty());
        assert!(scores.told(&run("a", None), "h").is_empty());
        let wrong = scores
            .read(&b"{\"detector\":\"b\"}\n"[..])
            .unwrap_err()
            .to_string();
        assert!(
            wrong.contains("line 1 is no alert: missing field"),
            "{wrong}"
        );
    }
}
