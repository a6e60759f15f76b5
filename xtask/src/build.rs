//! `cargo xtask build`: the daemon with its kernel half.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::Result;

use crate::{process, setup, ui, usage};

/// In which profile to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Release,
    Debug,
}

/// The command line's `build`.
pub(crate) fn command(workspace: &Path, args: &[String]) -> Result<ExitCode> {
    let mut profile = Profile::Release;
    for arg in args {
        match arg.as_str() {
            "--release" => profile = Profile::Release,
            "--debug" => profile = Profile::Debug,
            other => return Err(usage(format!("build does not know `{other}`"))),
        }
    }
    setup::ensure(workspace, setup::Needs::BUILD)?;
    let binary = daemon(workspace, profile)?;
    eprintln!("Built {}", binary.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the daemon and gives its path.
///
/// # Errors
/// When it does not build; cargo has said why.
pub(crate) fn daemon(workspace: &Path, profile: Profile) -> Result<PathBuf> {
    ui::heading("Building the daemon");
    daemon_with(workspace, profile, &[])
}

/// The same with more arguments for cargo.
///
/// # Errors
/// When it does not build; cargo has said why.
pub(crate) fn daemon_with(workspace: &Path, profile: Profile, more: &[&str]) -> Result<PathBuf> {
    let mut cargo = cargo(workspace, "build");
    cargo
        .args(["--package", "monitor", "--bin", "credwatch"])
        .args(more);
    let folder = match profile {
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
        Profile::Debug => "debug",
    };
    process::run(&mut cargo)?;
    Ok(target_dir(workspace).join(folder).join("credwatch"))
}

/// A cargo in the workspace that refuses to build a daemon without its kernel half.
pub(crate) fn cargo(workspace: &Path, subcommand: &str) -> Command {
    let mut cargo = process::cargo();
    cargo
        .current_dir(workspace)
        .env("CREDWATCH_BPF", "require")
        .arg(subcommand);
    if env::var_os("CI").is_some() {
        cargo.arg("--locked");
    }
    cargo
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir(workspace: &Path) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    workspace.join(target)
}
