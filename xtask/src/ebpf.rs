//! Builds and lints the kernel half, `monitor-ebpf`: a workspace of its own, compiled for BPF.

use std::{
    env, fmt, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    inner_cargo,
    toolchain::{self, BpfTarget, NotFound, Toolchain},
};

/// The name of the object, in the build's output folder too.
pub const OBJECT: &str = "monitor-ebpf";

/// The name in the output folder of the object for kernels that keep nothing with tasks.
pub const OBJECT_BY_NUMBER: &str = "monitor-ebpf-by-number";

/// Each object with the arguments that make it of the same source.
const OBJECTS: [(&str, &[&str]); 2] = [
    (OBJECT, &[]),
    (OBJECT_BY_NUMBER, &["--no-default-features"]),
];

/// Why there is no object.
#[derive(Debug)]
pub enum BuildError {
    /// Nothing on this machine compiles for BPF.
    NoToolchain(NotFound),
    /// The kernel half has errors; they are in the text.
    Compile {
        /// The toolchain that was used.
        toolchain: Box<Toolchain>,
        /// What cargo and the compiler said.
        output: String,
    },
    /// A file or program could not be used.
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToolchain(not_found) => {
                write!(f, "{not_found}\nType `cargo xtask setup` to install one")
            }
            Self::Compile { toolchain, output } => {
                write!(
                    f,
                    "the kernel half does not compile with {toolchain}\n{output}"
                )
            }
            Self::Io { doing, source } => write!(f, "cannot {doing}: {source}"),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Their texts are part of this one's already.
            Self::NoToolchain(_) | Self::Compile { .. } => None,
            Self::Io { source, .. } => Some(source),
        }
    }
}

/// The objects and what the compiler said about them.
#[derive(Debug)]
pub struct Built {
    /// With what it was built.
    pub toolchain: Toolchain,
    /// The compiler's warnings, a line each; empty when there are none.
    pub warnings: Vec<String>,
}

/// Builds the kernel half of the workspace and copies the objects to `out_dir` as [`OBJECT`] and
/// [`OBJECT_BY_NUMBER`].
///
/// # Errors
/// See [`BuildError`].
pub fn build(workspace: &Path, out_dir: &Path, target: &BpfTarget) -> Result<Built, BuildError> {
    let work_dir = toolchain::work_dir(workspace);
    let toolchain = toolchain::find(&work_dir, target).map_err(BuildError::NoToolchain)?;
    let mut warnings = Vec::new();
    for (object, args) in OBJECTS {
        // The host's architecture changes the code but not the triple: a folder each.
        let target_dir = work_dir.join("build").join(target.arch()).join(object);
        let said = build_one(workspace, &toolchain, target, &target_dir, args)?;
        let made = target_dir
            .join(target.triple())
            .join("release")
            .join(OBJECT);
        let to = out_dir.join(object);
        fs::copy(&made, &to).map_err(|source| BuildError::Io {
            doing: format!("copy {} to {}", made.display(), to.display()),
            source,
        })?;
        warnings.extend(said.lines().map(str::to_owned));
    }
    Ok(Built {
        toolchain,
        warnings,
    })
}

/// Returns what the compiler said.
fn build_one(
    workspace: &Path,
    toolchain: &Toolchain,
    target: &BpfTarget,
    target_dir: &Path,
    args: &[&str],
) -> Result<String, BuildError> {
    let manifest = manifest(workspace);
    let mut command = inner_cargo::command(toolchain, target, "build", &manifest, target_dir);
    command.arg("--quiet").args(args);
    if env::var_os("CI").is_some() {
        // On a developer's machine the lock file follows the manifest, as with any cargo build.
        command.arg("--locked");
    }
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| BuildError::Io {
            doing: format!("run {}", toolchain.compiler.cargo.display()),
            source,
        })?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(BuildError::Compile {
            toolchain: Box::new(toolchain.clone()),
            output: said.into_owned(),
        });
    }
    Ok(said.into_owned())
}

/// The command that lints the kernel half with warnings as errors, or `None` when the toolchain has
/// no clippy of its own.
///
/// `cargo clippy` is `cargo check` with clippy's driver in the compiler's place for the packages of
/// the workspace; driven so, any cargo serves and the driver is sure to be the compiler's own.
#[must_use]
pub fn clippy(workspace: &Path, toolchain: &Toolchain, target: &BpfTarget) -> Option<Command> {
    let driver = toolchain.clippy_driver()?;
    let target_dir = toolchain::work_dir(workspace).join("clippy");
    let manifest = manifest(workspace);
    let mut command = inner_cargo::command(toolchain, target, "check", &manifest, &target_dir);
    command
        .env("RUSTC_WORKSPACE_WRAPPER", driver)
        // How cargo-clippy hands arguments to its driver.
        .env(
            "CLIPPY_ARGS",
            "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__",
        );
    Some(command)
}

/// The manifest of the kernel half.
#[must_use]
pub fn manifest(workspace: &Path) -> PathBuf {
    workspace.join("monitor-ebpf/Cargo.toml")
}

/// Every file and folder that the object is made from.
#[must_use]
pub fn inputs(workspace: &Path) -> Vec<PathBuf> {
    [
        "monitor-ebpf/src",
        "monitor-ebpf/Cargo.toml",
        "monitor-ebpf/Cargo.lock",
        "monitor-ebpf/build.rs",
        "monitor-ebpf/.cargo",
        "monitor-common/src",
        "monitor-common/Cargo.toml",
    ]
    .iter()
    .map(|path| workspace.join(path))
    // To cargo a missing file is always a changed one.
    .filter(|path| path.exists())
    .collect()
}
