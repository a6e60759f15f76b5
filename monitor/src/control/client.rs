//! A client's end of the control socket. Blocking: a command-line client does one thing.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ControlError, Request, Response, Result, socket_path};

/// The longest answer that is taken in: beyond it something else than a daemon is speaking.
const MAX_RESPONSE: u64 = 256 << 20;
/// How long the daemon may take for an answer, or for taking in a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a running daemon.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

impl Client {
    /// Connects to the daemon whose state lies in `state_dir`.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`] where no daemon listens, [`ControlError::Denied`] where this
    /// user may not connect.
    pub fn connect(state_dir: &Path) -> Result<Self> {
        let path = socket_path(state_dir);
        let stream = UnixStream::connect(&path)
            .and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(stream)
            })
            .map_err(|source| {
                let path = path.clone();
                match source.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                        ControlError::NotRunning { path }
                    }
                    io::ErrorKind::PermissionDenied => ControlError::Denied { path },
                    _ => ControlError::Io {
                        doing: "connect to",
                        path,
                        source,
                    },
                }
            })?;
        Ok(Self {
            stream: BufReader::new(stream),
            path,
        })
    }

    /// Asks and waits for the answer. [`Response::Error`] is an answer too.
    pub fn call(&mut self, request: &Request) -> Result<Response> {
        let path = &self.path;
        let mut line = serde_json::to_vec(request).map_err(|source| ControlError::Answer {
            path: path.clone(),
            source,
        })?;
        line.push(b'\n');
        // A daemon that refuses us has answered and hung up: its words count, not the broken pipe.
        let sent = self.stream.get_mut().write_all(&line);
        line.clear();
        let read = (&mut self.stream)
            .take(MAX_RESPONSE)
            .read_until(b'\n', &mut line);
        match (sent, read) {
            (_, Ok(_)) if line.last() == Some(&b'\n') => {
                serde_json::from_slice(&line).map_err(|source| ControlError::Answer {
                    path: path.clone(),
                    source,
                })
            }
            (_, Err(error)) if is_timeout(&error) => Err(no_answer(path, "does not answer")),
            (Err(error), _) if is_timeout(&error) => Err(no_answer(path, "takes no request")),
            _ => Err(no_answer(path, "hung up before it answered")),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    // A socket's timeout is EAGAIN.
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn no_answer(path: &Path, problem: &'static str) -> ControlError {
    ControlError::NoAnswer {
        path: path.to_owned(),
        problem,
    }
}
