//! Who reads is not who it seems to be, or not there for long.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Gid, Uid, WaitOptions, waitpid};
use rustix::thread::{set_name, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use io_uring::IoUring;
use io_uring::squeue::Flags;

use super::actor::{Act, Try, fork};
use super::scene::Scene;
use super::{Evasion, own_program, rings};

pub(super) fn evasions() -> Vec<Evasion> {
    vec![
        Evasion::new("chain of execs", chain),
        Evasion::new("program in a memfd", program_in_memory).disguised(),
        Evasion::new("renamed", renamed),
        Evasion::new("thread", thread),
        Evasion::new("vfork", |_| cloned(libc::CLONE_VM | libc::CLONE_VFORK)),
        Evasion::new("clone with everything shared", |_| {
            cloned(libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_FS | libc::CLONE_SIGHAND)
        }),
        Evasion::new("child of a reader", child),
        Evasion::new("refused open", |_| {
            refused(|at| at.open_and_read(&at.scene().secret.clone()))
        })
        .refused(),
        Evasion::new("refused open by io_uring", |_| {
            refused(|at| rings::open_and_read(&mut IoUring::new(4)?, Flags::empty(), at))
        })
        .refused()
        .needs("io_uring"),
    ]
}

/// exec, exec, exec, then a read.
fn chain(_: &Scene) -> io::Result<Act> {
    Ok(Box::new(|at| at.exec(Path::new("/proc/self/exe"), 2)))
}

/// This program copied into memory: it has no path.
fn program_in_memory(_: &Scene) -> io::Result<Act> {
    let memory = memfd_create("kworker", MemfdFlags::CLOEXEC)?;
    io::copy(
        &mut File::open(own_program())?,
        &mut File::from(memory.try_clone()?),
    )?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()));
    Ok(Box::new(move |at| {
        let _open = &memory;
        at.exec(&path, 0)
    }))
}

/// Under the name of a thread of the kernel.
fn renamed(scene: &Scene) -> io::Result<Act> {
    let secret = scene.secret.clone();
    Ok(Box::new(move |at| {
        set_name(c"kworker/0:1")?;
        at.open_and_read(&secret)
    }))
}

fn thread(scene: &Scene) -> io::Result<Act> {
    let secret = scene.secret.clone();
    Ok(Box::new(move |at| {
        let mut bytes = [0; super::scene::ROOM];
        std::thread::scope(|scope| {
            let read = || io::Read::read(&mut File::open(&secret)?, &mut bytes);
            scope.spawn(read).join().unwrap()
        })?;
        *at.room() = bytes;
        Ok(())
    }))
}

/// A process that shares its memory with the one that made it, which waits.
fn cloned(flags: i32) -> io::Result<Act> {
    extern "C" fn read(at: *mut libc::c_void) -> i32 {
        // SAFETY: it is the try that was handed over below, whose owner waits meanwhile.
        let at: &mut Try<'_> = unsafe { &mut *at.cast() };
        at.is_me();
        let secret = at.scene().secret.clone();
        i32::from(at.open_and_read(&secret).is_err())
    }
    Ok(Box::new(move |at| {
        let mut stack = vec![0u128; 1 << 14];
        // SAFETY: the stack and the try outlive the process, for whose end this one waits.
        let pid = unsafe {
            let top = stack.as_mut_ptr().add(stack.len());
            libc::clone(
                read,
                top.cast(),
                flags | libc::SIGCHLD,
                (&raw mut *at).cast(),
            )
        };
        let pid = rustix::process::Pid::from_raw(pid).ok_or_else(io::Error::last_os_error)?;
        waitpid(Some(pid), WaitOptions::empty())?;
        Ok(())
    }))
}

/// One that has read makes another that reads, at the same moment: two processes, two uses.
fn child(scene: &Scene) -> io::Result<Act> {
    let file = File::open(&scene.secret)?;
    Ok(Box::new(move |at| {
        rustix::io::pread(&file, at.room(), 0)?;
        at.room().fill(0);
        let child = fork(|| {
            at.is_me();
            let done = rustix::io::pread(&file, at.room(), 0);
            at.finish(&done.map(drop).map_err(io::Error::from));
        })?;
        waitpid(Some(child), WaitOptions::empty())?;
        Ok(())
    }))
}

/// By an account without rights.
fn refused(act: impl Fn(&mut Try<'_>) -> io::Result<()> + 'static) -> io::Result<Act> {
    const NOBODY: u32 = 65_534;
    Ok(Box::new(move |at| {
        let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        act(at)
    }))
}
