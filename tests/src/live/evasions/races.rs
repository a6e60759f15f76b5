//! Acts that another thread or the end of the process runs against.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};

use rustix::io::pread;
use rustix::process::{getpid, getppid};
use rustix::thread::sched_yield;

use super::Evasion;
use super::actor::{Act, Try, exit, fork};
use super::scene::Scene;

/// A race that is not won by then is given up: the try does not count.
const ROUNDS: usize = 20_000;

pub(super) fn evasions() -> Vec<Evasion> {
    vec![
        Evasion::new("path rewritten by a thread", rewritten).racy(),
        Evasion::new("descriptor swapped after the open", swapped_after_open).racy(),
        Evasion::new("descriptor swapped before the read", swapped_before_read).racy(),
        Evasion::new("exit right after the read", gone).racy(),
        Evasion::new("double fork", orphan).racy(),
    ]
}

/// Runs both at once; the second until the first is done.
fn against<T>(act: impl FnOnce() -> T, meanwhile: impl Fn() + Sync) -> T {
    let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            begun.store(true, Ordering::Release);
            while !over.load(Ordering::Relaxed) {
                meanwhile();
            }
        });
        while !begun.load(Ordering::Acquire) {
            sched_yield();
        }
        let result = act();
        over.store(true, Ordering::Relaxed);
        result
    })
}

/// A thread writes the one name and the other into the path that is being opened, until the secret
/// was opened.
fn rewritten(scene: &Scene) -> io::Result<Act> {
    let harmless = CString::new(scene.harmless().as_os_str().as_bytes())?.into_bytes_with_nul();
    let secret = CString::new(scene.secret.as_os_str().as_bytes())?.into_bytes_with_nul();
    let differs = |(one, other): (&u8, &u8)| one != other;
    let place = harmless.iter().zip(&secret).position(differs);
    let place = place.ok_or(io::ErrorKind::InvalidInput)?;
    Ok(Box::new(move |at| {
        let path: Vec<AtomicU8> = harmless.iter().copied().map(AtomicU8::new).collect();
        let letter = &path[place];
        let mut strict = 50;
        let mut open = || {
            // The name that stands there when the call begins is the harmless one, for as long as
            // that is worth its time: on a busy host the other thread may not run meanwhile.
            while strict > 0 && letter.load(Ordering::Relaxed) != harmless[place] {
                strict -= 1;
            }
            // SAFETY: it ends in a zero, which nobody overwrites.
            owned(unsafe { libc::open(path.as_ptr().cast(), libc::O_RDONLY) })
        };
        let swap = || {
            // Each stays as long as the kernel takes to come to its copy.
            for name in [&secret, &harmless] {
                letter.store(name[place], Ordering::Relaxed);
                (0..50).for_each(|_| std::hint::spin_loop());
            }
        };
        against(|| until_won(at, |at| at.read(open()?)), swap)
    }))
}

/// A thread takes the descriptor of the secret away, and puts the harmless file into its place, as
/// soon as it is there: before the call that opened it has come back, if it can.
fn swapped_after_open(_: &Scene) -> io::Result<Act> {
    Ok(Box::new(|at| {
        let harmless = File::open(at.scene().harmless())?;
        let secret = at.scene().secret.clone();
        let number = harmless.try_clone()?.as_raw_fd();
        // The next descriptor gets the number of the one that was just closed.
        let taken = AtomicI32::new(-1);
        let take = || {
            if taken.load(Ordering::Relaxed) >= 0 {
                return;
            }
            // SAFETY: these descriptors are used by number only, and by nobody else.
            unsafe {
                let copy = libc::fcntl(number, libc::F_DUPFD, 100);
                if copy >= 0 {
                    libc::dup3(harmless.as_raw_fd(), number, libc::O_CLOEXEC);
                    taken.store(copy, Ordering::Release);
                }
            }
        };
        let open = || {
            let file = File::open(&secret)?;
            if file.as_raw_fd() != number {
                return Err(io::Error::other("it got another number"));
            }
            while taken.load(Ordering::Acquire) < 0 {
                sched_yield();
            }
            Ok(file)
        };
        let swapped = against(open, take)?;
        at.read(owned(taken.into_inner())?)?;
        drop(swapped);
        Ok(())
    }))
}

/// A thread puts the secret, which another process has opened, and the harmless file in turn below
/// the number that is being read, until the secret was read.
fn swapped_before_read(scene: &Scene) -> io::Result<Act> {
    let secret = File::open(&scene.secret)?;
    Ok(Box::new(move |at| {
        let harmless = File::open(at.scene().harmless())?;
        let read = harmless.try_clone()?;
        let put = |file: &File| {
            // SAFETY: both are open, and the number stays that of an open file.
            unsafe { libc::dup3(file.as_raw_fd(), read.as_raw_fd(), libc::O_CLOEXEC) };
        };
        let swap = || {
            put(&secret);
            put(&harmless);
        };
        let pread = |at: &mut Try<'_>| {
            pread(&read, at.room(), 0)?;
            Ok(())
        };
        against(|| until_won(at, pread), swap)
    }))
}

/// Again until the secret's bytes are there.
fn until_won(
    at: &mut Try<'_>,
    mut round: impl FnMut(&mut Try<'_>) -> io::Result<()>,
) -> io::Result<()> {
    for _ in 0..ROUNDS {
        round(at)?;
        if at.is_won() {
            break;
        }
        // The other thread may wait for this CPU.
        sched_yield();
    }
    Ok(())
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Nothing comes between the read and the end.
fn gone(scene: &Scene) -> io::Result<Act> {
    let secret = scene.secret.clone();
    Ok(Box::new(move |at| at.open_and_read(&secret)))
}

/// Whoever reads has no parent any more that made it.
fn orphan(scene: &Scene) -> io::Result<Act> {
    let secret = scene.secret.clone();
    Ok(Box::new(move |at| {
        let parent = getpid();
        fork(|| {
            while getppid() == Some(parent) {
                sched_yield();
            }
            at.is_me();
            let done = at.open_and_read(&secret);
            at.finish(&done);
        })?;
        exit()
    }))
}
