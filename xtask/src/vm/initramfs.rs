//! What a kernel needs before it has a disk: busybox, the first process's script, and modules.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::kernels::Unpacked;
use crate::process;

/// The guest's first process.
pub(super) const INIT: &str = include_str!("../../vm/init");

/// Modules to load, with what they depend on. Some kernels have some of them built in.
const MODULES: [&str; 8] = [
    "virtio_pci",
    "virtio_blk",
    "ext4",
    "overlay",
    // The tests of a gateway make interfaces, and older kernels filter by a qdisc.
    "veth",
    "8021q",
    "sch_ingress",
    "cls_bpf",
];

/// The initramfs of a kernel, made when it is not there yet.
///
/// # Errors
/// When it cannot be made.
pub(super) fn of_kernel(kernel: &Unpacked) -> Result<PathBuf> {
    let archive = kernel.directory.join("initramfs.cpio");
    let stamp = kernel.directory.join("initramfs.stamp");
    let wanted = format!("{}\n{INIT}", MODULES.join(" "));
    if archive.is_file() && fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(archive);
    }

    let staging = kernel.directory.join("initramfs");
    if staging.exists() {
        fs::remove_dir_all(&staging)?;
    }
    for name in ["bin", "dev", "modules", "proc", "root", "sys"] {
        fs::create_dir_all(staging.join(name))?;
    }
    let busybox = process::which("busybox").context("busybox is missing")?;
    fs::copy(busybox, staging.join("bin/busybox"))?;
    super::write_program(&staging.join("init"), INIT)?;
    let index = fs::read_to_string(kernel.modules.join("modules.dep"))?;
    for (number, module) in load_order(&index, &MODULES).iter().enumerate() {
        let name = module_name(module).replace('-', "_");
        let to = staging.join(format!("modules/{number:02}-{name}.ko"));
        decompress(&kernel.modules.join(module), &to)?;
    }
    pack(&staging, &archive)?;
    fs::remove_dir_all(&staging)?;
    fs::write(stamp, wanted)?;
    Ok(archive)
}

/// Appends files to an archive: the kernel unpacks several, one after the other.
///
/// # Errors
/// When the files cannot be written.
pub(super) fn with_files(
    archive: &Path,
    directory: &Path,
    files: &[(&str, &str)],
) -> Result<PathBuf> {
    let staging = directory.join("files");
    fs::create_dir_all(&staging)?;
    for (name, content) in files {
        super::write_program(&staging.join(name), content)?;
    }
    let more = directory.join("files.cpio");
    pack(&staging, &more)?;
    let whole = directory.join("initrd.cpio");
    fs::copy(archive, &whole)?;
    let mut out = File::options().append(true).open(&whole)?;
    out.write_all(&fs::read(more)?)?;
    Ok(whole)
}

/// An archive of a directory as the kernel takes it, owned by root.
fn pack(directory: &Path, archive: &Path) -> Result<()> {
    let script = "find . -print0 | cpio --null --quiet --create --format=newc --owner=0:0";
    let status = Command::new("sh")
        .args(["-c", script])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(File::create(archive)?)
        .status()?;
    ensure!(status.success(), "cpio failed ({status})");
    Ok(())
}

/// `modules.dep`: a line a module, `FILE: FILES IT NEEDS`, what is needed by others last. Gives the
/// files of the wanted modules in the order in which they can be loaded.
fn load_order<'a>(index: &'a str, wanted: &[&str]) -> Vec<&'a str> {
    let needs: HashMap<String, (&str, Vec<&str>)> = index
        .lines()
        .filter_map(|line| {
            let (file, needed) = line.split_once(':')?;
            let name = module_name(file).replace('-', "_");
            Some((name, (file, needed.split_whitespace().collect())))
        })
        .collect();
    let mut order = Vec::new();
    for (file, needed) in wanted.iter().filter_map(|name| needs.get(*name)) {
        for file in needed.iter().rev().chain([file]) {
            if !order.contains(file) {
                order.push(*file);
            }
        }
    }
    order
}

fn module_name(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name)
}

fn decompress(from: &Path, to: &Path) -> Result<()> {
    let program = match from.extension().and_then(|end| end.to_str()) {
        Some("ko") => {
            fs::copy(from, to)?;
            return Ok(());
        }
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => bail!("{} is compressed in an unknown way", from.display()),
    };
    let status = Command::new(program)
        .args(["--decompress", "--stdout"])
        .arg(from)
        .stdout(File::create(to)?)
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    ensure!(
        status.success(),
        "{program} failed on {} ({status})",
        from.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_is_loaded_before_it() {
        let index = "kernel/virtio.ko.xz:\n\
                     kernel/ring.ko.xz: kernel/virtio.ko.xz\n\
                     kernel/virtio-blk.ko.xz: kernel/ring.ko.xz kernel/virtio.ko.xz\n\
                     kernel/overlay.ko:\n";
        assert_eq!(
            load_order(index, &["virtio_blk", "built_in", "overlay"]),
            [
                "kernel/virtio.ko.xz",
                "kernel/ring.ko.xz",
                "kernel/virtio-blk.ko.xz",
                "kernel/overlay.ko"
            ]
        );
    }
}
