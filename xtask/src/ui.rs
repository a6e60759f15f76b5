//! What people see: marks, tables, colours only on a terminal.

use std::{
    env,
    io::{self, IsTerminal as _},
    time::Duration,
};

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Ok,
    Missing,
    Failed,
    Skipped,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Ok => "32",
            Self::Missing | Self::Skipped => "33",
            Self::Failed => "31",
        }
    }
}

/// Whether the terminal behind standard error may be coloured and rewritten.
pub(crate) fn on_terminal() -> bool {
    io::stderr().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn coloured() -> bool {
    on_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn paint(text: &str, colour: &str) -> String {
    match coloured() {
        true => format!("\x1b[{colour}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

/// `error:`, in red where that is welcome.
pub(crate) fn error_word() -> String {
    paint("error:", "1;31")
}

/// A line above what follows.
pub(crate) fn heading(text: &str) {
    eprintln!("{}", paint(text, "1"));
}

/// A table of marked rows; every column is as wide as its widest cell.
pub(crate) fn table(rows: &[(Mark, Vec<String>)]) {
    let columns = rows.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let lengths = rows.iter().filter_map(|(_, cells)| cells.get(column));
            lengths.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for (mark, cells) in rows {
        // Padded before it is painted: escape codes have no width.
        let mut line = format!("  {}", paint(&format!("{:<8}", mark.word()), mark.colour()));
        for (cell, width) in cells.iter().zip(&widths) {
            line.push_str(&format!(" {cell:<width$} "));
        }
        eprintln!("{}", line.trim_end());
    }
}

/// `3.2 s`, `2 min 5 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        whole => format!("{} min {} s", whole / 60, whole % 60),
    }
}

/// Asks on the terminal; an empty answer is yes. Without a terminal there is nobody to ask.
pub(crate) fn confirm(question: &str) -> io::Result<bool> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Ok(true);
    }
    eprint!("{question} [Y/n] ");
    let mut answer = String::new();
    // The end of input is a no: nobody pressed return.
    if io::stdin().read_line(&mut answer)? == 0 {
        return Ok(false);
    }
    Ok(matches!(
        answer.trim().to_lowercase().as_str(),
        "" | "y" | "yes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_and_readable() {
        assert_eq!(seconds(Duration::from_millis(3240)), "3.2 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 5 s");
    }
}
