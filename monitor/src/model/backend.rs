//! What must be seen on a host, and the kinds of backend that can see it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is lost together when nothing sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Which programs run, and who started them.
    Process,
    /// Who opens, reads, maps and changes credential files, or tries to.
    CredentialFile,
    /// Where processes connect to.
    Network,
    /// Who speaks to agents and container runtimes.
    UnixSocket,
    /// Who reaches into other processes and keyrings.
    MemoryAccess,
    /// Who takes another uid.
    IdentityChange,
    /// What devices behind this host send.
    Gateway,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Process => "process",
            Self::CredentialFile => "credential file",
            Self::Network => "network",
            Self::UnixSocket => "unix socket",
            Self::MemoryAccess => "memory access",
            Self::IdentityChange => "identity change",
            Self::Gateway => "gateway",
        })
    }
}

/// A kind of backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// A trampoline at a function's entry or return.
    Fentry,
    /// A trampoline at a hook of the security modules.
    Lsm,
    /// A breakpoint at a function's entry.
    Kprobe,
    /// A BTF-typed tracepoint.
    #[serde(rename = "tp_btf")]
    Tracepoint,
    /// A program at the root of the cgroup v2 hierarchy.
    Cgroup,
    /// An iterator over kernel objects.
    Iterator,
    /// Permission marks on files.
    Fanotify,
    /// The process connector.
    Connector,
    /// A walk through /proc.
    Proc,
    /// A classifier of packets, linked to an interface.
    Tcx,
    /// A classifier of packets, as a filter of an interface's clsact qdisc.
    Clsact,
}

impl Backend {
    /// Those among which hooks have a choice.
    pub const ALL: &'static [Self] = &[
        Self::Fentry,
        Self::Lsm,
        Self::Kprobe,
        Self::Tracepoint,
        Self::Cgroup,
        Self::Iterator,
        Self::Fanotify,
        Self::Connector,
        Self::Proc,
        Self::Tcx,
        Self::Clsact,
    ];

    /// As it is written in configuration and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Lsm => "lsm",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tp_btf",
            Self::Cgroup => "cgroup",
            Self::Iterator => "iterator",
            Self::Fanotify => "fanotify",
            Self::Connector => "connector",
            Self::Proc => "proc",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
