//! Reads without an open of one's own, and reads that are not called so.
//!
//! Unless it is said otherwise, the descriptor is one that another process opened before, so that the
//! read itself has to be seen.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr::null_mut;

use rustix::fs::{Mode, OFlags, copy_file_range, open, sendfile};
use rustix::io::{ReadWriteFlags, pread, preadv2, readv};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::pipe::{SpliceFlags, pipe, splice};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, WaitOptions, pidfd_getfd, pidfd_open, waitpid};

use super::actor::{Act, Try, fork, helper};
use super::scene::{ROOM, Scene};
use super::{Evasion, directory_of};

pub(super) fn evasions() -> Vec<Evasion> {
    vec![
        Evasion::new("pread", |scene| {
            inherited(scene, |at, file| {
                pread(file, at.room(), 0)?;
                Ok(())
            })
        }),
        Evasion::new("readv", |scene| {
            inherited(scene, |at, file| {
                rustix::fs::seek(file, rustix::fs::SeekFrom::Start(0))?;
                readv(file, &mut [IoSliceMut::new(at.room())])?;
                Ok(())
            })
        }),
        Evasion::new("preadv2", |scene| {
            inherited(scene, |at, file| {
                let into = &mut [IoSliceMut::new(at.room())];
                preadv2(file, into, 0, ReadWriteFlags::empty())?;
                Ok(())
            })
        }),
        Evasion::new("mmap", |scene| {
            inherited(scene, |at, file| take(at, map(file, MapFlags::PRIVATE)?))
        }),
        Evasion::new("mmap, MAP_POPULATE", |scene| {
            let flags = MapFlags::SHARED | MapFlags::POPULATE;
            inherited(scene, move |at, file| take(at, map(file, flags)?))
        }),
        Evasion::new("mmap of a file just opened", |scene| {
            let secret = scene.secret.clone();
            Ok(Box::new(move |at| {
                take(at, map(&File::open(&secret)?, MapFlags::PRIVATE)?)
            }))
        }),
        Evasion::new("mapping from before", |scene| {
            // Whoever made it touches it too.
            let page = map(&File::open(&scene.secret)?, MapFlags::SHARED)?;
            // SAFETY: it is mapped, and the first byte is there.
            unsafe { page.read_volatile() };
            Ok(Box::new(move |at| take(at, page)))
        }),
        Evasion::new("sendfile", |scene| {
            inherited(scene, |at, file| {
                let (from, to) = pipe()?;
                sendfile(&to, file, Some(&mut 0), ROOM)?;
                at.read(from)
            })
        }),
        Evasion::new("splice", |scene| {
            inherited(scene, |at, file| {
                let (from, to) = pipe()?;
                splice(file, Some(&mut 0), &to, None, ROOM, SpliceFlags::empty())?;
                at.read(from)
            })
        }),
        Evasion::new("copy_file_range", |scene| inherited(scene, copy)),
        Evasion::new("O_DIRECT", |scene| {
            let secret = scene.secret.clone();
            Ok(Box::new(move |at| {
                let flags = OFlags::RDONLY | OFlags::DIRECT;
                direct(at, &open(&secret, flags, Mode::empty())?)
            }))
        })
        .needs("O_DIRECT on this file system"),
        Evasion::new("O_DIRECT, inherited descriptor", |scene| {
            let flags = OFlags::RDONLY | OFlags::DIRECT;
            let file = open(&scene.secret, flags, Mode::empty())?;
            Ok(Box::new(move |at| direct(at, &file)))
        })
        .needs("O_DIRECT on this file system"),
        Evasion::new("descriptor by SCM_RIGHTS", passed_on),
        Evasion::new("descriptor by pidfd_getfd", fetched).needs("pidfd_getfd"),
        Evasion::new("descriptor by fanotify", overheard).needs("fanotify"),
    ]
}

/// Opens the secret in the process that makes those of the tries.
fn inherited(
    scene: &Scene,
    act: impl Fn(&mut Try<'_>, &File) -> io::Result<()> + 'static,
) -> io::Result<Act> {
    let file = File::open(&scene.secret)?;
    Ok(Box::new(move |at| act(at, &file)))
}

/// The file's first page, mapped to the end of the process.
fn map(file: &File, flags: MapFlags) -> io::Result<*const u8> {
    const PAGE: usize = 4096;
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let page = unsafe { mmap(null_mut(), PAGE, ProtFlags::READ, flags, file, 0) }?;
    Ok(page.cast())
}

/// Takes the bytes from a mapped page.
fn take(at: &mut Try<'_>, page: *const u8) -> io::Result<()> {
    // SAFETY: the file is longer than what is read, and nobody makes it shorter.
    unsafe { page.copy_to_nonoverlapping(at.room().as_mut_ptr(), ROOM) };
    Ok(())
}

/// Into a file without a name.
fn copy(at: &mut Try<'_>, file: &File) -> io::Result<()> {
    let directory = directory_of(&at.scene().secret);
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    let into = open(directory, flags, Mode::RUSR)?;
    copy_file_range(file, Some(&mut 0), &into, Some(&mut 0), ROOM)?;
    pread(&into, at.room(), 0)?;
    Ok(())
}

/// Past the page cache, which asks for memory and lengths in whole blocks.
fn direct(at: &mut Try<'_>, file: &OwnedFd) -> io::Result<()> {
    #[repr(C, align(4096))]
    struct Block([u8; 4096]);
    let mut block = Box::new(Block([0; 4096]));
    pread(file, &mut block.0, 0)?;
    at.room().copy_from_slice(&block.0[..ROOM]);
    Ok(())
}

/// A process that has the secret open and gives it to whoever asks.
fn passed_on(scene: &Scene) -> io::Result<Act> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let secret = scene.secret.clone();
    helper(|| {
        let file = File::open(&secret).unwrap();
        while rustix::io::read(&theirs, &mut [0; 1]).is_ok_and(|read| read > 0) {
            let fds = [file.as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
            let word = [io::IoSlice::new(b".")];
            sendmsg(&theirs, &word, &mut control, SendFlags::empty()).unwrap();
        }
    })?;
    Ok(Box::new(move |at| {
        rustix::io::write(&ours, b"?")?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut word = [0; 1];
        let into = &mut [IoSliceMut::new(&mut word)];
        recvmsg(&ours, into, &mut control, RecvFlags::empty())?;
        let given = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        pread(given.ok_or(io::ErrorKind::NotFound)?, at.room(), 0)?;
        Ok(())
    }))
}

/// A process that has the secret open and is not asked.
fn fetched(scene: &Scene) -> io::Result<Act> {
    let (from, to) = pipe()?;
    let secret = scene.secret.clone();
    let holder = helper(|| {
        let file = File::open(&secret).unwrap();
        rustix::io::write(&to, &file.as_raw_fd().to_ne_bytes()).unwrap();
        loop {
            std::thread::park();
        }
    })?;
    let mut number = [0; 4];
    rustix::io::read(&from, &mut number)?;
    let number = i32::from_ne_bytes(number);
    Ok(Box::new(move |at| {
        let pidfd = pidfd_open(holder, PidfdFlags::empty())?;
        let file = pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty())?;
        pread(&file, at.room(), 0)?;
        Ok(())
    }))
}

/// One's own fanotify group gives a descriptor of what somebody else opens: no open by whoever reads,
/// and a descriptor whose reads no fanotify group is told of.
fn overheard(scene: &Scene) -> io::Result<Act> {
    let path = CString::new(scene.secret.as_os_str().as_bytes())?;
    Ok(Box::new(move |at| {
        // SAFETY: takes no pointer.
        let group = unsafe { libc::fanotify_init(libc::FAN_CLASS_NOTIF, libc::O_RDONLY as u32) };
        if group < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and nobody else's.
        let group = unsafe { OwnedFd::from_raw_fd(group) };
        // SAFETY: the path is a C string.
        let marked = unsafe {
            let (flags, directory) = (libc::FAN_MARK_ADD, libc::AT_FDCWD);
            libc::fanotify_mark(
                group.as_raw_fd(),
                flags,
                libc::FAN_OPEN,
                directory,
                path.as_ptr(),
            )
        };
        if marked < 0 {
            return Err(io::Error::last_os_error());
        }
        let secret = at.scene().secret.clone();
        let victim = fork(|| drop(File::open(secret)))?;
        waitpid(Some(victim), WaitOptions::empty())?;
        let mut event = [0; size_of::<libc::fanotify_event_metadata>()];
        rustix::io::read(&group, &mut event)?;
        // SAFETY: the kernel wrote one, and any bytes are good ones; the descriptor is new.
        let file = unsafe {
            let event: libc::fanotify_event_metadata = event
                .as_ptr()
                .cast::<libc::fanotify_event_metadata>()
                .read_unaligned();
            OwnedFd::from_raw_fd(event.fd)
        };
        pread(&file, at.room(), 0)?;
        Ok(())
    }))
}
