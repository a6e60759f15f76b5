//! `cargo xtask simulate`: builds the simulator of hosts and runs it.
//!
//! The simulator is the crate `xtask/simulate`: it writes what the daemon records, and so needs all of it,
//! but not its kernel half.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{build, process};

/// The command line's `simulate`; the simulator itself reads the arguments.
pub(crate) fn command(workspace: &Path, args: Vec<String>) -> Result<ExitCode> {
    let mut cargo = process::cargo();
    cargo.current_dir(workspace);
    process::run(cargo.args(["build", "--quiet", "--release", "--package", "simulate"]))?;
    let mut simulate = Command::new(build::target_dir(workspace).join("release/simulate"));
    simulate.args(args);
    let status = simulate
        .status()
        .with_context(|| format!("cannot run {}", process::shown(&simulate)))?;
    // The simulator has said what went wrong.
    Ok(ExitCode::from(
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    ))
}
