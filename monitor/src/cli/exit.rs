//! How a command ends: its exit code, and its last words.

use std::io::{self, Write};
use std::process::ExitCode;

use owo_colors::OwoColorize;

use super::escape::escape;
use crate::control::ControlError;
use crate::storage::StorageError;

/// It failed while running.
const RUNTIME: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// The configuration is wrong: `EX_CONFIG` of sysexits.h, on which systemd can be told not to
/// start again.
const CONFIGURATION: u8 = 78;

/// What a command returns.
pub type CommandResult = Result<(), CommandError>;

/// Why a command did not end well.
#[derive(Debug)]
pub enum CommandError {
    /// It failed while running: exit code 1.
    Runtime(anyhow::Error),
    /// An argument is wrong in a way that only this command knows: exit code 2.
    Usage(String),
    /// The configuration is wrong: exit code 78.
    Configuration(anyhow::Error),
    /// It is done, and what was asked has another answer than yes: this exit code and no words.
    Answer(u8),
    /// Whoever read the output has gone, as `head` does: exit code 0 and no words.
    OutputClosed,
}

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> Self {
        Self::Runtime(error)
    }
}

impl From<ControlError> for CommandError {
    fn from(error: ControlError) -> Self {
        Self::Runtime(error.into())
    }
}

impl From<StorageError> for CommandError {
    fn from(error: StorageError) -> Self {
        Self::Runtime(error.into())
    }
}

/// Says on stderr what went wrong and gives the exit code.
pub(super) fn finish(result: CommandResult) -> ExitCode {
    let (code, text) = match result {
        Ok(()) | Err(CommandError::OutputClosed) => return ExitCode::SUCCESS,
        Err(CommandError::Answer(code)) => return ExitCode::from(code),
        Err(CommandError::Runtime(error)) => (RUNTIME, in_words(&error)),
        Err(CommandError::Usage(text)) => (USAGE, text),
        Err(CommandError::Configuration(error)) => (CONFIGURATION, in_words(&error)),
    };
    say("error:".red().bold(), &text);
    ExitCode::from(code)
}

/// Prints clap's help, version or error, and gives the exit code.
pub(super) fn finish_parse(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    match printed {
        Err(problem) if problem.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(RUNTIME),
        _ if error.use_stderr() => ExitCode::from(USAGE),
        _ => ExitCode::SUCCESS,
    }
}

/// A remark on stderr, where it does not mix with data.
pub(super) fn note(text: &str) {
    say("note:".cyan().bold(), text);
}

fn say(prefix: impl std::fmt::Display, text: &str) {
    // A configuration's mistakes are a line each; all else that controls a terminal is shown.
    let lines: Vec<_> = text.lines().map(escape).collect();
    // Colours are taken out where stderr is no terminal or NO_COLOR is set. There is nobody to
    // tell when stderr is closed.
    let _ = writeln!(anstream::stderr(), "{prefix} {}", lines.join("\n  "));
}

/// The error and its causes; a cause that the message names already is not said again.
fn in_words(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn causes_are_said_once() {
        let inner = ControlError::Io {
            doing: "lock",
            path: "/x".into(),
            source: io::Error::other("odd"),
        };
        let error = Err::<(), _>(inner).context("cannot start").unwrap_err();
        assert_eq!(in_words(&error), "cannot start: cannot lock /x: odd");
    }
}
