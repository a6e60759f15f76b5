//! The build script of `monitor`: builds the kernel half and lays its object where the daemon
//! includes it from.
//!
//! Without a BPF toolchain the object is empty: everything but `credwatch run` works, so that the
//! workspace can be checked, documented and tested on any machine. `CREDWATCH_BPF=require` makes
//! that an error, `CREDWATCH_BPF=skip` does not even look for a toolchain.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use crate::{
    ebpf::{self, BuildError},
    toolchain::{self, BpfTarget},
};
use anyhow::{Context as _, Result, bail};

/// The variable that says what a missing toolchain means.
pub const POLICY: &str = "CREDWATCH_BPF";

/// Does the build script's work and says what went wrong in cargo's way.
#[must_use]
pub fn run() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<()> {
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = package.parent().context("monitor lies in no workspace")?;
    let target = BpfTarget::new(
        &variable("CARGO_CFG_TARGET_ARCH")?,
        &variable("CARGO_CFG_TARGET_ENDIAN")?,
    );

    println!("cargo::rerun-if-changed=build.rs");
    for input in ebpf::inputs(workspace) {
        println!("cargo::rerun-if-changed={}", input.display());
    }

    let policy = env::var(POLICY).unwrap_or_default();
    match policy.as_str() {
        "" | "auto" | "require" => {}
        "skip" => return host_only(&out_dir, "CREDWATCH_BPF=skip is set; unset it"),
        other => bail!("{POLICY}={other} means nothing: set it to require, skip or auto"),
    }

    let began = SystemTime::now();
    let built = ebpf::build(workspace, &out_dir, &target);
    // Exists from the first search on; a toolchain installed later changes it.
    let outcome = toolchain::outcome_file(&toolchain::work_dir(workspace));
    backdate(&outcome, began);
    println!("cargo::rerun-if-changed={}", outcome.display());
    match built {
        Ok(built) => {
            for line in &built.warnings {
                println!("cargo::warning={line}");
            }
            Ok(())
        }
        Err(error @ BuildError::NoToolchain(_)) if policy != "require" => {
            for line in error.to_string().lines() {
                eprintln!("{line}");
            }
            host_only(
                &out_dir,
                "no BPF toolchain was found; type `cargo xtask setup`",
            )
        }
        Err(error) => Err(error.into()),
    }
}

/// A file that this very script wrote is newer than the script's start, and cargo would run the
/// script again next time. One that was there before is left alone.
fn backdate(file: &Path, began: SystemTime) {
    // File times come from the kernel's coarse clock, which is up to a tick behind.
    let Some(nearly) = began.checked_sub(Duration::from_millis(100)) else {
        return;
    };
    let written_now = fs::metadata(file)
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|modified| modified >= nearly);
    if written_now && let Some(before) = began.checked_sub(Duration::from_secs(2)) {
        // If that fails the price is one needless run of this script.
        let _ = fs::File::open(file).and_then(|file| file.set_modified(before));
    }
}

fn host_only(out_dir: &Path, why_and_fix: &str) -> Result<()> {
    // With the object in place the variable does not matter, and a change of it rebuilds nothing.
    println!("cargo::rerun-if-env-changed={POLICY}");
    println!(
        "cargo::warning=this is a host-only build and `credwatch run` will refuse to start: \
         {why_and_fix}, then build again"
    );
    for name in [ebpf::OBJECT, ebpf::OBJECT_BY_NUMBER] {
        let object = out_dir.join(name);
        fs::write(&object, []).with_context(|| format!("cannot write {}", object.display()))?;
    }
    Ok(())
}

fn variable(name: &str) -> Result<String> {
    env::var(name)
        .with_context(|| format!("{name}, which cargo sets for build scripts, is not set"))
}
