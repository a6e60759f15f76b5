//! `cargo xtask ci`: everything that must hold before a change lands; `.ci/run` calls it.

use std::{
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use xtask::{
    ebpf,
    toolchain::{BpfTarget, Toolchain},
};

use crate::{
    build, deny, kubernetes, process, setup, test,
    ui::{self, Mark},
    usage, vm,
};

/// A step that cannot be done on this machine, and why that is no failure.
struct Skipped(String);

type Step<'a> = (&'a str, Box<dyn FnOnce() -> Result<Option<Skipped>> + 'a>);

/// The command line's `ci`.
pub(crate) fn command(workspace: &Path, args: &[String]) -> Result<ExitCode> {
    if let Some(arg) = args.first() {
        return Err(usage(format!("ci does not know `{arg}`")));
    }
    let mut rows = Vec::new();
    let start = Instant::now();
    let toolchain = setup::ensure(
        workspace,
        setup::Needs::TEST | setup::Needs::LINT | setup::Needs::VM,
    )?;
    rows.push(row(Mark::Ok, "set-up", start.elapsed(), ""));

    // Every step runs though an earlier one failed: one run tells everything that is wrong.
    for (name, step) in steps(workspace, &toolchain) {
        ui::heading(&format!("== {name}"));
        let start = Instant::now();
        let result = step();
        let took = start.elapsed();
        rows.push(match result {
            Ok(None) => row(Mark::Ok, name, took, ""),
            Ok(Some(Skipped(why))) => row(Mark::Skipped, name, took, &why),
            Err(error) => {
                eprintln!("{} {name}: {error:#}", ui::error_word());
                row(Mark::Failed, name, took, &error.to_string())
            }
        });
    }

    ui::heading("== tests");
    let start = Instant::now();
    let report = test::run(workspace, &[]);
    let mark = match &report {
        Ok(report) if report.good() => Mark::Ok,
        Ok(_) | Err(_) => Mark::Failed,
    };
    rows.push(row(mark, "tests", start.elapsed(), ""));

    ui::heading("== kernels 6.1 and 6.12");
    let start = Instant::now();
    let kernels = vm::ci(workspace);
    rows.push(match &kernels {
        Ok(()) => row(Mark::Ok, "kernels 6.1 and 6.12", start.elapsed(), ""),
        Err(error) => {
            eprintln!("{} kernels: {error:#}", ui::error_word());
            row(
                Mark::Failed,
                "kernels 6.1 and 6.12",
                start.elapsed(),
                &error.to_string(),
            )
        }
    });

    ui::heading("== summary");
    ui::table(&rows);
    // Its last line is the last of all: that is the one machines look for.
    report?.print();
    match rows.iter().any(|(mark, _)| *mark == Mark::Failed) {
        true => Ok(ExitCode::FAILURE),
        false => Ok(ExitCode::SUCCESS),
    }
}

fn row(mark: Mark, name: &str, took: Duration, note: &str) -> (Mark, Vec<String>) {
    // Only the first line: the whole text stands above.
    let note = note.lines().next().unwrap_or_default().to_owned();
    (mark, vec![name.to_owned(), ui::seconds(took), note])
}

fn steps<'a>(workspace: &'a Path, toolchain: &'a Toolchain) -> Vec<Step<'a>> {
    let cargo = |subcommand| build::cargo(workspace, subcommand);
    vec![
        (
            "format",
            Box::new(move || {
                process::run(
                    process::cargo()
                        .current_dir(workspace)
                        .args(["fmt", "--all", "--check"]),
                )?;
                let mut fmt = process::cargo();
                fmt.current_dir(workspace)
                    .args(["fmt", "--check", "--manifest-path"]);
                process::run(fmt.arg(ebpf::manifest(workspace)))?;
                Ok(None)
            }),
        ),
        (
            "clippy",
            Box::new(move || {
                let mut clippy = cargo("clippy");
                clippy.args(["--workspace", "--all-targets", "--", "-D", "warnings"]);
                process::run(&mut clippy)?;
                Ok(None)
            }),
        ),
        (
            "clippy with the API watch",
            Box::new(move || {
                let mut clippy = cargo("clippy");
                clippy.args(["--package", "monitor", "--package", "tests"]);
                clippy.args(["--features", kubernetes::FEATURES]);
                clippy.args(["--all-targets", "--", "-D", "warnings"]);
                process::run(&mut clippy)?;
                Ok(None)
            }),
        ),
        (
            "clippy for BPF",
            Box::new(move || {
                let target = BpfTarget::host();
                let Some(mut clippy) = ebpf::clippy(workspace, toolchain, &target) else {
                    return Ok(Some(Skipped(format!("{toolchain} has no clippy"))));
                };
                process::run(&mut clippy)?;
                Ok(None)
            }),
        ),
        (
            "documentation",
            Box::new(move || {
                let mut doc = cargo("doc");
                doc.args(["--workspace", "--no-deps"])
                    .env("RUSTDOCFLAGS", "-D warnings");
                process::run(&mut doc)?;
                Ok(None)
            }),
        ),
        (
            "dependencies",
            Box::new(move || {
                if !deny::installed() {
                    // Compiling it takes longer than all the other checks together.
                    let why = "cargo-deny is not installed; `cargo xtask deny` installs it";
                    return Ok(Some(Skipped(why.to_owned())));
                }
                deny::check(workspace)?;
                Ok(None)
            }),
        ),
    ]
}
