//! The child's part of the self-test: one act per hook.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, openat};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::{SOCKET, WATCHED};
use crate::sensor::marks::has_page_cache_reads;

/// The hidden subcommand under which [`act`] runs.
pub const SUBCOMMAND: &str = "self-test";

/// The uid that nobody uses, to be refused by.
const NOBODY: u32 = 65_534;

/// Does every act. Prints `hook<TAB>reason` for each that this host does not allow, so that its
/// silence is not taken for blindness.
///
/// # Errors
/// When an act fails that every host allows.
pub fn act(directory: &Path) -> std::io::Result<()> {
    let watched = directory.join(WATCHED);
    let mut content = Vec::new();
    File::open(&watched)?.read_to_end(&mut content)?;
    if let Err(error) = read_directly(&watched) {
        println!("file_direct\tthis file system has no direct reads: {error}");
    }
    map(&watched, content.len())?;
    write(directory, &watched, &content)?;
    if !has_page_cache_reads(directory) {
        for hook in [
            "file_read",
            "file_direct",
            "file_map",
            "file_fault",
            "file_write",
            "file_change",
        ] {
            println!("{hook}\tthe state directory lies on tmpfs");
        }
    }
    connect()?;
    if let Err(error) = answer_oneself() {
        println!("dns\tno datagram could be sent on loopback: {error}");
    }
    UnixStream::connect(directory.join(SOCKET))?.write_all(b".")?;
    reach_into_child()?;
    if let Err(error) = read_key() {
        println!("key_read\tno key could be made: {error}");
    }
    let directory = openat(
        rustix::fs::CWD,
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    // Only this thread, by the bare system call; it is the last act anyway.
    rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(NOBODY))?;
    match openat(&directory, WATCHED, OFlags::RDONLY, Mode::empty()) {
        Err(rustix::io::Errno::ACCESS) => {}
        Err(error) => println!("file_denied\tthe open failed otherwise: {error}"),
        Ok(_) => println!("file_denied\tthis file system lets everybody open everything"),
    }
    Ok(())
}

/// Reads past the page cache.
fn read_directly(path: &Path) -> std::io::Result<()> {
    /// A multiple of every usual block size, which alignment and length must be.
    #[repr(align(4096))]
    struct Block([u8; 4096]);
    let mut block = Block([0; 4096]);
    let mut file = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)?;
    file.read(&mut block.0).map(drop)
}

/// Changes the watched file without changing what is in it, and writes another: its writer has just
/// read a credential.
fn write(directory: &Path, watched: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = File::options().write(true).open(watched)?;
    file.write_all(content)?;
    // A page that waits to be written back does not become dirty again at the next beat.
    file.sync_data()?;
    let written = directory.join("written");
    let _ = std::fs::remove_file(&written);
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(written)?;
    file.write_all(b"not a copy\n")?;
    file.rewind()
}

/// The discard port: refused at once wherever nothing listens, and harmless where it does.
fn connect() -> std::io::Result<()> {
    for (host, connect, send) in [
        ("127.0.0.1", "connect4", "sendmsg4"),
        ("[::1]", "connect6", "sendmsg6"),
    ] {
        let to: SocketAddr = format!("{host}:9").parse().map_err(std::io::Error::other)?;
        match UdpSocket::bind(SocketAddr::new(to.ip(), 0)) {
            Ok(socket) => {
                let _ = TcpStream::connect_timeout(&to, Duration::from_millis(500));
                let _ = socket.send_to(b"", to);
            }
            Err(error) => {
                println!("{connect}\tno address of this family: {error}");
                println!("{send}\tno address of this family: {error}");
            }
        }
    }
    Ok(())
}

/// An empty datagram from a socket to itself: nobody asks a resolver for the sake of a test, and port
/// 53 may be in use.
fn answer_oneself() -> std::io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.send_to(b"", socket.local_addr()?)?;
    Ok(())
}

/// Maps the file and touches it twice: a read is served from the page cache around the fault, a
/// write to a private mapping must fetch the page itself.
fn map(path: &Path, len: usize) -> std::io::Result<()> {
    let file = File::open(path)?;
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    for write in [false, true] {
        // SAFETY: a fresh private mapping of `len` bytes of a file that nobody truncates: it was
        // made for this test. It is touched only here and unmapped at once.
        unsafe {
            let at = mmap(
                std::ptr::null_mut(),
                len,
                protection,
                MapFlags::PRIVATE,
                &file,
                0,
            )?;
            let byte = at.cast::<u8>();
            if write {
                byte.write_volatile(b'.');
            } else {
                byte.read_volatile();
            }
            munmap(at, len)?;
        }
    }
    Ok(())
}

/// Reads a byte of a child's memory, which is a copy of this process's own.
fn reach_into_child() -> std::io::Result<()> {
    static BYTE: u8 = b'.';
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: this process has one thread, and the child calls nothing but read and _exit.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(std::io::Error::last_os_error());
    }
    if child == 0 {
        let mut byte = 0u8;
        // SAFETY: as above; the buffer is one byte on this stack. Its own end of the pipe has to
        // be closed, or it would wait for itself.
        unsafe {
            libc::close(std::os::fd::AsRawFd::as_raw_fd(&write));
            libc::read(
                std::os::fd::AsRawFd::as_raw_fd(&read.as_fd()),
                (&raw mut byte).cast(),
                1,
            );
            libc::_exit(0);
        }
    }
    let mut found = 0u8;
    let (local, remote) = (
        libc::iovec {
            iov_base: (&raw mut found).cast(),
            iov_len: 1,
        },
        libc::iovec {
            iov_base: (&raw const BYTE).cast_mut().cast(),
            iov_len: 1,
        },
    );
    // SAFETY: both vectors name one byte that is there: the child has the same static.
    let result =
        unsafe { libc::process_vm_readv(child, &raw const local, 1, &raw const remote, 1, 0) };
    if result != 1 {
        println!("memory_access\tthis host lets no process read another's memory");
    }
    drop(write);
    // SAFETY: waits for the child that was just made.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    Ok(())
}

/// Reads a key of this process's own keyring, which goes with the process.
fn read_key() -> std::io::Result<()> {
    const PROCESS_KEYRING: libc::c_long = -2;
    const READ: libc::c_long = 11;
    let payload = b"no secret";
    let mut back = [0u8; 16];
    // SAFETY: the strings are C strings, and the lengths are those of the buffers.
    let result = unsafe {
        let key = libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            c"credwatch-self-test".as_ptr(),
            payload.as_ptr(),
            payload.len(),
            PROCESS_KEYRING,
        );
        if key < 0 {
            return Err(std::io::Error::last_os_error());
        }
        libc::syscall(libc::SYS_keyctl, READ, key, back.as_mut_ptr(), back.len())
    };
    if result < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}
