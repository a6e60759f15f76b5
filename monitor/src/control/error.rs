//! What can go wrong at the control socket, in words that say what to do next.

use std::io;
use std::path::PathBuf;

/// What the functions of this module return.
pub type Result<T, E = ControlError> = std::result::Result<T, E>;

/// Why a client or the server could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No daemon listens there.
    #[error(
        "no daemon answers at {path}: start it with `credwatch run`, or name its directory with \
         --state-dir"
    )]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The socket may not be opened by this user.
    #[error(
        "you may not speak with the daemon at {path}: run this as root, or as a member of the \
         group that the daemon's configuration names"
    )]
    Denied {
        /// The socket.
        path: PathBuf,
    },
    /// A daemon has this socket already.
    #[error(
        "another credwatch is running{}: stop it first, or give this one a directory of its own \
         with --state-dir",
        pid.map_or_else(String::new, |pid| format!(" as pid {pid}"))
    )]
    AlreadyRunning {
        /// The other daemon, where it could be known.
        pid: Option<i32>,
    },
    /// Something that is no socket lies where the socket belongs.
    #[error("{path} is no socket: move it away, or name another directory with --state-dir")]
    NotASocket {
        /// Where.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon did not answer in time, or went away.
    #[error("the daemon at {path} {problem}: see its log (`journalctl -u credwatch`)")]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// What happened.
        problem: &'static str,
    },
    /// The daemon's answer is not understood.
    #[error(
        "the daemon at {path} gave an answer that this program does not understand ({source}): \
         are both of the same version?"
    )]
    Answer {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}
