//! The socket of the process connector: subscribing, receiving, and what did not fit.

use std::mem::size_of_val;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recvfrom, sendto,
    socket_with, sockopt,
};
use rustix::time::{ClockId, clock_gettime};

use super::message::{self, Event, LONGEST, Message, messages};

/// Room for events that wait, in bytes of the kernel's accounting. An event takes some 800 of them,
/// and the kernel grants twice what is asked for: about 40,000 events.
pub(super) const BUFFER: usize = 16 << 20;

/// Why there are no events of processes.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("this kernel has no connector (CONFIG_CONNECTOR): {0}")]
    NoConnector(Errno),
    #[error("events of processes need CAP_NET_ADMIN: start the daemon as root")]
    Capability,
    #[error(
        "the kernel's connector is not in this network namespace: start the daemon in the host's"
    )]
    NetworkNamespace,
    #[error(
        "the kernel tells events of processes in the host's {0} namespace only: start the daemon \
         there"
    )]
    Namespace(&'static str),
    #[error("the kernel does not answer: it has no events of processes (CONFIG_PROC_EVENTS)")]
    Silent,
    #[error("the kernel refuses events of processes: {0}")]
    Kernel(Errno),
    #[error("{0}: {1}")]
    Call(&'static str, Errno),
}

/// What the kernel is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subscription {
    /// All that it has.
    Everything,
    /// The events of a mask. Before Linux 6.6 that is everything too.
    Only(u32),
    /// Nothing more.
    Nothing,
}

/// A socket that has subscribed.
pub(super) struct Socket {
    fd: OwnedFd,
    /// Whether the kernel sorts events out by itself: Linux 6.6.
    masks: bool,
    listening: AtomicBool,
}

impl Socket {
    /// Subscribes to everything. What happens after this is received, or counted as dropped.
    pub(super) fn open() -> Result<Self, Refused> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            flags,
            Some(netlink::CONNECTOR),
        )
        .map_err(|error| match error {
            Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => Refused::NoConnector(error),
            error => Refused::Call("socket", error),
        })?;
        bind(&fd, &SocketAddrNetlink::new(0, libc::CN_IDX_PROC)).map_err(|error| match error {
            Errno::PERM => Refused::Capability,
            error => Refused::Call("bind", error),
        })?;
        // Without the capability for more, the system's limit has to do.
        sockopt::set_socket_recv_buffer_size_force(&fd, BUFFER)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&fd, BUFFER))
            .map_err(|error| Refused::Call("SO_RCVBUF", error))?;
        lose_no_more_than_needed(fd.as_fd())
            .map_err(|error| Refused::Call("NETLINK_NO_ENOBUFS", error))?;
        let mut socket = Self {
            fd,
            masks: false,
            listening: AtomicBool::new(false),
        };
        socket.masks = socket.ask(|ack| message::listen_to(ack, 0))?;
        if !socket.masks && !socket.ask(message::listen)? {
            return Err(why_silent());
        }
        socket.listening.store(true, Ordering::Relaxed);
        Ok(socket)
    }

    /// Sends a request and looks for its answer, which the kernel gives before the call returns.
    /// `false` where there is none.
    fn ask(&self, request: impl Fn(u32) -> Vec<u8>) -> Result<bool, Refused> {
        // Answers go to all listeners: this tells ours from those of others.
        let ack = clock_gettime(ClockId::Monotonic).tv_nsec as u32;
        self.send(&request(ack))?;
        let mut buffer = [0; LONGEST];
        loop {
            let bytes = match self.receive(&mut buffer) {
                Ok(Some(bytes)) => bytes,
                Ok(None) | Err(Errno::NOBUFS) => continue,
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(Refused::Call("recvfrom", error)),
            };
            let answer = messages(bytes)
                .filter_map(Result::ok)
                .find_map(|message| answer(&message, ack));
            match answer.map(|error| error.cast_signed()) {
                None => {}
                Some(0) => return Ok(true),
                Some(libc::EPERM) => return Err(Refused::Capability),
                Some(error) => return Err(Refused::Kernel(Errno::from_raw_os_error(error))),
            }
        }
    }

    fn send(&self, request: &[u8]) -> Result<(), Refused> {
        let kernel = SocketAddrNetlink::new(0, 0);
        match sendto(&self.fd, request, SendFlags::empty(), &kernel) {
            Ok(_) => Ok(()),
            Err(Errno::CONNREFUSED) => Err(Refused::NetworkNamespace),
            Err(Errno::PERM) => Err(Refused::Capability),
            Err(error) => Err(Refused::Call("sendto", error)),
        }
    }

    /// Changes what the kernel is asked for. Where that is everything, an [`Event::Ack`] with
    /// `ack + 1` stands in the stream from which on it is.
    pub(super) fn subscribe(&self, to: Subscription, ack: u32) -> Result<(), Refused> {
        let listen = to != Subscription::Nothing;
        if self.listening.swap(listen, Ordering::Relaxed) == listen && !(listen && self.masks) {
            // Kernels before 6.6 count listeners by their words: one word too many silences others.
            return Ok(());
        }
        match to {
            Subscription::Nothing => self.send(&message::ignore(ack)),
            Subscription::Everything if self.masks => self.send(&message::listen_to(ack, 0)),
            Subscription::Only(events) if self.masks => self.send(&message::listen_to(ack, events)),
            Subscription::Everything | Subscription::Only(_) => self.send(&message::listen(ack)),
        }
    }

    /// Whether the kernel sorts events out by itself.
    pub(super) fn has_masks(&self) -> bool {
        self.masks
    }

    /// The next datagram; `None` for one that is not the kernel's.
    pub(super) fn receive<'a>(
        &self,
        buffer: &'a mut [u8; LONGEST],
    ) -> Result<Option<&'a [u8]>, Errno> {
        let (len, _, from) = recvfrom(&self.fd, buffer.as_mut_slice(), RecvFlags::empty())?;
        let is_kernel = from
            .and_then(|from| SocketAddrNetlink::try_from(from).ok())
            .is_some_and(|from| from.pid() == 0);
        Ok(buffer.get(..len).filter(|_| is_kernel))
    }

    /// How many messages found no room since the socket was opened; wraps around.
    pub(super) fn drops(&self) -> std::io::Result<u32> {
        let mut values = [0u32; libc::SK_MEMINFO_DROPS as usize + 1];
        let mut len = size_of_val(&values) as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes to `values`, which has that many, and the
        // new length to `len`. Both live through the call.
        let result = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                values.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        if result != 0 || (len as usize) < size_of_val(&values) {
            return Err(std::io::Error::last_os_error());
        }
        Ok(values[libc::SK_MEMINFO_DROPS as usize])
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Kernels before 6.6 do not notice that a listener is gone.
        let _ = self.subscribe(Subscription::Nothing, 0);
    }
}

/// The error that a message tells, where it is the answer to this request.
pub(super) fn answer(message: &Message, ack: u32) -> Option<u32> {
    match message.event {
        Event::Ack { error } if message.ack == ack.wrapping_add(1) => Some(error),
        _ => None,
    }
}

/// Without this option a full buffer closes until it was emptied to the last event, and all that
/// comes meanwhile is lost; on some kernels it stays closed. With it only what does not fit is.
fn lose_no_more_than_needed(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads the bytes of `on`, which lives through the call.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_NO_ENOBUFS,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// The kernel does not say why it does not answer.
fn why_silent() -> Refused {
    /// The inodes of the first namespaces, from `include/uapi/linux/nsfs.h`.
    const FIRST: [(&str, u64); 2] = [("pid", 0xeffffffc), ("user", 0xeffffffd)];
    for (name, inode) in FIRST {
        let here = rustix::fs::stat(format!("/proc/self/ns/{name}"));
        if here.is_ok_and(|stat| stat.st_ino != inode) {
            return Refused::Namespace(name);
        }
    }
    if !caps::has_cap(
        None,
        caps::CapSet::Effective,
        caps::Capability::CAP_NET_ADMIN,
    )
    .unwrap_or(true)
    {
        return Refused::Capability;
    }
    Refused::Silent
}
