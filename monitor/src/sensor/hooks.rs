//! The table of hooks: what each watches, the program, and how it is attached.

use monitor_common::Hook;

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attach {
    /// BTF-typed tracepoint of this name.
    Tracepoint(&'static str),
    /// At the root of the cgroup v2 hierarchy.
    CgroupRoot(&'static str),
    /// Iterator over tasks, read once at start.
    TaskIterator,
}

impl Attach {
    /// As `status` names it.
    pub(super) fn backend(self) -> String {
        match self {
            Self::Tracepoint(name) => format!("tp_btf {name}"),
            Self::CgroupRoot(name) => format!("cgroup {name}"),
            Self::TaskIterator => "iter task".to_owned(),
        }
    }
}

/// One hook.
#[derive(Debug, Clone, Copy)]
pub(super) struct HookSpec {
    pub(super) hook: Hook,
    /// Name in `status`, and of the program in the object.
    pub(super) name: &'static str,
    pub(super) attach: Attach,
    /// What is not seen while it is missing.
    pub(super) blind_to: &'static str,
}

/// Every hook, in the order of attaching: processes first, so that later events find their actor.
pub(super) const HOOKS: &[HookSpec] = &[
    HookSpec {
        hook: Hook::ProcessFork,
        name: "process_fork",
        attach: Attach::Tracepoint("sched_process_fork"),
        blind_to: "the ancestors of new processes",
    },
    HookSpec {
        hook: Hook::ProcessExec,
        name: "process_exec",
        attach: Attach::Tracepoint("sched_process_exec"),
        blind_to: "programs that are started, and which program a process runs",
    },
    HookSpec {
        hook: Hook::ProcessExit,
        name: "process_exit",
        attach: Attach::Tracepoint("sched_process_exit"),
        blind_to: "the end of processes",
    },
    HookSpec {
        hook: Hook::IdentityChange,
        name: "identity_change",
        attach: Attach::Tracepoint("cap_capable"),
        blind_to: "changes of uid before the next act of the process",
    },
    HookSpec {
        hook: Hook::FileRead,
        name: "file_read",
        attach: Attach::Tracepoint("mm_filemap_get_pages"),
        blind_to: "reads on descriptors that were opened before, and files found only by name",
    },
    HookSpec {
        hook: Hook::FileMap,
        name: "file_map",
        attach: Attach::Tracepoint("mm_filemap_map_pages"),
        blind_to: "credential files that are mapped instead of read",
    },
    HookSpec {
        hook: Hook::FileFault,
        name: "file_fault",
        attach: Attach::Tracepoint("mm_filemap_fault"),
        blind_to: "credential files that are mapped and not yet in memory",
    },
    HookSpec {
        hook: Hook::FileWrite,
        name: "file_write",
        attach: Attach::Tracepoint("mm_filemap_add_to_page_cache"),
        blind_to: "copies of credentials outside watched directories",
    },
    HookSpec {
        hook: Hook::Connect4,
        name: "connect4",
        attach: Attach::CgroupRoot("connect4"),
        blind_to: "IPv4 connections",
    },
    HookSpec {
        hook: Hook::Connect6,
        name: "connect6",
        attach: Attach::CgroupRoot("connect6"),
        blind_to: "IPv6 connections",
    },
    HookSpec {
        hook: Hook::Sendmsg4,
        name: "sendmsg4",
        attach: Attach::CgroupRoot("sendmsg4"),
        blind_to: "IPv4 datagrams on sockets that are not connected",
    },
    HookSpec {
        hook: Hook::Sendmsg6,
        name: "sendmsg6",
        attach: Attach::CgroupRoot("sendmsg6"),
        blind_to: "IPv6 datagrams on sockets that are not connected",
    },
    HookSpec {
        hook: Hook::UnixConnect,
        name: "unix_send",
        attach: Attach::Tracepoint("sock_send_length"),
        blind_to: "use of agents and control sockets",
    },
    HookSpec {
        hook: Hook::SocketClose,
        name: "socket_close",
        attach: Attach::Tracepoint("tcp_destroy_sock"),
        blind_to: "how much a connection carried",
    },
    HookSpec {
        hook: Hook::RunningTasks,
        name: "running_tasks",
        attach: Attach::TaskIterator,
        blind_to: "what processes older than the daemon are",
    },
];
