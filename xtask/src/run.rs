//! `cargo xtask run`: the daemon in the foreground, as root.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{
    build::{self, Profile},
    process, setup, ui,
};

/// The command line's `run`.
pub(crate) fn command(workspace: &Path, mut args: Vec<String>) -> Result<ExitCode> {
    if args.first().is_some_and(|arg| arg == "--") {
        args.remove(0);
    }
    setup::ensure(workspace, setup::Needs::BUILD)?;
    let binary = build::daemon(workspace, Profile::Release)?;

    let mut daemon = Command::new(&binary);
    daemon.arg("run").args(&args);
    let mut daemon = process::as_root(daemon)?;
    let client = match process::is_root() {
        true => binary.display().to_string(),
        false => format!("sudo {}", binary.display()),
    };
    ui::heading("Starting the daemon; Ctrl-C ends it");
    eprintln!("  From another terminal:");
    for (subcommand, meaning) in [
        ("status", "whether it is ready, its hooks and its losses"),
        ("credentials", "the credentials it found and their states"),
        ("alerts", "what it has raised"),
        (
            "retire PATH",
            "declare a credential decommissioned, then read it",
        ),
    ] {
        eprintln!("    {client} {subcommand:<12} {meaning}");
    }
    // In our place, so that signals and the exit code are the daemon's own.
    let error = daemon.exec();
    Err(error).with_context(|| format!("cannot start {}", process::shown(&daemon)))
}
