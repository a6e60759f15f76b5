//! Credentials on disk: recognised by content and place, named without their value.
//!
//! This is the only module that holds a secret's bytes, and it holds them in [`SecretBytes`],
//! which is wiped when it goes. What leaves are [`crate::model::Credential`]s: kinds, public
//! words, and fingerprints that are either public already or an HMAC.
//!
//! [`discovery`] walks the places where credentials lie, [`watch`] hears of files as they appear,
//! [`mod@inspect`] opens one file, and [`mod@recognise`] says what is in it.

pub mod account_files;
pub mod discovery;
pub mod fingerprint;
pub mod held;
pub mod inspect;
pub mod jobs;
pub mod places;
pub mod recognise;
pub mod runtimes;
pub mod secret;
pub mod watch;

pub use account_files::{AccountFiles, accounts};
pub use discovery::{Scan, ScanSummary, scan};
pub use fingerprint::{FILE as KEY_FILE_NAME, FingerprintKey, KeyError};
pub use inspect::{InspectError, inspect, inspect_any, inspect_open};
pub use recognise::{opaque, recognise};
pub use secret::{ReadError, SecretBytes};
pub use watch::{DirectoryWatch, Found, WatchConfig, WatchError, WatchHandle, WatchStats};

/// Most credentials that are told of one process or one piece of a log.
const MAX_HELD: usize = 64;

#[cfg(test)]
mod tests;
