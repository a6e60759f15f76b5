//! Bytes from the ring to facts. Pure, and total: any bytes give a fact, a request to look at a
//! file, or an error that is counted; never a panic.

mod clock;
mod dns;
mod dns_stream;
mod names;
mod path;
mod record;

pub use clock::Clock;
pub use dns::{Garbled, names};
pub use names::{DnsBytes, Names};
pub use record::{
    DecodeError, Decoded, FlowBegin, Look, LookReason, decode, file_id, flow, hook, task,
};
