//! Small plots of blocks, as wide as the terminal lets them be.

use std::fmt::Write as _;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// Columns of an hour: the most that are of use.
const WIDEST: usize = 3;
/// Columns of a line's name.
const NAME: usize = 4;

/// Columns of one of a day's hours where the terminal has so many; all of them in a pipe.
pub(super) fn hour_width(columns: Option<u16>) -> usize {
    let columns = columns.map_or(80, usize::from);
    (columns.saturating_sub(NAME) / 24).clamp(1, WIDEST)
}

/// A block for a value: none for nothing, else one of eight by its share of the most.
fn block(value: f64, most: f64) -> char {
    if value <= 0.0 || most <= 0.0 {
        return ' ';
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of eight"
    )]
    let step = (value / most * 8.0).ceil().clamp(1.0, 8.0) as usize;
    BLOCKS.get(step - 1).copied().unwrap_or(' ')
}

fn hours(to: &mut String, values: &[f64], most: f64, width: usize) {
    for value in values {
        let block = block(*value, most);
        to.extend(std::iter::repeat_n(block, width));
    }
    to.truncate(to.trim_end().len());
    to.push('\n');
}

/// The hours of the day, each where its plot begins.
fn scale(to: &mut String, width: usize) {
    let _ = write!(to, "{:NAME$}", "UTC");
    for hour in (0..24).step_by(6) {
        let _ = write!(to, "{hour:<cells$}", cells = 6 * width);
    }
    to.truncate(to.trim_end().len());
    to.push('\n');
}

/// A line a day, Monday first.
pub(super) fn week(values: &[f64], width: usize) -> String {
    let most = values.iter().copied().fold(0.0, f64::max);
    let mut text = String::new();
    for (day, values) in DAYS.iter().zip(values.chunks(24)) {
        let _ = write!(text, "{day:NAME$}");
        hours(&mut text, values, most, width);
    }
    scale(&mut text, width);
    text
}

/// One line.
pub(super) fn day(values: &[f64], width: usize) -> String {
    let most = values.iter().copied().fold(0.0, f64::max);
    let mut text = format!("{:NAME$}", "");
    hours(&mut text, values, most, width);
    scale(&mut text, width);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_fits_the_terminal_and_tells_much_from_little() {
        assert_eq!(
            [Some(40), Some(60), Some(200), None].map(hour_width),
            [1, 2, 3, 3]
        );
        let mut values = vec![0.0; 168];
        (values[9], values[33], values[167]) = (8.0, 1.0, 4.0);
        let plot = week(&values, 1);
        let lines: Vec<_> = plot.lines().collect();
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[0], format!("Mon {:9}█", ""));
        assert_eq!(lines[1], format!("Tue {:9}▁", ""));
        assert_eq!(lines[6], format!("Sun {:23}▄", ""));
        assert_eq!(lines[7], "UTC 0     6     12    18");
        assert!(plot.lines().all(|line| line.chars().count() <= 28));
    }

    #[test]
    fn nothing_is_an_empty_plot() {
        assert_eq!(day(&[0.0; 24], 2).lines().next(), Some(""));
        assert!(week(&[], 1).starts_with("UTC"));
    }
}
