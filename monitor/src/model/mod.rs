//! The words of Credwatch: what every stage speaks of, and nothing that a stage does.
//!
//! This module does no input or output and knows no other module.

pub mod account_change;
pub mod alert;
pub mod backend;
pub mod credential;
pub mod fact;
pub mod guard;
pub mod identity;
pub mod observed;
pub mod path;
pub mod system_file;
pub mod task;
pub mod time;
pub mod usage;

pub use account_change::{AccountChange, AccountState, PasswordField, ShellClass};
pub use alert::{
    Alert, AlertAncestor, AlertCredential, AlertDestination, AlertProcess, AlertStatus,
    DetectionId, Evidence, Severity,
};
pub use backend::{Backend, Capability};
pub use credential::{
    Credential, CredentialKind, CredentialState, FileId, Fingerprint, LocatedFile,
};
pub use fact::{Access, Fact, MemoryAccess, Protocol, Record, RegistryChange, Target};
pub use guard::{Gap, Origin, Relied, Sender};
pub use identity::Selector;
pub use observed::{Blindness, Hole, Ledger, UsePattern};
pub use system_file::SystemFile;
pub use task::{ProcessKey, Task};
pub use time::Timestamp;
pub use usage::{Usage, UsageKey};
