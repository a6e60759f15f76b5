//! The program of the tests, built but not run.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::{build, process, ui};

/// What of cargo's messages matters here.
#[derive(Deserialize)]
struct Artifact {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Builds it and gives its path.
///
/// # Errors
/// When it does not build; cargo has said why.
pub(super) fn tests(workspace: &Path) -> Result<PathBuf> {
    ui::heading("Building the tests");
    let mut cargo = build::cargo(workspace, "test");
    cargo
        .args(["--package", "tests", "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    let output = cargo.output()?;
    if !output.status.success() {
        bail!(
            "this failed ({}): {}",
            output.status,
            process::shown(&cargo)
        );
    }
    String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok())
        .filter(|artifact| artifact.target.name == "tests")
        .find_map(|artifact| artifact.executable)
        .context("cargo named no program of the tests")
}
