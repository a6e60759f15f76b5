//! The control socket: how clients of this machine speak with a running daemon.
//! One JSON object a line each way; a connection carries any number of requests.

pub mod client;
mod connection;
pub mod devices;
mod error;
mod findings;
pub mod life;
mod peer;
pub mod protocol;
pub mod server;
pub mod views;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use client::Client;
pub use error::{ControlError, Result};
pub use peer::PeerUser;
pub use protocol::{Request, Response};
pub use server::Server;

/// Where a daemon keeps its state unless it is told otherwise.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/credwatch";

/// The socket of the daemon whose state lies in `state_dir`: below `/run` for the daemon of the
/// system, whose clients may be of a group that must not enter the state directory; beside the
/// state for any other.
pub fn socket_path(state_dir: &Path) -> PathBuf {
    if state_dir == Path::new(DEFAULT_STATE_DIR) {
        PathBuf::from("/run/credwatch/control.sock")
    } else {
        state_dir.join("control.sock")
    }
}
