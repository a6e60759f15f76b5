//! `cargo xtask deny`: licences, sources, bans and known vulnerabilities of all dependencies.

use std::{
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{process, ui, usage};

/// The version the configuration in `deny.toml` is written for.
const VERSION: &str = "0.20.2";

/// The checks that need nothing but the lock file and the crates themselves.
const OFFLINE_CHECKS: [&str; 3] = ["bans", "licenses", "sources"];

/// The command line's `deny`: installs cargo-deny if need be, which takes minutes.
pub(crate) fn command(workspace: &Path, args: &[String]) -> Result<ExitCode> {
    if let Some(arg) = args.first() {
        return Err(usage(format!("deny does not know `{arg}`")));
    }
    if !installed() {
        ui::heading("Installing cargo-deny from crates.io; this takes some minutes");
        let mut install = process::cargo();
        install.args(["install", "cargo-deny", "--version", VERSION, "--locked"]);
        process::run(&mut install)?;
    }
    check(workspace)?;
    advisories(workspace)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether cargo-deny is there.
pub(crate) fn installed() -> bool {
    process::cargo()
        .args(["deny", "--version"])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Checks both workspaces by what is on this machine.
///
/// # Errors
/// When a dependency breaks a rule of `deny.toml`; cargo-deny has said which.
pub(crate) fn check(workspace: &Path) -> Result<()> {
    for manifest in ["Cargo.toml", "monitor-ebpf/Cargo.toml"] {
        process::run(cargo_deny(workspace, manifest).args(OFFLINE_CHECKS))?;
    }
    Ok(())
}

/// Checks for known vulnerabilities. The list of them is fetched from its repository, which not
/// every machine reaches: that is said and is no failure.
fn advisories(workspace: &Path) -> Result<()> {
    for manifest in ["Cargo.toml", "monitor-ebpf/Cargo.toml"] {
        let mut command = cargo_deny(workspace, manifest);
        let output = command
            .arg("advisories")
            .stdin(Stdio::null())
            .output()
            .context("cannot run cargo deny")?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() && said.contains("failed to fetch advisory database") {
            eprintln!("advisories of {manifest}: not checked, the list of them is out of reach");
            continue;
        }
        eprint!("{said}");
        anyhow::ensure!(
            output.status.success(),
            "{manifest} has advisories against it"
        );
    }
    Ok(())
}

fn cargo_deny(workspace: &Path, manifest: &str) -> Command {
    let mut command = process::cargo();
    command
        .current_dir(workspace)
        .args(["deny", "--manifest-path", manifest, "--all-features"])
        .arg("--config")
        .arg(workspace.join("deny.toml"))
        .arg("check");
    command
}
