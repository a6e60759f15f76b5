//! Recordings: every fact that went into the pipeline, in a file that replays to the same alerts.
//!
//! The form is text, a line a fact, so that people can look into one: a head that names the form
//! and its version, then lines of a CRC-32 in eight hex digits, a space, and the fact as JSON. The
//! checksum tells a damaged line from one that a newer version wrote.

mod format;
mod reader;
mod replay;
mod writer;
pub mod zeek;

use serde::{Deserialize, Serialize};

pub use format::Format;
pub use reader::{Reader, RecordingError};
pub use replay::{Replayed, replay};
pub use writer::Writer;

/// The version of the form. A reader refuses newer ones.
pub const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`VERSION`] of the writer.
    pub credwatch_recording: u32,
    /// The program that wrote it.
    pub program: String,
    /// The kernel that it ran on.
    pub kernel: String,
}
