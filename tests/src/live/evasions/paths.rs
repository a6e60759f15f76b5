//! Other names for the file, and no name at all.

use std::arch::asm;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat, openat2};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use super::actor::{Act, Try};
use super::scene::{ROOM, Scene};
use super::{Evasion, directory_of};

pub(super) fn evasions() -> Vec<Evasion> {
    vec![
        Evasion::new("plain path", plain),
        Evasion::new("relative path", relative),
        Evasion::new("dots", dots),
        Evasion::new("symbolic link", symbolic_link),
        Evasion::new("hard link", hard_link),
        Evasion::new("/proc/self/root", proc_root),
        Evasion::new("openat of a directory's descriptor", directory_descriptor),
        Evasion::new("openat2", beneath),
        Evasion::new("open_by_handle_at", by_handle),
        Evasion::new("O_PATH, then /proc/self/fd", reopened),
        Evasion::new("int 0x80", old_gate).needs("32-bit system calls"),
    ]
}

/// Opens the secret by this path.
fn by(path: PathBuf) -> io::Result<Act> {
    Ok(Box::new(move |at| at.open_and_read(&path)))
}

fn plain(scene: &Scene) -> io::Result<Act> {
    by(scene.secret.clone())
}

fn relative(scene: &Scene) -> io::Result<Act> {
    std::env::set_current_dir(&scene.directory)?;
    by("secret".into())
}

fn dots(scene: &Scene) -> io::Result<Act> {
    fs::create_dir(scene.directory.join("below"))?;
    by(scene.directory.join("below/.././below/../secret"))
}

fn symbolic_link(scene: &Scene) -> io::Result<Act> {
    let link = scene.directory.join("link");
    symlink("secret", &link)?;
    by(link)
}

fn hard_link(scene: &Scene) -> io::Result<Act> {
    let link = scene.directory.join("other");
    fs::hard_link(&scene.secret, &link)?;
    by(link)
}

fn proc_root(scene: &Scene) -> io::Result<Act> {
    let below_root = scene.secret.strip_prefix("/").map_err(io::Error::other)?;
    by(Path::new("/proc/self/root").join(below_root))
}

fn directory(scene: &Scene) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    Ok(open(&scene.directory, flags, Mode::empty())?)
}

fn directory_descriptor(scene: &Scene) -> io::Result<Act> {
    let directory = directory(scene)?;
    Ok(Box::new(move |at| {
        at.read(openat(&directory, "secret", OFlags::RDONLY, Mode::empty())?)
    }))
}

fn beneath(scene: &Scene) -> io::Result<Act> {
    let directory = directory(scene)?;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(Box::new(move |at| {
        at.read(openat2(
            &directory,
            "secret",
            OFlags::RDONLY,
            Mode::empty(),
            how,
        )?)
    }))
}

/// `struct file_handle` with room for every file system's.
#[repr(C)]
#[derive(Clone)]
struct Handle {
    bytes: u32,
    kind: i32,
    handle: [u8; libc::MAX_HANDLE_SZ as usize],
}

fn by_handle(scene: &Scene) -> io::Result<Act> {
    let path = CString::new(scene.secret.as_os_str().as_bytes())?;
    let mut handle = Handle {
        bytes: libc::MAX_HANDLE_SZ as u32,
        kind: 0,
        handle: [0; libc::MAX_HANDLE_SZ as usize],
    };
    let mut mount = 0;
    // SAFETY: a C string, a handle with the room that it says, and an int; all live through it.
    let result = unsafe {
        let handle = (&raw mut handle).cast();
        libc::name_to_handle_at(libc::AT_FDCWD, path.as_ptr(), handle, &raw mut mount, 0)
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let directory = File::open(directory_of(&scene.secret))?;
    Ok(Box::new(move |at| {
        let mut handle = handle.clone();
        // SAFETY: the handle is as the kernel filled it, and the descriptor is nobody else's.
        let file = unsafe {
            let handle = (&raw mut handle).cast();
            let fd = libc::open_by_handle_at(directory.as_raw_fd(), handle, libc::O_RDONLY);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        at.read(file)
    }))
}

fn reopened(scene: &Scene) -> io::Result<Act> {
    let secret = scene.secret.clone();
    Ok(Box::new(move |at| {
        let file = open(&secret, OFlags::PATH, Mode::empty())?;
        at.open_and_read(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))
    }))
}

/// open(2) and read(2) by their 32-bit numbers, through the gate for 32-bit programs.
fn old_gate(scene: &Scene) -> io::Result<Act> {
    const READ: u32 = 3;
    const OPEN: u32 = 5;
    const PAGE: usize = 4096;
    let path = CString::new(scene.secret.as_os_str().as_bytes())?;
    Ok(Box::new(move |at: &mut Try<'_>| {
        // Such calls take addresses of 32 bits.
        let flags = MapFlags::PRIVATE | MapFlags::from_bits_retain(libc::MAP_32BIT as u32);
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping of two pages: the path, which is shorter than one, then the bytes.
        // It is left to the end of the process.
        let (low, into) = unsafe {
            let low: *mut u8 = mmap_anonymous(null_mut(), 2 * PAGE, protection, flags)?.cast();
            let path = path.as_bytes_with_nul();
            low.copy_from_nonoverlapping(path.as_ptr(), path.len());
            (low, low.add(PAGE))
        };
        let address = |pointer: *mut u8| u32::try_from(pointer.addr()).map_err(io::Error::other);
        // SAFETY: the arguments are as open and read want them, and the room is as long as said.
        unsafe {
            let fd = int_80(OPEN, address(low)?, libc::O_RDONLY as u32, 0)?;
            int_80(READ, fd, address(into)?, ROOM as u32)?;
            at.room().as_mut_ptr().copy_from_nonoverlapping(into, ROOM);
        }
        Ok(())
    }))
}

/// A system call of a 32-bit program.
///
/// # Safety
/// That of the call.
unsafe fn int_80(number: u32, first: u32, second: u32, third: u32) -> io::Result<u32> {
    let result: i32;
    // SAFETY: by the caller. The compiler keeps rbx for itself, so it is put back; kernels clear
    // r8 to r11 here.
    unsafe {
        asm!(
            "xchg rbx, {first:r}",
            "int 0x80",
            "xchg rbx, {first:r}",
            first = inout(reg) u64::from(first) => _,
            inlateout("eax") number => result,
            in("ecx") second,
            in("edx") third,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}
