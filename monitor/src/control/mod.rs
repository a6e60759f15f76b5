//! The control socket: how clients of this machine speak with a running daemon.
//! One JSON object a line each way; a connection carries any number of requests.

pub mod protocol;
pub mod views;

pub use protocol::{Request, Response};
