//! Tables for people: fitted to a terminal, one line a row in a pipe, nothing in them that speaks
//! to the terminal.

use std::io;
use std::path::PathBuf;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

use super::escape::escape;
use crate::model::{CredentialState, Severity, Timestamp};

/// Fewest columns to which a table is fitted, instead of having its lines broken by the terminal.
const NARROWEST: u16 = 40;

/// A table without rules, as `ps` prints it.
pub(super) struct Rows {
    table: Table,
    colour: bool,
}

impl Rows {
    /// An empty table with its headings.
    pub(super) fn new(headings: &[&str]) -> Self {
        let colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        // A serial console says that it has no columns at all.
        if table.width().is_none_or(|columns| columns >= NARROWEST) {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        let cells = headings.iter().map(|heading| {
            let cell = Cell::new(heading);
            if colour {
                cell.add_attribute(Attribute::Bold)
            } else {
                cell
            }
        });
        table.set_header(cells.collect::<Vec<_>>());
        if let Some(first) = table.column_mut(0) {
            first.set_padding((0, 1));
        }
        Self { table, colour }
    }

    /// Adds a row, whatever its texts hold.
    pub(super) fn add<const N: usize>(&mut self, cells: [Text; N]) {
        let cells = cells.map(|text| {
            let cell = Cell::new(escape(&text.text));
            match text.colour {
                Some(colour) if self.colour => cell.fg(colour),
                _ => cell,
            }
        });
        self.table.add_row(cells);
    }

    /// The table with a newline at its end, or `if_empty` where it has no rows.
    pub(super) fn finish(self, if_empty: &str) -> String {
        if self.table.is_empty() {
            format!("{if_empty}\n")
        } else {
            format!("{}\n", self.table.trim_fmt())
        }
    }
}

/// What one cell holds.
pub(super) struct Text {
    text: String,
    colour: Option<Color>,
}

impl<T: ToString> From<T> for Text {
    fn from(value: T) -> Self {
        Self {
            text: value.to_string(),
            colour: None,
        }
    }
}

/// A text that may be missing.
pub(super) fn optional(value: Option<impl ToString>) -> Text {
    value.map_or_else(|| "-".into(), Text::from)
}

/// To the second, in UTC.
pub(super) fn seconds(time: Timestamp) -> String {
    match time.to_jiff() {
        Some(at) => format!("{at:.0}"),
        None => time.to_string(),
    }
}

/// How long ago, or how far ahead, in the largest unit that says enough: `3d`, `in 2h`.
pub(super) fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.0.saturating_sub(at.0) / 1_000_000_000;
    let (ahead, seconds) = (seconds < 0, seconds.unsigned_abs());
    let (number, unit) = match seconds {
        0..60 => (seconds, "s"),
        60..3_600 => (seconds / 60, "min"),
        3_600..86_400 => (seconds / 3_600, "h"),
        86_400..63_072_000 => (seconds / 86_400, "d"),
        _ => (seconds / 31_536_000, "y"),
    };
    let ahead = if ahead { "in " } else { "" };
    format!("{ahead}{number}{unit}")
}

/// All in one line.
pub(super) fn paths(paths: &[PathBuf]) -> Text {
    if paths.is_empty() {
        return "-".into();
    }
    let paths: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
    paths.join(", ").into()
}

/// Red where any use is an alert.
pub(super) fn state(state: CredentialState) -> Text {
    let colour = match state {
        CredentialState::Active => None,
        CredentialState::Rotating | CredentialState::Expired => Some(Color::Yellow),
        CredentialState::Retired | CredentialState::Revoked => Some(Color::Red),
        CredentialState::Decoy => Some(Color::Magenta),
    };
    Text {
        text: state.to_string(),
        colour,
    }
}

/// The more it matters, the redder.
pub(super) fn severity(severity: Severity) -> Text {
    let colour = match severity {
        Severity::Low => None,
        Severity::Medium => Some(Color::Yellow),
        Severity::High | Severity::Critical => Some(Color::Red),
    };
    Text {
        text: severity.as_str().to_uppercase(),
        colour,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_line_and_says_nothing_to_the_terminal() {
        let mut rows = Rows::new(&["NAME", "PATHS"]);
        rows.add([
            "a\nb\u{1b}[2J".into(),
            paths(&["/x".into(), "/y\u{202e}".into()]),
        ]);
        rows.add(["long".repeat(100).into(), optional(None::<u8>)]);
        let text = rows.finish("none");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[1].starts_with("a\\nb\\u{1b}[2J "), "{text}");
        assert!(lines[1].ends_with("/x, /y\\u{202e}"), "{text}");
        assert_eq!(Rows::new(&["A"]).finish("No rows."), "No rows.\n");
    }

    #[test]
    fn an_age_is_short_and_says_its_direction() {
        let now = Timestamp::from_unix_seconds(100_000_000);
        for (seconds, text) in [
            (0, "0s"),
            (-90, "1min"),
            (-7_200, "2h"),
            (-86_400 * 9, "9d"),
            (7_300, "in 2h"),
        ] {
            let at = Timestamp::from_unix_seconds(100_000_000 + seconds);
            assert_eq!(age(at, now), text);
        }
    }

    #[test]
    fn times_are_short() {
        assert_eq!(
            seconds(Timestamp(1_777_644_201_123_456_000)),
            "2026-05-01T14:03:21Z"
        );
    }
}
