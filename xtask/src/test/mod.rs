//! `cargo xtask test`: all tests; those in the module `live` of the package `tests` run the daemon on
//! this machine's kernel and need root.

mod outcome;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result};

pub(crate) use self::outcome::Outcome;
use crate::{
    build::{self, Profile},
    process, setup, ui,
};

/// The daemon that the tests start.
const DAEMON: &str = "CREDWATCH_BIN";

/// A file to which a test that sees that it cannot run here adds a line, `NAME<tab>REASON`, before it
/// returns: Rust's harness has no word for that.
const SKIPS: &str = "CREDWATCH_TEST_SKIPS";

/// The command line's `test`.
pub(crate) fn command(workspace: &Path, args: &[String]) -> Result<ExitCode> {
    let report = run(workspace, args)?;
    report.print();
    Ok(report.exit_code())
}

/// A finished run.
pub(crate) struct Report {
    outcome: Outcome,
    /// What is wrong beyond failed tests, or worth knowing.
    complaints: Vec<String>,
    notes: Vec<String>,
}

impl Report {
    fn new() -> Self {
        Self {
            outcome: Outcome::default(),
            complaints: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Whether everything that should have run did, and passed.
    pub(crate) fn good(&self) -> bool {
        self.outcome.all.failed == 0 && self.complaints.is_empty()
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.good() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    /// The summary; its last line is the plain one that machines read.
    pub(crate) fn print(&self) {
        let Outcome { all, live, .. } = &self.outcome;
        for note in &self.notes {
            eprintln!("note: {note}");
        }
        for complaint in &self.complaints {
            eprintln!("{} {complaint}", ui::error_word());
        }
        println!();
        println!("Live kernel tests: {} ({live})", live.total());
        println!("{all}");
    }
}

/// Sets up, builds the daemon and runs the tests. Arguments before `--` are names to look for, those
/// behind it are for the test harness.
///
/// # Errors
/// When something could not be installed, built or started; failed tests are in the report.
pub(crate) fn run(workspace: &Path, args: &[String]) -> Result<Report> {
    setup::ensure(workspace, setup::Needs::TEST)?;
    let daemon = build::daemon(workspace, Profile::Release)?;
    let skips = build::target_dir(workspace).join(format!("test-skips-{}", std::process::id()));
    let runner = Runner {
        workspace,
        daemon,
        skips,
        args,
        variables: &[],
    };
    let report = runner.run();
    // It exists only if a test wrote to it.
    let _ = fs::remove_file(&runner.skips);
    report
}

/// Runs the tests of some packages only, with a daemon that is built already. The names are what to look
/// for, and the tests are told more by variables.
///
/// # Errors
/// When they cannot be started; failed tests are in the report.
pub(crate) fn run_one(
    workspace: &Path,
    daemon: &Path,
    packages: &[&str],
    names: &[String],
    variables: &[(&str, &Path)],
) -> Result<Report> {
    let skips = build::target_dir(workspace).join(format!("test-skips-{}", std::process::id()));
    let runner = Runner {
        workspace,
        daemon: daemon.to_owned(),
        skips,
        args: names,
        variables,
    };
    let mut report = Report::new();
    ui::heading("Running the tests");
    let mut cargo = runner.cargo_test(packages);
    if !process::is_root() {
        cargo.arg("--config").arg(runner.sudo_runner());
    }
    cargo.arg("--").args(names);
    let result = runner.take_in(cargo, &mut report);
    runner.count_skips(&mut report);
    // It exists only if a test wrote to it.
    let _ = fs::remove_file(&runner.skips);
    result?;
    if report.outcome.all.total() == 0 {
        let none = format!("no test's name contains {}", names.join(" or "));
        report.complaints.push(none);
    }
    Ok(report)
}

struct Runner<'a> {
    workspace: &'a Path,
    daemon: PathBuf,
    skips: PathBuf,
    args: &'a [String],
    /// What tests are told beside the daemon.
    variables: &'a [(&'a str, &'a Path)],
}

impl Runner<'_> {
    fn run(&self) -> Result<Report> {
        let mut report = Report::new();
        let (filters, harness) = match self.args.iter().position(|arg| arg == "--") {
            Some(dashes) => (&self.args[..dashes], &self.args[dashes + 1..]),
            None => (self.args, &[][..]),
        };
        let with = |mut cargo: Command, extra: &[&str]| {
            // Names go to the harness too: cargo itself takes only one.
            cargo.arg("--").args(filters).args(harness).args(extra);
            cargo
        };

        ui::heading("Running the tests");
        if process::is_root() {
            self.take_in(with(self.cargo_test(&["--workspace"]), &[]), &mut report)?;
        } else if process::which("sudo").is_some() {
            report
                .notes
                .push("the live tests need root: their program ran under sudo".into());
            let rest = self.cargo_test(&["--workspace", "--exclude", "tests"]);
            self.take_in(with(rest, &[]), &mut report)?;
            let mut live = self.cargo_test(&["--package", "tests"]);
            live.arg("--config").arg(self.sudo_runner());
            self.take_in(with(live, &[]), &mut report)?;
        } else {
            let all = self.cargo_test(&["--workspace"]);
            self.take_in(with(all, &["--skip", "live::"]), &mut report)?;
            let mut list = with(self.cargo_test(&["--package", "tests"]), &["--list"]);
            let output = list.stderr(Stdio::null()).output()?;
            let live = String::from_utf8_lossy(&output.stdout)
                .lines()
                .filter(|line| line.starts_with("live::") && line.ends_with(": test"))
                .count();
            report.outcome.live_left_out(u64::try_from(live)?);
            report
                .notes
                .push("the live tests need root and there is no sudo: they were left out".into());
        }
        self.count_skips(&mut report);

        if process::is_root() && report.outcome.live.skipped > 0 {
            let number = report.outcome.live.skipped;
            report.complaints.push(format!(
                "as root no live test may be skipped, and {number} were"
            ));
        }
        if report.outcome.all.total() == 0 {
            let what = match filters {
                [] => "there are no tests".to_owned(),
                names => format!("no test's name contains {}", names.join(" or ")),
            };
            report.complaints.push(what);
        }
        Ok(report)
    }

    fn cargo_test(&self, packages: &[&str]) -> Command {
        let mut cargo = build::cargo(self.workspace, "test");
        cargo.args(packages).arg("--no-fail-fast");
        cargo.env(DAEMON, &self.daemon).env(SKIPS, &self.skips);
        cargo.envs(self.variables.iter().copied());
        cargo
    }

    /// cargo's setting that starts a test program under sudo, which drops the environment.
    fn sudo_runner(&self) -> String {
        let tests = self.workspace.join("tests");
        let variables = [
            (DAEMON, self.daemon.as_path()),
            (SKIPS, self.skips.as_path()),
            ("CARGO_MANIFEST_DIR", tests.as_path()),
        ];
        let variables = variables.iter().chain(self.variables);
        let variables: Vec<_> = variables
            .map(|(name, value)| format!("'{name}={}'", value.display()))
            .collect();
        // Literal strings of TOML: a path needs no escapes.
        format!(
            "target.'cfg(unix)'.runner = ['sudo', 'env', {}]",
            variables.join(", ")
        )
    }

    /// Runs one cargo, passes its output on and counts.
    fn take_in(&self, mut cargo: Command, report: &mut Report) -> Result<()> {
        let shown = process::shown(&cargo);
        let mut child = cargo
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {shown}"))?;
        let failed_before = report.outcome.all.failed;
        if let Some(stdout) = child.stdout.take() {
            let mut reader = BufReader::new(stdout);
            let mut bytes = Vec::new();
            while reader.read_until(b'\n', &mut bytes)? > 0 {
                let line = String::from_utf8_lossy(&bytes);
                print!("{line}");
                report.outcome.line(line.trim_end());
                bytes.clear();
            }
        }
        let status = child.wait()?;
        if !status.success() && report.outcome.all.failed == failed_before {
            // No test failed by its own word: it did not compile, or a test program died.
            report.outcome.crashed();
            report
                .complaints
                .push(format!("{status}, with no failed test: {shown}"));
        }
        Ok(())
    }

    fn count_skips(&self, report: &mut Report) {
        let Ok(text) = fs::read_to_string(&self.skips) else {
            return;
        };
        for line in text.lines() {
            let (name, reason) = line.split_once('\t').unwrap_or((line, "no reason given"));
            report.outcome.skipped_itself(name);
            report.notes.push(format!("{name} could not run: {reason}"));
        }
    }
}
