//! A BPF toolchain: a rustc with `core` for BPF and a `bpf-linker` that understands its bitcode.
//!
//! Which of the installed ones work is found by trial, by compiling and linking a tiny program, and
//! never by version numbers: the LLVM inside rustc and the one behind `bpf-linker` must fit, and no
//! table of versions knows every distribution. The outcome is kept beside the build's other files
//! and tried again only when one of the compilers or linkers on the machine changes.

mod cache;
mod survey;
mod trial;

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

/// The oldest rustc that compiles aya-ebpf 0.2.1, by the `rust-version` in its manifest.
pub const OLDEST_RUSTC: (u32, u32) = (1, 87);

/// What is compiled for: BPF in one byte order, for the kernel of one machine architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BpfTarget {
    triple: &'static str,
    arch: String,
}

impl BpfTarget {
    /// For a machine whose architecture and byte order have rustc's names: `x86_64`, `little`.
    #[must_use]
    pub fn new(arch: &str, endian: &str) -> Self {
        Self {
            triple: match endian {
                "big" => "bpfeb-unknown-none",
                _ => "bpfel-unknown-none",
            },
            // rustc says riscv64gc and the like where aya-ebpf knows only the family.
            arch: match arch.starts_with("riscv64") {
                true => "riscv64".to_owned(),
                false => arch.to_owned(),
            },
        }
    }

    /// For the machine this was compiled for.
    #[must_use]
    pub fn host() -> Self {
        let endian = match cfg!(target_endian = "big") {
            true => "big",
            false => "little",
        };
        Self::new(env::consts::ARCH, endian)
    }

    /// rustc's name of the target: `bpfel-unknown-none`.
    #[must_use]
    pub fn triple(&self) -> &'static str {
        self.triple
    }

    /// The architecture of the kernel, as aya-ebpf names it: `x86_64`, `aarch64`.
    #[must_use]
    pub fn arch(&self) -> &str {
        &self.arch
    }
}

/// Where `core` for BPF comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreLibrary {
    /// Compiled ready and shipped with the compiler, as Debian does.
    Shipped,
    /// Compiled by `-Z build-std=core` from rustc's own sources.
    FromSource,
}

/// A rustc that may be able to compile for BPF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiler {
    /// What people call it: `rustup's nightly-x86_64-unknown-linux-gnu`, `/usr/bin/rustc`.
    pub name: String,
    /// The compiler itself, never rustup's proxy.
    pub rustc: PathBuf,
    /// The cargo that drives it.
    pub cargo: PathBuf,
    /// Where its `core` comes from.
    pub core: CoreLibrary,
}

/// A compiler and a linker that compiled and linked a BPF program together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The compiler.
    pub compiler: Compiler,
    /// `bpf-linker`, by its absolute path.
    pub linker: PathBuf,
}

impl Toolchain {
    /// The clippy that belongs to the compiler, where one is installed beside it: it must link
    /// the same compiler library.
    #[must_use]
    pub fn clippy_driver(&self) -> Option<PathBuf> {
        let driver = self.compiler.rustc.with_file_name("clippy-driver");
        driver.is_file().then_some(driver)
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { compiler, linker } = self;
        let core = match compiler.core {
            CoreLibrary::Shipped => "its own core",
            CoreLibrary::FromSource => "core from source",
        };
        write!(f, "{}, {core}, {}", compiler.name, linker.display())
    }
}

/// One way that did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What was tried.
    pub name: String,
    /// Why it does not work, in one line.
    pub reason: String,
}

/// No compiler and linker on this machine build for BPF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    /// Everything that was looked at, and why it does not do.
    pub attempts: Vec<Attempt>,
    /// Whether a compiler exists that only wants a `bpf-linker` fitting it.
    pub only_linker: Option<Compiler>,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no compiler here builds BPF programs")?;
        for Attempt { name, reason } in &self.attempts {
            write!(f, "\n  {name}: {reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NotFound {}

/// Where the kernel half is built and the outcome of the trials is kept: `bpf` in the target folder
/// of the workspace, shared by all profiles of the host's build.
#[must_use]
pub fn work_dir(workspace: &Path) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    workspace.join(target).join("bpf")
}

/// The file that holds the outcome of the latest trials. Its time of change is that of the outcome,
/// so that build scripts can wait on it.
#[must_use]
pub fn outcome_file(work_dir: &Path) -> PathBuf {
    work_dir.join("toolchain")
}

/// Finds a toolchain, without a trial if nothing on the machine has changed since the latest.
///
/// # Errors
/// When none works, with everything that was tried.
pub fn find(work_dir: &Path, target: &BpfTarget) -> Result<Toolchain, NotFound> {
    let survey = survey::Survey::of_this_machine(target);
    let key = survey.key(target);
    cache::read(&outcome_file(work_dir), &key)
        .unwrap_or_else(|| try_all(work_dir, target, survey, &key))
}

/// Finds a toolchain; a failure that was found before is tried again, since what is missing need
/// not be a file (a registry out of reach).
///
/// # Errors
/// When none works, with everything that was tried.
pub fn find_again(work_dir: &Path, target: &BpfTarget) -> Result<Toolchain, NotFound> {
    find(work_dir, target).or_else(|_| {
        let survey = survey::Survey::of_this_machine(target);
        let key = survey.key(target);
        try_all(work_dir, target, survey, &key)
    })
}

fn try_all(
    work_dir: &Path,
    target: &BpfTarget,
    survey: survey::Survey,
    key: &str,
) -> Result<Toolchain, NotFound> {
    let outcome = trial::first_that_works(work_dir, target, survey);
    // A read-only target folder costs a trial each time and is no reason to fail here: the build
    // itself will say it better.
    let _ = cache::write(&outcome_file(work_dir), key, &outcome);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_follow_the_machine() {
        let x86 = BpfTarget::new("x86_64", "little");
        assert_eq!((x86.triple(), x86.arch()), ("bpfel-unknown-none", "x86_64"));
        let arm = BpfTarget::new("aarch64", "little");
        assert_eq!(
            (arm.triple(), arm.arch()),
            ("bpfel-unknown-none", "aarch64")
        );
        let z = BpfTarget::new("s390x", "big");
        assert_eq!((z.triple(), z.arch()), ("bpfeb-unknown-none", "s390x"));
        assert_eq!(BpfTarget::new("riscv64gc", "little").arch(), "riscv64");
    }
}
