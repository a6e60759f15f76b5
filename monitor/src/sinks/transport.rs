//! Datagrams: the unix socket of this machine's syslog, and UDP.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::AsyncWriteExt;
use tokio::net::{UdpSocket, UnixDatagram, UnixStream};
use tokio::time::timeout;

use super::worker::Fault;

/// How long one step, as sending or connecting, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Awaits a step for [`PATIENCE`].
pub(super) async fn patiently<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(PATIENCE, step).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// A message too large for its transport never gets smaller.
fn fault(error: io::Error) -> Fault {
    if error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) {
        Fault::Refused(error)
    } else {
        Fault::Passing(error)
    }
}

enum UnixSocket {
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

/// A unix socket such as `/dev/log`.
pub(super) struct Unix {
    path: PathBuf,
    socket: Option<UnixSocket>,
}

impl Unix {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            socket: None,
        }
    }

    /// Sends one message, after connecting where that is needed.
    pub(super) async fn send(&mut self, mut message: Vec<u8>) -> Result<(), Fault> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect().await?,
        };
        match &mut socket {
            UnixSocket::Datagram(socket) => {
                patiently(socket.send(&message)).await.map_err(fault)?;
            }
            UnixSocket::Stream(socket) => {
                // A stream has no bounds of messages; syslog(3) ends each with NUL there.
                message.push(0);
                patiently(socket.write_all(&message)).await?;
            }
        }
        // Kept only when it worked: any error starts anew, as after a restart of the receiver.
        self.socket = Some(socket);
        Ok(())
    }

    async fn connect(&self) -> io::Result<UnixSocket> {
        let datagram = UnixDatagram::unbound()?;
        match datagram.connect(&self.path) {
            Ok(()) => Ok(UnixSocket::Datagram(datagram)),
            Err(error) if error.raw_os_error() == Some(Errno::PROTOTYPE.raw_os_error()) => {
                let stream = patiently(UnixStream::connect(&self.path)).await?;
                Ok(UnixSocket::Stream(stream))
            }
            Err(error) => Err(error),
        }
    }
}

/// UDP, a message a datagram (RFC 5426).
pub(super) struct Udp {
    address: String,
    socket: Option<UdpSocket>,
}

impl Udp {
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            socket: None,
        }
    }

    /// Sends one message. That it arrives cannot be known; a port that nobody listens on is told
    /// by the next attempt.
    pub(super) async fn send(&mut self, message: &[u8]) -> Result<(), Fault> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => patiently(self.connect()).await?,
        };
        patiently(socket.send(message)).await.map_err(fault)?;
        self.socket = Some(socket);
        Ok(())
    }

    async fn connect(&self) -> io::Result<UdpSocket> {
        let mut last = None;
        for address in tokio::net::lookup_host(&self.address).await? {
            let local: SocketAddr = match address {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let connected = async {
                let socket = UdpSocket::bind(local).await?;
                socket.connect(address).await?;
                Ok::<_, io::Error>(socket)
            };
            match connected.await {
                Ok(socket) => return Ok(socket),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("the host has no address")))
    }
}
