//! io_uring: opens and reads that are no system calls, some of them by threads of the kernel.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{DestinationSlot, Fd, Fixed};
use io_uring::{IoUring, opcode};

use super::Evasion;
use super::actor::{Act, Try};
use super::scene::{ROOM, Scene};

const IO_URING: &str = "io_uring";
const DIRECT: &str = "direct descriptors of io_uring";

pub(super) fn evasions() -> Vec<Evasion> {
    vec![
        Evasion::new("io_uring", |_| by_ring(|| IoUring::new(4), Flags::empty())).needs(IO_URING),
        Evasion::new("io_uring by workers (IOSQE_ASYNC)", |_| {
            by_ring(|| IoUring::new(4), Flags::ASYNC)
        })
        .racy()
        .needs(IO_URING),
        Evasion::new("io_uring by a polling thread (SQPOLL)", |_| {
            by_ring(
                || IoUring::builder().setup_sqpoll(10).build(4),
                Flags::empty(),
            )
        })
        .racy()
        .needs(IO_URING),
        Evasion::new("io_uring, direct descriptor", |_| {
            direct(DestinationSlot::try_from_slot_target(0).ok())
        })
        .needs(DIRECT),
        Evasion::new("io_uring, direct descriptor of its choice", |_| {
            direct(Some(DestinationSlot::auto_target()))
        })
        .needs(DIRECT),
        Evasion::new("io_uring, registered file from before", registered).needs(IO_URING),
        Evasion::new("io_uring, CQE_SKIP_SUCCESS", |_| untold(Flags::empty()))
            .needs("CQE_SKIP_SUCCESS of io_uring"),
        Evasion::new("io_uring, CQE_SKIP_SUCCESS by workers", |_| {
            untold(Flags::ASYNC)
        })
        .needs("CQE_SKIP_SUCCESS of io_uring"),
    ]
}

/// Does one thing and gives its result.
fn one(ring: &mut IoUring, entry: &Entry) -> io::Result<u32> {
    push(ring, entry)?;
    ring.submit_and_wait(1)?;
    result(ring)
}

fn push(ring: &mut IoUring, entry: &Entry) -> io::Result<()> {
    // SAFETY: what the entry points to lives until its completion has come.
    unsafe { ring.submission().push(entry) }.map_err(io::Error::other)
}

fn result(ring: &mut IoUring) -> io::Result<u32> {
    let done = ring.completion().next().ok_or(io::ErrorKind::NotFound)?;
    u32::try_from(done.result()).map_err(|_| io::Error::from_raw_os_error(-done.result()))
}

fn path(scene: &Scene) -> io::Result<CString> {
    Ok(CString::new(scene.secret.as_os_str().as_bytes())?)
}

fn open_of(path: &CString) -> opcode::OpenAt {
    opcode::OpenAt::new(Fd(libc::AT_FDCWD), path.as_ptr()).flags(libc::O_RDONLY)
}

/// open, then read.
pub(super) fn open_and_read(ring: &mut IoUring, flags: Flags, at: &mut Try<'_>) -> io::Result<()> {
    let path = path(at.scene())?;
    let fd = one(ring, &open_of(&path).build().flags(flags))?;
    let fd = Fd(i32::try_from(fd).map_err(io::Error::other)?);
    let read = opcode::Read::new(fd, at.room().as_mut_ptr(), ROOM as u32);
    one(ring, &read.build().flags(flags))?;
    Ok(())
}

fn by_ring(make: fn() -> io::Result<IoUring>, flags: Flags) -> io::Result<Act> {
    Ok(Box::new(move |at| open_and_read(&mut make()?, flags, at)))
}

/// Into the ring's own table of files, which /proc does not show.
fn direct(slot: Option<DestinationSlot>) -> io::Result<Act> {
    Ok(Box::new(move |at| {
        let mut ring = IoUring::new(4)?;
        ring.submitter().register_files_sparse(4)?;
        let path = path(at.scene())?;
        let index = one(&mut ring, &open_of(&path).file_index(slot).build())?;
        let read = opcode::Read::new(Fixed(index), at.room().as_mut_ptr(), ROOM as u32);
        one(&mut ring, &read.build())?;
        Ok(())
    }))
}

fn registered(scene: &Scene) -> io::Result<Act> {
    let file = File::open(&scene.secret)?;
    Ok(Box::new(move |at| {
        let mut ring = IoUring::new(4)?;
        ring.submitter().register_files(&[file.as_raw_fd()])?;
        let read = opcode::Read::new(Fixed(0), at.room().as_mut_ptr(), ROOM as u32);
        one(&mut ring, &read.build())?;
        Ok(())
    }))
}

/// Neither the open nor the read leaves a completion; only what waits for both does.
fn untold(flags: Flags) -> io::Result<Act> {
    Ok(Box::new(move |at| {
        let mut ring = IoUring::new(4)?;
        ring.submitter().register_files_sparse(4)?;
        let path = path(at.scene())?;
        let slot = DestinationSlot::try_from_slot_target(0).ok();
        let flags = flags | Flags::SKIP_SUCCESS;
        let open = open_of(&path).file_index(slot).build();
        push(&mut ring, &open.flags(flags | Flags::IO_LINK))?;
        let read = opcode::Read::new(Fixed(0), at.room().as_mut_ptr(), ROOM as u32);
        push(&mut ring, &read.build().flags(flags | Flags::IO_LINK))?;
        one(&mut ring, &opcode::Nop::new().build())?;
        Ok(())
    }))
}
