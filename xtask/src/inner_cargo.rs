//! A cargo inside a cargo: the command that builds for BPF, whatever ran us.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::Path,
    process::Command,
};

use crate::toolchain::{BpfTarget, CoreLibrary, Toolchain};

/// What cargo, rustup and people set for the host's build and would mislead the inner one.
const MISLEADING: [&str; 9] = [
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_LINKER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "MAKEFLAGS",
    "CLIPPY_ARGS",
];

/// `CARGO_…` variables that say where packages come from; all others describe the outer build.
const KEPT_PREFIXES: [&str; 6] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
];

/// `cargo SUBCOMMAND` for BPF with the toolchain's own compiler and linker, in the folder of
/// `manifest` and with a target folder of its own: the outer cargo holds the lock of the other.
pub(crate) fn command(
    toolchain: &Toolchain,
    target: &BpfTarget,
    subcommand: &str,
    manifest: &Path,
    target_dir: &Path,
) -> Command {
    let compiler = &toolchain.compiler;
    let mut command = Command::new(&compiler.cargo);
    clean(&mut command, env::vars_os().map(|(name, _)| name));
    if let Some(folder) = manifest.parent() {
        command.current_dir(folder);
    }
    command
        .arg(subcommand)
        .args(["--release", "--target", target.triple()])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(target_dir);
    if compiler.core == CoreLibrary::FromSource {
        command.args(["-Z", "build-std=core"]);
    }
    let flags = [
        // The BTF of the maps and of the programs is made from the debug information.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        // aya-ebpf lays out pt_regs by the machine that the programs will run on.
        format!("--cfg=bpf_target_arch=\"{}\"", target.arch()),
    ]
    .join("\x1f");
    command
        .env("RUSTC", &compiler.rustc)
        // BPF is a target without a stability promise: assembly for it, build-std and the
        // attributes aya-ebpf uses are unstable in every release of rustc.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env(linker_variable(target), &toolchain.linker)
        // Empty beats a wrapper from the user's cargo configuration, made for another compiler.
        .env("RUSTC_WRAPPER", "")
        .env("RUSTC_WORKSPACE_WRAPPER", "");
    command
}

fn linker_variable(target: &BpfTarget) -> String {
    let triple = target.triple().to_uppercase().replace('-', "_");
    format!("CARGO_TARGET_{triple}_LINKER")
}

fn clean(command: &mut Command, names: impl Iterator<Item = OsString>) {
    for name in names.filter(|name| misleads(name)) {
        command.env_remove(name);
    }
}

fn misleads(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    // `CARGO` itself is the outer cargo's path; ours is set by its absolute path.
    MISLEADING.contains(&name)
        || name == "CARGO"
        || (name.starts_with("CARGO_") && !KEPT_PREFIXES.iter().any(|kept| name.starts_with(kept)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_describes_the_outer_build_is_cleared() {
        for name in [
            "RUSTC",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "CARGO",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_MANIFEST_DIR",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_FEATURE_X",
        ] {
            assert!(misleads(OsStr::new(name)), "{name} must be cleared");
        }
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_MIRROR_INDEX",
            "CARGO_SOURCE_CRATES_IO_REPLACE_WITH",
            "RUSTUP_HOME",
            "HTTPS_PROXY",
        ] {
            assert!(!misleads(OsStr::new(name)), "{name} must be kept");
        }
    }
}
