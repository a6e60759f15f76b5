//! What is wrong with a configuration file, where, and what to do about it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One mistake in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Line and column, both from 1, the column in characters. `None` when the file as a whole
    /// is meant, for instance because it cannot be read.
    pub position: Option<(usize, usize)>,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl Problem {
    /// A mistake at a span of bytes of `text`, the content of `file`.
    pub(super) fn at(file: &Path, text: &str, span: Range<usize>, message: String) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).map_or(0, |s| s.chars().count()) + 1;
        Self {
            file: file.to_owned(),
            position: Some((line, column)),
            message,
        }
    }

    /// A mistake that concerns all of `file`.
    pub(super) fn whole(file: &Path, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            position: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Every mistake that was found, one a line as `FILE:LINE:COLUMN: what is wrong; what to do`.
/// The process that meets it ends with exit code 78.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// `None` when there are no problems.
    pub(super) fn of(problems: Vec<Problem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self { problems })
    }

    /// The mistakes, in the order of the files and of their lines.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        let text = "a = 1\nü = 2\n";
        let at = |start| Problem::at(Path::new("f"), text, start..start, String::new()).position;
        assert_eq!(at(0), Some((1, 1)));
        assert_eq!(at(6), Some((2, 1)));
        // `ü` is two bytes and one column.
        assert_eq!(at(8), Some((2, 2)));
        assert_eq!(at(text.len()), Some((3, 1)));
        // A span that is no boundary of the text must not panic.
        assert_eq!(at(7), Some((3, 1)));
    }
}
