//! The words of Credwatch: what every stage speaks of, and nothing that a stage does.
//!
//! This module does no input or output and knows no other module.

pub mod account;
pub mod account_change;
pub mod alert;
pub mod backend;
pub mod baseline;
pub mod capability_set;
pub mod cluster;
pub mod container;
pub mod credential;
pub mod device;
pub mod fact;
pub mod guard;
pub mod held;
pub mod identity;
pub mod life;
pub mod observed;
pub mod path;
pub mod rights;
pub mod sha256;
pub mod system_file;
pub mod task;
pub mod time;
pub mod usage;
pub mod user;

pub use account::{Account, AccountClass, Password};
pub use account_change::{AccountChange, AccountState, PasswordField, ShellClass};
pub use alert::{
    Alert, AlertAncestor, AlertCredential, AlertDestination, AlertProcess, AlertStatus,
    DetectionId, Evidence, Severity,
};
pub use backend::{Backend, Capability};
pub use baseline::{BaselineWord, StoredBaseline, Word};
pub use capability_set::CapabilitySet;
pub use cluster::{Bound, ClusterChange, ClusterRemoval, ClusterUid, ClusterUidError};
pub use container::Container;
pub use credential::{
    Credential, CredentialKind, CredentialState, FileId, Fingerprint, LocatedFile,
};
pub use device::{Direction, Flow, MacAddress, Traffic};
pub use fact::{Access, Fact, MemoryAccess, Protocol, Record, RegistryChange, Target};
pub use guard::{Gap, Origin, Relied, Sender};
pub use held::{HeldIn, KernelKey, is_history};
pub use identity::Selector;
pub use life::{Rhythm, Succession};
pub use observed::{Blindness, Hole, Ledger, UsePattern};
pub use rights::ProgramRights;
pub use sha256::Sha256Digest;
pub use system_file::SystemFile;
pub use task::{ProcessKey, Task};
pub use time::Timestamp;
pub use usage::{Usage, UsageKey};
pub use user::{CredentialUser, Exception, Learning};
