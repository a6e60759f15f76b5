//! Other programs: finding them, running them, and saying how they went.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::ui;

/// How many of the last lines of a failed program are worth showing.
const LINES_SHOWN: usize = 25;

/// The file of a program, looked for on the search path and where daemons are installed.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Whether this runs as root.
pub(crate) fn is_root() -> bool {
    // `/proc/self` belongs to the effective user.
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A command as root: itself when this is root already, else through sudo, with the variables it
/// has been given.
///
/// # Errors
/// When there is neither root nor sudo.
pub(crate) fn as_root(command: Command) -> Result<Command> {
    if is_root() {
        return Ok(command);
    }
    if which("sudo").is_none() {
        bail!(
            "this needs root, and there is no sudo: type as root\n  {}",
            shown(&command)
        );
    }
    let mut sudo = Command::new("sudo");
    // sudo drops the environment; `env` sets again what the command was given.
    sudo.arg("env");
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let mut assignment = name.to_owned();
            assignment.push("=");
            assignment.push(value);
            sudo.arg(assignment);
        }
    }
    sudo.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        sudo.current_dir(folder);
    }
    Ok(sudo)
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        let value = value?;
        Some(format!("{}={}", name.display(), quoted(value)))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    variables
        .chain(words.map(quoted))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.into_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Runs a program that shows its own progress on the terminal.
///
/// # Errors
/// When it does not run or fails, with what to type to see it again.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !status.success() {
        bail!("this failed ({status}): {}", shown(command));
    }
    Ok(())
}

/// Runs a program whose output matters only when it fails, and shows meanwhile that it is alive:
/// on a terminal one line with the time and its latest words, else a line every ten seconds.
///
/// # Errors
/// When it does not run or fails, with its last words.
pub(crate) fn run_quietly(step: &str, command: &mut Command) -> Result<()> {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let (sender, lines) = mpsc::channel();
    if let Some(pipe) = child.stdout.take() {
        collect(pipe, sender.clone());
    }
    if let Some(pipe) = child.stderr.take() {
        collect(pipe, sender);
    }

    let mut said = Vec::new();
    let mut progress = Progress::new(step, start);
    let status = loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => said.push(line),
            // Both pipes are closed; all that is left is to wait.
            Err(mpsc::RecvTimeoutError::Disconnected) => thread::sleep(Duration::from_millis(20)),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        progress.show(said.last());
        if let Some(status) = child.try_wait()? {
            break status;
        }
    };
    // What is still in the pipes. Not until they close: a service that a package started may hold
    // them for as long as it runs.
    while let Ok(line) = lines.recv_timeout(Duration::from_millis(200)) {
        said.push(line);
    }
    progress.end();

    if !status.success() {
        let last = said.len().saturating_sub(LINES_SHOWN);
        bail!(
            "{step} failed ({status})\n{}\nIt was: {}",
            said[last..].join("\n"),
            shown(command)
        );
    }
    eprintln!("  {step}: done in {}", ui::seconds(start.elapsed()));
    Ok(())
}

/// Sends a pipe's lines until it closes or nobody listens.
fn collect(pipe: impl Read + Send + 'static, lines: mpsc::Sender<String>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while matches!(reader.read_until(b'\n', &mut bytes), Ok(1..)) {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            bytes.clear();
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

/// Shows that a step is still going.
struct Progress<'a> {
    step: &'a str,
    start: Instant,
    shown: Instant,
    terminal: bool,
}

impl<'a> Progress<'a> {
    fn new(step: &'a str, start: Instant) -> Self {
        Self {
            step,
            start,
            shown: start,
            terminal: ui::on_terminal(),
        }
    }

    fn show(&mut self, latest: Option<&String>) {
        let interval = Duration::from_millis(if self.terminal { 200 } else { 10_000 });
        if self.shown.elapsed() < interval {
            return;
        }
        self.shown = Instant::now();
        let elapsed = ui::seconds(self.start.elapsed());
        if self.terminal {
            let latest = latest.map_or("", String::as_str);
            let line = format!("  {} ({elapsed}) {latest}", self.step);
            let line: String = line.chars().filter(|c| !c.is_control()).take(78).collect();
            eprint!("\r\x1b[K{line}");
            // Progress is a courtesy; a closed terminal is noticed elsewhere.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("  {}: {elapsed} so far", self.step);
        }
    }

    fn end(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_one_types_them() {
        let mut command = Command::new("cargo");
        command
            .env("LLVM_PREFIX", "/usr/lib/llvm-22")
            .args(["install", "a b", "it's"]);
        let expected = r"LLVM_PREFIX=/usr/lib/llvm-22 cargo install 'a b' 'it'\''s'";
        assert_eq!(shown(&command), expected);
    }

    #[test]
    fn a_failure_brings_the_last_words_and_the_command() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first; echo last >&2; exit 3"]);
        let error = run_quietly("trying", &mut command).unwrap_err().to_string();
        assert!(error.contains("trying failed"), "{error}");
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.contains("first") && error.contains("last"), "{error}");
        assert!(error.contains("It was: sh -c"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run_quietly("trying", &mut Command::new("/no/such/program")).unwrap_err();
        assert!(error.to_string().contains("/no/such/program"));
        assert_eq!(which("no-such-program-at-all"), None);
        assert!(which("sh").is_some());
    }
}
