//! The one input of the pipeline. Everything that a stage may depend on comes in as a fact with a
//! time: kernel events, and also what the host knew (user names, cgroup paths, credentials found,
//! words of the operator). A recording is a list of these, which is why a replay needs neither the
//! host nor a clock.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    Account, AccountChange, BaselineWord, CapabilitySet, ClusterChange, ClusterRemoval, Container,
    Credential, CredentialState, CredentialUser, Exception, FileId, Fingerprint, Flow, Gap, HeldIn,
    KernelKey, Learning, Ledger, LocatedFile, Origin, ProgramRights, Relied, Rhythm, Selector,
    Sha256Digest, StoredBaseline, Succession, Task, Timestamp, Usage, UsePattern,
};

/// A fact and when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The event's own time.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Fact {
    /// A process that was there when the sensor started.
    Running {
        /// The process.
        task: Task,
        /// Its executable's path, where it could be read.
        path: Option<String>,
        /// The capabilities that it has, in use or not, where the kernel told them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permitted: Option<CapabilitySet>,
    },
    /// A process replaced its program.
    Exec {
        /// The process, already with its new executable.
        task: Task,
        /// The new executable's path in the kernel's own words.
        path: String,
        /// The capabilities that it has, in use or not, where the kernel told them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permitted: Option<CapabilitySet>,
    },
    /// A process used a capability, for the first time since its program began.
    CapabilityUse {
        /// The process.
        task: Task,
        /// Which.
        capability: u8,
        /// Whether a use is told here from a question that the kernel asks for its own purposes:
        /// if not, `CAP_SYS_ADMIN` is never told, because it is asked for all the time.
        exact: bool,
    },
    /// A process was made.
    Fork {
        /// The child.
        task: Task,
    },
    /// A process ended.
    Exit {
        /// The process.
        task: Task,
    },
    /// A watched file was opened or read.
    FileAccess {
        /// Who did it.
        task: Task,
        /// The file.
        file: FileId,
        /// What was done.
        access: Access,
        /// The path by which it was opened, where the kernel told it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        /// How many times: the same act by the same process within a short time is one fact.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        count: u64,
    },
    /// A socket was connected, or a datagram sent to an address.
    Connect {
        /// Who did it.
        task: Task,
        /// The kernel's cookie of the socket.
        socket: u64,
        /// The transport.
        protocol: Protocol,
        /// Where to.
        destination: SocketAddr,
    },
    /// A watched unix socket was spoken to.
    UnixConnect {
        /// Who did it.
        task: Task,
        /// The socket's path.
        path: String,
        /// The uid that owns the socket's file, where the sensor could tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<u32>,
    },
    /// A connected TCP socket was closed.
    SocketClose {
        /// Who had connected it.
        task: Task,
        /// The kernel's cookie of the socket.
        socket: u64,
        /// Where to.
        destination: SocketAddr,
        /// Payload bytes sent.
        sent: u64,
        /// Payload bytes received.
        received: u64,
    },
    /// A process reached, or tried to reach, into another process's memory or descriptors.
    MemoryAccess {
        /// Who did it.
        task: Task,
        /// Whose memory.
        target: Task,
        /// By what way.
        how: MemoryAccess,
        /// Whether the kernel let it.
        granted: bool,
    },
    /// The payload of a key of the kernel's keyrings was read.
    KeyRead {
        /// Who did it.
        task: Task,
        /// The key's serial number.
        serial: u32,
        /// The key's description, where the kernel told it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// The uid that owns the key, where the kernel told it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<u32>,
    },
    /// An answer of the domain name system: what this host knows an address by.
    Name {
        /// The address.
        address: IpAddr,
        /// The name that was asked for.
        name: String,
    },
    /// Traffic of a device of the network behind this host.
    Flow(Flow),
    /// A process changed its uid.
    IdentityChange {
        /// The process, still with its old uid.
        task: Task,
        /// The uid that it takes.
        uid: u32,
    },
    /// Events that the kernel half could not deliver.
    Lost {
        /// The hook, or the queue behind it.
        hook: String,
        /// The CPU; `None` for a queue of the daemon.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cpu: Option<u32>,
        /// How many since the last such fact.
        count: u64,
    },
    /// Events of a process that makes more of them than any honest one: not delivered, and counted.
    Capped {
        /// The hook.
        hook: String,
        /// The process.
        task: Task,
        /// How many since the last such fact of this process and hook.
        count: u64,
    },
    /// A hook that had failed works again.
    HookWorks {
        /// The hook.
        hook: String,
        /// The backend that works now.
        backend: String,
    },
    /// A hook could not be attached, or is attached and does not fire.
    HookFailed {
        /// The hook.
        hook: String,
        /// The backend that was tried.
        backend: String,
        /// What happened and what to do, in one sentence.
        reason: String,
    },
    /// The name of a uid on this host.
    UserName {
        /// The uid.
        uid: u32,
        /// Its name; `None` when it has lost it.
        name: Option<String>,
        /// What kind of account it is; `None` where it has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<Account>,
    },
    /// The path of a cgroup on this host.
    CgroupPath {
        /// Its id.
        id: u64,
        /// The path below the hierarchy's mount point.
        path: String,
    },
    /// A container of this host, as its runtime describes it.
    Container(Box<Container>),
    /// A process began to run a job of a CI system, as its environment says.
    Job {
        /// The process, a descendant of the system's runner.
        task: Task,
        /// The job's name: `ci:github:org/repo`.
        selector: Selector,
    },
    /// What lies at the path by which a process runs its program, as the daemon itself finds it
    /// there. A process can have mounts of its own, and so its own `/usr/bin/ssh`; that is another
    /// inode, and no such fact tells of it.
    Program {
        /// The program's inode, as processes that run it carry it.
        file: FileId,
        /// Its path on this host.
        path: String,
        /// The uid that owns it.
        owner: u32,
        /// Permission bits, `0o7777` at most.
        mode: u32,
    },
    /// The digest of what lies in a program's inode, where the configuration names any.
    ProgramDigest {
        /// The program's inode, as processes that run it carry it.
        file: FileId,
        /// `None` where it was written to: what was known of it holds no more.
        digest: Option<Sha256Digest>,
    },
    /// Discovery found a file with credentials, or found it changed.
    Located(LocatedFile),
    /// A file with credentials is no longer where it was.
    Unlocated {
        /// Its inode.
        file: FileId,
        /// The path that it left.
        #[serde(with = "super::path")]
        path: PathBuf,
    },
    /// A process holds a credential elsewhere than in a file.
    Holds {
        /// Who.
        task: Task,
        /// Where.
        place: HeldIn,
        /// What.
        credential: Credential,
    },
    /// A credential was written to a log.
    Logged {
        /// The log.
        #[serde(with = "super::path")]
        path: PathBuf,
        /// The uid that owns it.
        owner: u32,
        /// What was written.
        credential: Credential,
    },
    /// A file with a secret can be read by every account: its mode lets them, and no directory
    /// above it keeps them out.
    Exposed {
        /// Its inode.
        file: FileId,
        /// Its path.
        #[serde(with = "super::path")]
        path: PathBuf,
    },
    /// What was known before has been taken in: all that follows is new.
    Restored,
    /// Discovery has been through all of its roots once.
    Searched,
    /// The keys in the kernel's keyrings, all that can be seen. No payloads.
    KernelKeys {
        /// In the order of their serial numbers.
        keys: Vec<KernelKey>,
    },
    /// The operator or the registry files said something.
    Registry(RegistryChange),
    /// A credential from before that no file holds any more.
    Known(Credential),
    /// A row of the usage map from before.
    Usage(Usage),
    /// Since when a credential's users are learned, from before.
    Learning(Learning),
    /// A user of a credential that was learned before.
    User(CredentialUser),
    /// An operator allowed the cause of an alert.
    Allowed(Exception),
    /// An operator took that back.
    NotAllowed {
        /// The exception's id.
        id: String,
    },
    /// An identity that acted before.
    Identity {
        /// Who.
        selector: Selector,
        /// Its first act seen.
        first: Timestamp,
        /// Its latest act seen.
        last: Timestamp,
    },
    /// A version of a credential from before, and the one that followed it.
    Succeeded(Succession),
    /// What was learned before of a credential or an identity.
    Rhythm(Rhythm),
    /// When a credential was found for the first time, by this daemon or one before it.
    FirstFound {
        /// Which.
        fingerprint: Fingerprint,
        /// When.
        at: Timestamp,
    },
    /// A time before this one in which no daemon ran.
    Unwatched {
        /// When the last one before it was last known to run.
        from: Timestamp,
        /// When the next began.
        to: Timestamp,
    },
    /// A run of the daemon watches from now on.
    Watching {
        /// When the run before it was last known to watch; `None` for the first.
        since: Option<Timestamp>,
        /// Whether the host was booted since.
        rebooted: bool,
    },
    /// What the host was watched for, from before.
    Observed(Ledger),
    /// How a credential or an identity was used, from before.
    Pattern(UsePattern),
    /// What a program of an identity was given and used, from before.
    Rights(ProgramRights),
    /// What was learned of an identity's habits, or of the host's, from before.
    Baseline(StoredBaseline),
    /// An operator said something about what was learned of an identity.
    BaselineWord(BaselineWord),
    /// An account of this host is new, is gone, or can be used in another way than before.
    Account(AccountChange),
    /// The file that makes a unit of systemd came, or went.
    Unit {
        /// The unit: `backup.service`.
        name: String,
        /// Whether any directory of units has it.
        present: bool,
    },
    /// A service account of the cluster, or a pod of this node, came or went.
    Cluster(ClusterChange),
    /// An object of the cluster that went before, with what was bound to it.
    ClusterRemoved(ClusterRemoval),
    /// The API of the cluster is out of reach, or no longer.
    ClusterApi {
        /// Why it is, in one line; `None` where it answers again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        away: Option<String>,
    },
    /// What is owned by an identity that was removed: from before, and not yet settled.
    Removed {
        /// The identity.
        selector: Selector,
        /// When.
        at: Timestamp,
        /// The uid of its account, unless another account has it too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
    },
    /// Nothing happened; time passed. Ends what waits for quiet.
    Tick,
    /// The daemon was told to stop, and nothing is watched from now on.
    Stopping {
        /// The signal's name: `SIGTERM`.
        signal: String,
        /// Where it came from.
        from: Origin,
    },
    /// A time that was not watched, or that the clock does not tell right.
    Gap {
        /// What happened to it.
        gap: Gap,
    },
    /// Something that the daemon relies on is not as it was.
    Tampered {
        /// What it is to the daemon.
        what: Relied,
        /// Where it lies.
        #[serde(with = "super::path")]
        path: PathBuf,
        /// What is wrong with it, as the rest of a sentence: `was replaced by another file`.
        detail: String,
    },
}

impl Fact {
    /// Who acted, where somebody did.
    pub fn task(&self) -> Option<&Task> {
        match self {
            Self::Running { task, .. }
            | Self::Exec { task, .. }
            | Self::Fork { task }
            | Self::Exit { task }
            | Self::FileAccess { task, .. }
            | Self::Connect { task, .. }
            | Self::UnixConnect { task, .. }
            | Self::SocketClose { task, .. }
            | Self::MemoryAccess { task, .. }
            | Self::KeyRead { task, .. }
            | Self::IdentityChange { task, .. }
            | Self::CapabilityUse { task, .. }
            | Self::Holds { task, .. }
            | Self::Capped { task, .. } => Some(task),
            _ => None,
        }
    }
}

/// What was done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Opened.
    Open,
    /// Its content was read.
    Read,
    /// Its content was mapped into memory.
    Map,
    /// Its content was changed.
    Write,
    /// An open was refused: the process has no right to it.
    Denied,
}

/// A way into another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryAccess {
    /// ptrace(2): attached to, or looked into by, a tracer.
    Ptrace,
    /// process_vm_readv(2) or process_vm_writev(2).
    ProcessVm,
    /// `/proc/PID/mem`
    Mem,
    /// `/proc/PID/environ`
    Environ,
    /// `/proc/PID/maps`, `smaps` and their like: where things lie, not what they hold.
    Maps,
    /// pidfd_getfd(2): a descriptor was taken.
    Descriptor,
    /// A way that the kernel did not name: it asked whether the process may.
    Other,
}

fn once() -> u64 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out a reference"
)]
fn is_once(count: &u64) -> bool {
    *count == 1
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they are their names")]
pub enum Protocol {
    Tcp,
    Udp,
    Arp,
    Other,
}

/// What a registry change speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// One credential, wherever it lies.
    Credential(Fingerprint),
    /// An identity.
    Identity(Selector),
    /// Whatever lies at this path, now and later. From registry files only: `retire PATH` takes
    /// the fingerprint of what it finds.
    Path(#[serde(with = "super::path")] PathBuf),
}

impl From<Fingerprint> for Target {
    fn from(fingerprint: Fingerprint) -> Self {
        Self::Credential(fingerprint)
    }
}

impl From<Selector> for Target {
    fn from(selector: Selector) -> Self {
        Self::Identity(selector)
    }
}

/// A word about the state of a credential or an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryChange {
    /// Of what.
    pub target: Target,
    /// The new state.
    pub state: CredentialState,
    /// Since when, where that differs from the time of the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Who said it: a user name, or the registry file.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The identity that owns it, where it was declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Selector>,
}

impl RegistryChange {
    /// Who says what follows from the facts themselves. No operator is called so.
    pub const DERIVED: &str = "credwatch";

    /// Whether the name that a word goes by is a registry file's.
    pub fn is_by_file(by: &str) -> bool {
        std::path::Path::new(by)
            .extension()
            .is_some_and(|of| of == "toml")
    }

    /// Whether nobody said it.
    pub fn is_derived(&self) -> bool {
        self.by == Self::DERIVED
    }
}
