//! What is known to have happened: attacks that should be found, and ordinary changes that should not.

use std::io::{self, BufRead};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::model::{Selector, Timestamp, time::rfc3339};

/// Longest line.
const LONGEST_LINE: u64 = 64 << 10;
/// Most labels of a host.
const MOST: usize = 1_000_000;

/// An instance: an identity, another end, and a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// What it was: `exfiltration`; of what is benign, the kind of change.
    pub kind: String,
    /// Who acted.
    pub identity: Selector,
    /// The other end; `null` where it is about no single one.
    #[serde(deserialize_with = "required")]
    pub destination: Option<SocketAddr>,
    /// From when.
    #[serde(with = "rfc3339")]
    pub begin: Timestamp,
    /// Until when.
    #[serde(with = "rfc3339")]
    pub end: Timestamp,
    /// Whether it is an ordinary change, about which an alert is false.
    #[serde(default)]
    pub benign: bool,
    /// For people.
    #[serde(default)]
    pub note: Option<String>,
}

/// `null` may be said, and must be.
fn required<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    Option::deserialize(from)
}

/// Why labels cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The file.
    #[error("cannot read the labels: {0}")]
    Io(#[from] io::Error),
    /// A line that is no label.
    #[error("line {line} is no label: {why}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Too many.
    #[error("it has more than {MOST} labels")]
    TooMany,
}

/// Reads labels, one a line as JSON.
///
/// # Errors
/// At the first line that is none: half of the labels would give wrong figures.
pub(super) fn read(mut from: impl BufRead) -> Result<Vec<Label>, LabelError> {
    let mut labels = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let mut limited = io::Read::take(&mut from, LONGEST_LINE);
        if limited.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        let wrong = |why: String| LabelError::Line { line, why };
        if bytes.len() as u64 == LONGEST_LINE {
            return Err(wrong(format!("it is longer than {LONGEST_LINE} bytes")));
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let label: Label = serde_json::from_slice(&bytes).map_err(|of| wrong(of.to_string()))?;
        if label.end < label.begin {
            return Err(wrong("it ends before it begins".to_owned()));
        }
        labels.push(label);
        if labels.len() > MOST {
            return Err(LabelError::TooMany);
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"kind":"exfiltration","identity":"systemd:unit:web.service","destination":"203.0.113.9:443","begin":"2026-03-02T04:05:06Z","end":"2026-03-02T05:05:06Z","benign":false,"note":"…"}"#;

    fn error(text: &str) -> String {
        read(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_line_is_an_instance() {
        let other = r#"{"kind":"deploy","identity":"unix:user:ci","destination":null,"begin":"2026-03-02T04:05:06.5Z","end":"2026-03-02T05:05:06Z","benign":true}"#;
        let labels = read(format!("{LINE}\n\n{other}").as_bytes()).unwrap();
        assert_eq!(labels.len(), 2);
        assert_eq!(labels[0].destination.unwrap().port(), 443);
        assert_eq!(
            labels[0].end.since(labels[0].begin),
            std::time::Duration::from_secs(3_600)
        );
        assert!(labels[1].benign && labels[1].destination.is_none() && labels[1].note.is_none());
    }

    #[test]
    fn a_wrong_line_is_told_by_its_number() {
        for (line, why) in [
            ("{}".to_owned(), "missing field"),
            (
                LINE.replace(r#""destination":"203.0.113.9:443","#, ""),
                "missing field `destination`",
            ),
            (
                LINE.replace("203.0.113.9:443", "203.0.113.9"),
                "invalid socket address",
            ),
            (
                LINE.replace("2026-03-02T05:05:06Z", "2026-03-02T03:05:06Z"),
                "ends before",
            ),
            (LINE.replace("kind", "sort"), "unknown field `sort`"),
            (
                LINE.replace("systemd:unit:web.service", "web"),
                "no selector",
            ),
        ] {
            let told = error(&format!("{LINE}\n{line}\n"));
            assert!(
                told.contains("line 2 is no label") && told.contains(why),
                "{told}"
            );
        }
        assert!(error(&"x".repeat(100_000)).contains("longer"));
    }
}
