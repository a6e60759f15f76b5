//! Where a BPF toolchain is to be had, for a machine that has none that works.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use xtask::toolchain::{Compiler, OLDEST_RUSTC};

use super::apt;
use crate::process;

/// The `bpf-linker` that is installed where none works.
pub(super) const LINKER_VERSION: &str = "0.13.0";

/// The releases of LLVM that this version links with: its features `llvm-21` to `llvm-23`.
const LINKER_LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// Distributions' compilers that have a package with core for BPF: both packages, and the clippy
/// that goes with them.
const DISTRIBUTION: [Packages; 2] = [
    Packages {
        rustc: "rustc",
        core: "libstd-rust-dev-bpf",
        clippy: "rust-clippy",
    },
    Packages {
        rustc: "rustc-web",
        core: "libstd-rust-web-dev-bpf",
        clippy: "rust-web-clippy",
    },
];

/// A compiler's packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packages {
    pub(super) rustc: &'static str,
    pub(super) core: &'static str,
    pub(super) clippy: &'static str,
}

impl Packages {
    /// The first pair on offer that is new enough, and the release of LLVM it is built with.
    pub(super) fn on_offer() -> Option<(Self, u32)> {
        DISTRIBUTION.into_iter().find_map(|packages| {
            let version = apt::version_on_offer(packages.core)?;
            let llvm = apt::llvm_of(packages.rustc)?;
            (version >= OLDEST_RUSTC && LINKER_LLVM.contains(&llvm)).then_some((packages, llvm))
        })
    }

    /// The packages that an installed distribution compiler came in.
    pub(super) fn of(compiler: &Compiler) -> Option<Self> {
        let output = Command::new("dpkg")
            .arg("--search")
            .arg(&compiler.rustc)
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let said = String::from_utf8(output.stdout).ok()?;
        let owner = said.split([':', ',']).next()?;
        DISTRIBUTION
            .into_iter()
            .find(|packages| packages.rustc == owner)
    }
}

/// The release of LLVM inside a compiler, from `LLVM version: 22.1.8`.
pub(super) fn llvm_inside(compiler: &Compiler) -> Option<u32> {
    let output = Command::new(&compiler.rustc)
        .arg("-vV")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    parse_llvm_version(&String::from_utf8(output.stdout).ok()?)
}

fn parse_llvm_version(verbose: &str) -> Option<u32> {
    let version = verbose
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.parse().ok()
}

/// Where the LLVM of a release is installed with what is needed to link with it.
pub(super) fn llvm_prefix(release: u32) -> Option<PathBuf> {
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{release}"));
    prefix.join("lib/libLLVM.so").exists().then_some(prefix)
}

/// The package of it.
pub(super) fn llvm_package(release: u32) -> String {
    format!("llvm-{release}-dev")
}

/// The command that compiles `bpf-linker` against an LLVM.
pub(super) fn install_linker(release: u32) -> Command {
    let mut command = process::cargo();
    command
        .env("LLVM_PREFIX", format!("/usr/lib/llvm-{release}"))
        .args(["install", "bpf-linker", "--version", LINKER_VERSION])
        .args(["--no-default-features", "--features"])
        .arg(format!("llvm-{release}"))
        // One that is there already did not work with this compiler.
        .args(["--locked", "--force"]);
    // Set for us by cargo; they would aim the installation at our own workspace or toolchain.
    for variable in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTFLAGS"] {
        command.env_remove(variable);
    }
    command
}

/// The command by which rustup installs a compiler with the sources of core.
pub(super) fn install_nightly() -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["toolchain", "install", "nightly", "--profile", "minimal"])
        .args(["--component", "rust-src", "--component", "clippy"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llvm_is_read_from_rustc() {
        assert_eq!(
            parse_llvm_version("rustc 1.96.0\nrelease: 1.96.0\nLLVM version: 22.1.8\n"),
            Some(22)
        );
        assert_eq!(parse_llvm_version("release: 1.96.0\n"), None);
    }

    #[test]
    fn the_linker_is_installed_for_the_llvm_of_the_compiler() {
        let shown = process::shown(&install_linker(22));
        assert!(
            shown.starts_with("LLVM_PREFIX=/usr/lib/llvm-22 "),
            "{shown}"
        );
        assert!(shown.contains("--features llvm-22 --locked"), "{shown}");
    }
}
