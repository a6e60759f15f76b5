//! Debian's packages: what is to be had, and installing it.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::process;

/// Whether this system has them.
pub(super) fn present() -> bool {
    process::which("apt-get").is_some() && process::which("apt-cache").is_some()
}

/// The command that brings the lists of packages up to date.
pub(super) fn update() -> Command {
    let mut command = apt_get();
    command.arg("update");
    command
}

/// The command that installs packages. It would rather fail than remove one that is there:
/// Debian's `rustc-web` takes the place of `rustc`, which is for the owner to decide.
pub(super) fn install<'a>(packages: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = apt_get();
    command
        .args(["install", "--yes", "--no-install-recommends", "--no-remove"])
        .args(packages);
    command
}

/// Runs one of them as root.
///
/// # Errors
/// When it fails, with apt's last words.
pub(super) fn run(step: &str, command: Command) -> Result<()> {
    process::run_quietly(step, &mut process::as_root(command)?)
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// The version of a package that would be installed: major and minor, for rustc's packages.
pub(super) fn version_on_offer(package: &str) -> Option<(u32, u32)> {
    parse_candidate(&ask(&["policy", package])?)
}

/// The major version of the LLVM that a package's programs are linked with.
pub(super) fn llvm_of(package: &str) -> Option<u32> {
    let arguments = [
        "depends",
        "--recurse",
        "--no-recommends",
        "--no-suggests",
        "--no-conflicts",
        "--no-breaks",
        "--no-replaces",
        "--no-enhances",
        package,
    ];
    parse_llvm(&ask(&arguments)?)
}

fn ask(arguments: &[&str]) -> Option<String> {
    let output = Command::new("apt-cache")
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()
}

fn parse_candidate(policy: &str) -> Option<(u32, u32)> {
    let version = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    // An epoch, `1:`, says nothing about the program's own version.
    let version = version
        .split_once(':')
        .map_or(version, |(_, version)| version);
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn parse_llvm(depends: &str) -> Option<u32> {
    depends
        .lines()
        .filter_map(|line| {
            line.trim()
                .trim_start_matches("Depends: ")
                .strip_prefix("libllvm")
        })
        .filter_map(|version| version.parse().ok())
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_on_offer_is_read_from_the_policy() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  \
                      Version table:\n     1.85.0+dfsg3-1~deb12u3 500\n";
        assert_eq!(parse_candidate(policy), Some((1, 96)));
        assert_eq!(
            parse_candidate("gcc:\n  Candidate: 4:12.2.0-3\n"),
            Some((12, 2))
        );
        assert_eq!(parse_candidate("x:\n  Candidate: (none)\n"), None);
        assert_eq!(parse_candidate(""), None);
    }

    #[test]
    fn llvm_is_read_from_the_dependencies() {
        let depends = "libstd-rust-web-1.96\n  Depends: libc6\n  Depends: libllvm22\nlibllvm22\n  \
                       Depends: libllvm-helper\n";
        assert_eq!(parse_llvm(depends), Some(22));
        assert_eq!(parse_llvm("rustc\n  Depends: gcc\n"), None);
    }
}
