//! The disk with a whole Debian: installed by mmdebstrap as the release came out, so that upgrades are
//! pending, with the modules of the kernel that boots it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::super::{guest, kernels::Unpacked, write_program};
use crate::process;

/// What an installer and an administrator put on such a host, beside what every Debian has.
const PACKAGES: &[&str] = &[
    "busybox-static",
    "ca-certificates",
    "curl",
    "dbus",
    "git",
    "libpam-systemd",
    "man-db",
    "nginx",
    "openssh-client",
    "openssh-server",
    "openssl",
    "podman",
    "postgresql",
    "rsyslog",
    "runc",
    "ssl-cert",
    "sshpass",
    "sudo",
];
/// Every package that the release calls important, as a Debian without any choice has them.
const VARIANT: &str = "important";
const RELEASE: &str = "deb http://deb.debian.org/debian bookworm main";
/// The file is sparse.
const SIZE: &str = "6G";
/// Changed when the same packages make another disk.
const FORMAT: u32 = 1;
/// What runs on the new system before it is made a disk.
const SCRIPT: &str = include_str!("../../../vm/debian/image");

/// The disk for a kernel, made when it is not there yet.
///
/// # Errors
/// When packages cannot be had, or the disk cannot be made.
pub(super) fn disk(cache: &Path, kernel: &Unpacked) -> Result<PathBuf> {
    let (disk, stamp) = (cache.join("debian.ext4"), cache.join("debian.stamp"));
    let wanted = format!(
        "{FORMAT} {SIZE} {VARIANT} {RELEASE}\n{PACKAGES:?}\n{}\n{SCRIPT}",
        kernel.release
    );
    if disk.is_file() && fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(disk);
    }
    let tree = cache.join("debian");
    remove(&tree)?;
    let script = cache.join("debian-image");
    write_program(&script, SCRIPT)?;
    let mut install = Command::new("mmdebstrap");
    install
        .args(["--mode=root", "--format=directory"])
        .arg(format!("--variant={VARIANT}"))
        .arg(format!("--include={}", PACKAGES.join(",")))
        // The lists and packages of pending upgrades stay.
        .arg("--skip=cleanup/apt")
        .arg(format!("--customize-hook={}", script.display()))
        .arg("--customize-hook=mkdir -p \"$1/usr/lib/modules\"")
        .arg(format!(
            "--customize-hook=copy-in {} /usr/lib/modules",
            kernel.modules.display()
        ))
        .arg("bookworm")
        .arg(&tree)
        .arg(RELEASE);
    let step = "Installing a Debian into a directory";
    process::run_quietly(step, &mut process::as_root(install)?)?;

    let part = disk.with_extension("part");
    let mke2fs = guest::mke2fs(&tree, &part, SIZE)?;
    process::run_quietly("Making its disk", &mut process::as_root(mke2fs)?)?;
    fs::rename(part, &disk)?;
    remove(&tree)?;
    fs::remove_file(script)?;
    fs::write(stamp, wanted)?;
    Ok(disk)
}

/// Removes what root has made.
fn remove(tree: &Path) -> Result<()> {
    if !tree.exists() {
        return Ok(());
    }
    let mut rm = Command::new("rm");
    rm.args(["-rf", "--one-file-system"]).arg(tree);
    process::run_quietly("Removing the directory", &mut process::as_root(rm)?)
}
