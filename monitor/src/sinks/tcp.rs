//! Syslog over TCP with octet counting (RFC 6587, 3.4.1), sending again what may have been lost.
//!
//! Syslog has no acknowledgement, and a write to a connection that the other end has just closed
//! succeeds. So messages are kept for a while after they were written, and when the connection
//! breaks within that while they are written again to the next one. The while is longer than
//! TCP_USER_TIMEOUT, after which the kernel breaks a connection whose data is not acknowledged:
//! a message that outlived it was taken by the other end's kernel. A message may so arrive twice,
//! and is then the same in every byte.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::transport::patiently;

/// How long the kernel waits for data to be acknowledged.
const USER_TIMEOUT_MILLISECONDS: u32 = 5_000;
/// How long a message is kept after it was written.
const KEEP: Duration = Duration::from_secs(10);
/// How many are kept at most; the oldest go first.
const KEEP_MESSAGES: usize = 256;
/// How long the other end may take to close after we did.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) struct Tcp {
    address: String,
    stream: Option<TcpStream>,
    /// Frames that the other end may not have, oldest first, with the time of writing.
    kept: VecDeque<(Instant, Vec<u8>)>,
}

impl Tcp {
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            stream: None,
            kept: VecDeque::new(),
        }
    }

    /// Sends one message.
    pub(super) async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let frame = [format!("{} ", message.len()).as_bytes(), message].concat();
        self.forget();
        if self.closed() {
            self.stream = None;
        }
        self.mend().await?;
        self.write(&frame).await?;
        self.kept.push_back((Instant::now(), frame));
        if self.kept.len() > KEEP_MESSAGES {
            self.kept.pop_front();
        }
        Ok(())
    }

    /// Connects when there is no connection, and sends again what the last one may have lost.
    pub(super) async fn mend(&mut self) -> io::Result<()> {
        if self.stream.is_some() {
            return Ok(());
        }
        let stream = patiently(TcpStream::connect(&self.address)).await?;
        stream.set_nodelay(true)?;
        rustix::net::sockopt::set_tcp_user_timeout(&stream, USER_TIMEOUT_MILLISECONDS)?;
        rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
        self.stream = Some(stream);
        let kept = std::mem::take(&mut self.kept);
        let mut frames = kept.into_iter();
        while let Some((time, frame)) = frames.next() {
            let result = self.write(&frame).await;
            let time = if result.is_ok() { Instant::now() } else { time };
            self.kept.push_back((time, frame));
            if result.is_err() {
                self.kept.extend(frames);
                return result;
            }
        }
        Ok(())
    }

    /// Ends when the connection has broken.
    pub(super) async fn lost(&mut self) {
        while let Some(stream) = &self.stream {
            if stream.readable().await.is_err() || self.closed() {
                self.forget();
                self.stream = None;
                if !self.kept.is_empty() {
                    return;
                }
            }
        }
        pending().await
    }

    /// Closes, and waits for the other end to have read all. After an error it can be called
    /// again, and sends again what may have been lost.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.forget();
        // The other end may close because we did, and then has read all; not before.
        if self.closed() {
            self.stream = None;
        }
        if !self.kept.is_empty() {
            self.mend().await?;
        }
        let Some(mut stream) = self.stream.take() else {
            return Ok(());
        };
        // Not tokio's, which takes a connection that was reset for one that is well closed.
        rustix::net::shutdown(&stream, Shutdown::Write)?;
        let farewell = async {
            let mut ignored = [0; 256];
            while stream.read(&mut ignored).await? > 0 {}
            // A reset that came after the other end's close is not told by reading.
            stream.take_error()?.map_or(Ok(()), Err)
        };
        match timeout(FAREWELL, farewell).await {
            Ok(result) => result,
            // A receiver that does not close in time has its data in the kernel's care.
            Err(_) => Ok(()),
        }
    }

    async fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let Some(stream) = &mut self.stream else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let result = patiently(stream.write_all(frame)).await;
        if result.is_err() {
            // A frame may have gone in part: only a new connection is in step again.
            self.stream = None;
        }
        result
    }

    /// Drops what outlived [`KEEP`] on a connection that stands.
    fn forget(&mut self) {
        if self.stream.is_some() {
            while self
                .kept
                .front()
                .is_some_and(|(time, _)| time.elapsed() > KEEP)
            {
                self.kept.pop_front();
            }
        }
    }

    /// Whether the other end has closed, or the connection has broken. What it says is ignored.
    fn closed(&self) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let mut ignored = [0; 256];
        loop {
            match stream.try_read(&mut ignored) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }
}
