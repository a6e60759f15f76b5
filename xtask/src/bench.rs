//! `cargo xtask bench`: builds the daemon and the benchmark, and runs the one under the other.
//!
//! The measuring itself is the crate `xtask/bench`: it needs system calls, and what the daemon's
//! build script depends on stays light.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{
    build::{self, Profile},
    process, setup,
};

/// The command line's `bench`; the benchmark itself reads the arguments.
pub(crate) fn command(workspace: &Path, args: Vec<String>) -> Result<ExitCode> {
    setup::ensure(workspace, setup::Needs::BENCH)?;
    let daemon = build::daemon(workspace, Profile::Release)?;
    let mut cargo = build::cargo(workspace, "build");
    process::run(cargo.args(["--release", "--package", "bench"]))?;

    let mut bench = Command::new(build::target_dir(workspace).join("release/bench"));
    bench.arg("--daemon").arg(daemon);
    if !args.iter().any(|arg| arg.starts_with("--dir")) {
        // Not /tmp: the daemon watches staging places, and may tell so, but what is to be measured
        // is a file that it has no interest in.
        bench.arg("--dir").arg(build::target_dir(workspace));
    }
    bench.args(args);
    let mut bench = process::as_root(bench)?;
    let status = bench
        .status()
        .with_context(|| format!("cannot run {}", process::shown(&bench)))?;
    // The benchmark has said what went wrong.
    Ok(ExitCode::from(
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    ))
}
