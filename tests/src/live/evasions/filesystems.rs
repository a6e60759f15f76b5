//! Other mounts, roots and layers over the same file, and file systems without a disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::process::{WaitOptions, chroot, getpid, waitpid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::Evasion;
use super::actor::{Act, fork};
use super::recording::file_id;
use super::scene::Scene;

/// A kernel may lack it, or have it in a module that is not there.
const OVERLAYFS: &str = "overlayfs";

pub(super) fn evasions() -> Vec<Evasion> {
    vec![
        Evasion::new("bind mount", bind_mount),
        Evasion::new("bind mount of the file", bind_mount_of_the_file),
        Evasion::new("chroot", other_root),
        Evasion::new("other mount namespace", mount_namespace),
        Evasion::new("user namespace", user_namespace).needs("user namespaces"),
        Evasion::new("overlayfs, lower file", overlay)
            .secret_at("lower/secret")
            .needs(OVERLAYFS),
        Evasion::new("overlayfs, upper file", overlay)
            .secret_at("upper/secret")
            .needs(OVERLAYFS),
        Evasion::new("overlayfs, copied up by a write", copied_up)
            .secret_at("lower/secret")
            .needs(OVERLAYFS),
        Evasion::new("tmpfs", on_memory).on("tmpfs"),
        Evasion::new("tmpfs, inherited descriptor", on_memory_inherited).on("tmpfs"),
        Evasion::new("ramfs", on_memory).on("ramfs"),
        Evasion::new("ramfs, inherited descriptor", on_memory_inherited).on("ramfs"),
    ]
}

/// Mounts of this process and its children only, gone with the last of them.
fn own_mounts() -> io::Result<()> {
    // SAFETY: changes what the calling thread sees, and closes no descriptor.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    Ok(mount_change("/", private)?)
}

fn bind_mount(scene: &Scene) -> io::Result<Act> {
    own_mounts()?;
    let elsewhere = scene.directory.join("elsewhere");
    fs::create_dir(&elsewhere)?;
    mount_bind(&scene.directory, &elsewhere)?;
    Ok(Box::new(move |at| {
        at.open_and_read(&elsewhere.join("secret"))
    }))
}

fn bind_mount_of_the_file(scene: &Scene) -> io::Result<Act> {
    own_mounts()?;
    let over = scene.harmless();
    mount_bind(&scene.secret, &over)?;
    Ok(Box::new(move |at| at.open_and_read(&over)))
}

fn other_root(scene: &Scene) -> io::Result<Act> {
    let root = scene.directory.clone();
    Ok(Box::new(move |at| {
        chroot(&root)?;
        std::env::set_current_dir("/")?;
        at.open_and_read(Path::new("/secret"))
    }))
}

fn mount_namespace(scene: &Scene) -> io::Result<Act> {
    let elsewhere = scene.directory.join("elsewhere");
    fs::create_dir(&elsewhere)?;
    let secret = scene.secret.clone();
    Ok(Box::new(move |at| {
        own_mounts()?;
        mount("none", &elsewhere, "tmpfs", MountFlags::empty(), None)?;
        let over = elsewhere.join("over");
        File::create(&over)?;
        mount_bind(&secret, &over)?;
        at.open_and_read(&over)
    }))
}

fn user_namespace(_: &Scene) -> io::Result<Act> {
    Ok(Box::new(move |at| {
        // SAFETY: changes what the calling process may do, and closes no descriptor.
        unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }?;
        at.open_and_read(&at.scene().secret.clone())
    }))
}

/// Mounts the scene's layers, with an upper one of this name.
fn mount_layers(directory: &Path, upper: &str) -> io::Result<()> {
    let at = |name: &str| directory.join(name);
    let (work, merged) = (format!("work-{upper}"), format!("merged-{upper}"));
    for name in ["lower", upper, &work, &merged] {
        fs::create_dir_all(at(name))?;
    }
    let (lower, upper, work) = (at("lower"), at(upper), at(&work));
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}\0",
        lower.display(),
        upper.display(),
        work.display()
    );
    let layers = std::ffi::CString::from_vec_with_nul(layers.into()).map_err(io::Error::other)?;
    mount(
        "none",
        at(&merged),
        "overlay",
        MountFlags::empty(),
        &*layers,
    )?;
    Ok(())
}

fn overlay(scene: &Scene) -> io::Result<Act> {
    own_mounts()?;
    mount_layers(&scene.directory, "upper")?;
    let merged = scene.directory.join("merged-upper/secret");
    Ok(Box::new(move |at| at.open_and_read(&merged)))
}

/// One process writes, so that the kernel copies the file into the upper layer; another reads the
/// copy, which is a file of its own.
fn copied_up(scene: &Scene) -> io::Result<Act> {
    own_mounts()?;
    let directory = scene.directory.clone();
    Ok(Box::new(move |at| {
        let upper = format!("upper-{}", getpid());
        mount_layers(&directory, &upper)?;
        let merged = directory.join(format!("merged-{upper}/secret"));
        let write = || {
            let mut file = File::options().append(true).open(&merged)?;
            file.write_all(b"\n")
        };
        let writer = fork(|| write().unwrap())?;
        waitpid(Some(writer), WaitOptions::empty())?;
        at.slot
            .set_file(file_id(&directory.join(upper).join("secret")));
        at.open_and_read(&merged)
    }))
}

fn on_memory(scene: &Scene) -> io::Result<Act> {
    let secret = scene.secret.clone();
    Ok(Box::new(move |at| at.open_and_read(&secret)))
}

fn on_memory_inherited(scene: &Scene) -> io::Result<Act> {
    let file = File::open(&scene.secret)?;
    Ok(Box::new(move |at| {
        rustix::io::pread(&file, at.room(), 0)?;
        Ok(())
    }))
}
