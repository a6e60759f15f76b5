//! The daemon's end of the control socket.

use std::convert::Infallible;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::future::Future;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, Gid, chown, flock};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::connection::{error, say, serve};
use super::peer::{Peer, PeerUser};
use super::{ControlError, Request, Response, Result};

/// Clients at the same time.
const MAX_CONNECTIONS: usize = 32;

/// A bound control socket. It is taken away when this is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    /// `st_dev` and `st_ino` of the socket, so that only our own is taken away.
    inode: (u64, u64),
    group: Option<u32>,
    /// Held while we live: a second daemon must not take the socket for a dead one's.
    _lock: File,
}

impl Server {
    /// Binds the socket: mode 0660 for members of `group` (a gid), else 0600. Makes its directory
    /// where that is missing, and replaces the socket of a daemon that has died. Needs a tokio
    /// runtime around it.
    ///
    /// # Errors
    /// [`ControlError::AlreadyRunning`] when a daemon has the socket.
    pub fn bind(path: &Path, group: Option<u32>) -> Result<Self> {
        if let Some(directory) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(if group.is_some() { 0o755 } else { 0o700 })
                .create(directory)
                .map_err(|source| failed("create", directory, source))?;
        }
        let lock = lock(path)?;
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(ControlError::NotASocket {
                    path: path.to_owned(),
                });
            }
            // Somebody may have removed the lock of a daemon that lives.
            Ok(_) => {
                if let Ok(pid) = listener_pid(path) {
                    return Err(ControlError::AlreadyRunning { pid });
                }
            }
            Err(_) => {}
        }

        // Under another name until its mode is right; the rename also replaces a dead socket.
        let new = beside(path, "new");
        remove(&new)?;
        let listener =
            UnixListener::bind(&new).map_err(|source| failed("listen at", path, source))?;
        let inode = set_access(&new, group)
            .and_then(|()| {
                let status = fs::symlink_metadata(&new)?;
                fs::rename(&new, path)?;
                Ok((status.dev(), status.ino()))
            })
            .map_err(|source| failed("set up", path, source))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            inode,
            group,
            _lock: lock,
        })
    }

    /// Answers clients until the future is dropped, which ends the requests under way too.
    /// `handler` gets the client's user, who is whom a change is noted `by`.
    pub async fn run<H, F>(self, handler: H) -> Infallible
    where
        H: Fn(Request, PeerUser) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            while let Some(ended) = connections.try_join_next() {
                if let Err(problem) = ended {
                    tracing::error!(error = %problem, "a control connection ended badly");
                }
            }
            let mut stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(problem) => {
                    // Out of file descriptors, say: others may give some back.
                    tracing::warn!(error = %problem, "cannot accept a control connection");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                // A new socket's buffer has room for this: the write does not wait.
                let answer = error("too many clients speak with the daemon: try again later");
                let _ = tokio::time::timeout(Duration::from_millis(100), say(&mut stream, &answer))
                    .await;
                continue;
            };
            let (handler, group) = (Arc::clone(&handler), self.group);
            connections.spawn(async move {
                if let Err(problem) = welcome(stream, group, handler.as_ref()).await {
                    tracing::debug!(error = %problem, "a control connection broke");
                }
                drop(place);
            });
        }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.inode);
        if ours {
            // One that stays is replaced by the next daemon.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Lets a client in, or tells it why not.
async fn welcome<H, F>(mut stream: UnixStream, group: Option<u32>, handler: &H) -> io::Result<()>
where
    H: Fn(Request, PeerUser) -> F,
    F: Future<Output = Response>,
{
    let peer = Peer::of(&stream)?;
    let own_uid = rustix::process::geteuid().as_raw();
    // The user database may be on the network.
    let (user, allowed) =
        tokio::task::spawn_blocking(move || (peer.named(), peer.is_allowed(own_uid, group)))
            .await
            .map_err(io::Error::other)?;
    if !allowed {
        tracing::warn!(uid = user.uid, user = %user.name, pid = ?user.pid,
            "refused a control connection");
        let answer = error(format!(
            "{} may not speak with this daemon: run this as root, or as a member of the group \
             that its configuration names",
            user.name
        ));
        return say(&mut stream, &answer).await;
    }
    serve(stream, &user, handler).await
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> ControlError {
    ControlError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, error)),
        _ => Ok(()),
    }
}

fn set_access(path: &Path, group: Option<u32>) -> io::Result<()> {
    if let Some(group) = group {
        chown(path, None, Some(Gid::from_raw(group)))?;
    }
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Takes the lock beside the socket, which holds our pid, and which the kernel gives back however
/// we end.
fn lock(path: &Path) -> Result<File> {
    let lock = beside(path, "lock");
    let open = |source| failed("open", &lock, source);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&lock)
        .map_err(open)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let read = file.read_to_string(&mut text);
            let pid = read.ok().and_then(|_| text.trim().parse().ok());
            return Err(ControlError::AlreadyRunning { pid });
        }
        Err(error) => return Err(failed("lock", &lock, error.into())),
    }
    file.set_len(0).map_err(open)?;
    writeln!(file, "{}", std::process::id()).map_err(open)?;
    Ok(file)
}

/// The process that listens at a socket; an error where none does.
fn listener_pid(path: &Path) -> io::Result<Option<i32>> {
    let stream = StdUnixStream::connect(path)?;
    stream.set_nonblocking(true)?;
    Ok(Peer::of(&UnixStream::from_std(stream)?)?.pid)
}
