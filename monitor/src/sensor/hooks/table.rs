//! The table of hooks with their ladders.
//!
//! Functions come first where they can be hooked: they see the act itself, on every file system and
//! by whatever call, and tax nothing else. Among them the security hooks come first: there a program
//! is run for every task. One at the entry of a function is passed over while another task is in the
//! middle of it on the same CPU, which a kernel that puts tasks aside at any time makes common (see
//! `missed`); so two stand there, each for the acts that the other is not run for. A kprobe costs a
//! breakpoint.

use monitor_common::Hook;

use super::{Attach, HookSpec, Program, Rung};
use crate::model::Capability;

const fn rung(programs: &'static [Program]) -> Rung {
    Rung {
        programs,
        by_choice: false,
    }
}

macro_rules! rungs {
    ($([$($program:literal $attach:ident($($argument:literal)?)),+]),+ $(,)?) => {
        &[$(rung(&[$(Program {
            name: $program,
            attach: rungs!(@ $attach $($argument)?),
        }),+])),+]
    };
    (@ $attach:ident $argument:literal) => { Attach::$attach($argument) };
    (@ $attach:ident) => { Attach::$attach };
}

const TRAMPOLINES: &str = "a kernel with CONFIG_BPF_JIT=y and CONFIG_FUNCTION_TRACER=y lets functions be hooked; or \
                           Linux 6.13";

/// Every hook, in the order of attaching: processes first, so that later events find their actor.
pub(in crate::sensor) const HOOKS: &[HookSpec] = &[
    HookSpec {
        hook: Hook::ProcessFork,
        capability: Capability::Process,
        rungs: rungs![
            ["process_fork_tp" Tracepoint("sched_process_fork")],
            ["connector" Connector()],
        ],
        beside: None,
        blind_to: "the ancestors of new processes",
        fix: "CONFIG_DEBUG_INFO_BTF=y, or CONFIG_PROC_EVENTS=y",
    },
    HookSpec {
        hook: Hook::ProcessExec,
        capability: Capability::Process,
        rungs: rungs![
            ["process_exec_tp" Tracepoint("sched_process_exec")],
            ["connector" Connector()],
        ],
        beside: None,
        blind_to: "programs that are started, and which program a process runs",
        fix: "CONFIG_DEBUG_INFO_BTF=y, or CONFIG_PROC_EVENTS=y",
    },
    HookSpec {
        hook: Hook::ProcessExit,
        capability: Capability::Process,
        rungs: rungs![
            ["process_exit_tp" Tracepoint("sched_process_exit")],
            ["connector" Connector()],
        ],
        beside: None,
        blind_to: "the end of processes",
        fix: "CONFIG_DEBUG_INFO_BTF=y, or CONFIG_PROC_EVENTS=y",
    },
    HookSpec {
        hook: Hook::IdentityChange,
        capability: Capability::IdentityChange,
        rungs: rungs![
            ["identity_change_lsm" Lsm("task_fix_setuid")],
            ["identity_change_fentry" Fentry("security_task_fix_setuid")],
            ["identity_change_kprobe" Kprobe("security_task_fix_setuid")],
            ["capability_tp" Tracepoint("cap_capable")],
            ["connector" Connector()],
        ],
        beside: None,
        blind_to: "changes of uid before the next act of the process",
        fix: TRAMPOLINES,
    },
    HookSpec {
        hook: Hook::FileOpen,
        capability: Capability::CredentialFile,
        rungs: rungs![
            ["file_open_lsm" Lsm("file_open")],
            [
                "file_open_fentry" Fentry("security_file_open"),
                "file_open_twin" Fentry("security_file_open")
            ],
            ["file_open_kprobe" Kprobe("security_file_open")],
            ["marks" Marks()],
        ],
        beside: None,
        blind_to: "opens of credential files",
        fix: "CAP_SYS_ADMIN and CONFIG_FANOTIFY_ACCESS_PERMISSIONS=y; `sensor.permission_events = true`",
    },
    HookSpec {
        hook: Hook::FileRead,
        capability: Capability::CredentialFile,
        rungs: rungs![
            ["file_permission_lsm" Lsm("file_permission")],
            [
                "file_permission_fentry" Fentry("security_file_permission"),
                "file_permission_twin" Fentry("security_file_permission")
            ],
            ["file_permission_kprobe" Kprobe("security_file_permission")],
            ["file_read_tp" Tracepoint("mm_filemap_get_pages")],
        ],
        beside: None,
        blind_to: "reads on descriptors that were opened before, and files found only by name",
        fix: TRAMPOLINES,
    },
    HookSpec {
        hook: Hook::FileDirect,
        capability: Capability::CredentialFile,
        rungs: rungs![["file_direct_tp" Tracepoint("iomap_dio_rw_begin")]],
        beside: Some("file_read_tp"),
        blind_to: "reads past the page cache (O_DIRECT) on descriptors that were opened before",
        fix: TRAMPOLINES,
    },
    HookSpec {
        hook: Hook::FileMap,
        capability: Capability::CredentialFile,
        rungs: rungs![
            ["file_map_lsm" Lsm("mmap_file")],
            [
                "file_map_fentry" Fentry("security_mmap_file"),
                "file_map_twin" Fentry("security_mmap_file")
            ],
            ["file_map_kprobe" Kprobe("security_mmap_file")],
            ["file_map_tp" Tracepoint("mm_filemap_map_pages")],
        ],
        beside: None,
        blind_to: "credential files that are mapped on descriptors that were opened before",
        fix: TRAMPOLINES,
    },
    HookSpec {
        hook: Hook::FileFault,
        capability: Capability::CredentialFile,
        rungs: rungs![
            [
                "file_fault_fentry" Fentry("filemap_fault"),
                "file_around_fentry" Fentry("filemap_map_pages")
            ],
            [
                "file_fault_kprobe" Kprobe("filemap_fault"),
                "file_around_kprobe" Kprobe("filemap_map_pages")
            ],
            ["file_fault_tp" Tracepoint("mm_filemap_fault")],
        ],
        beside: None,
        blind_to: "reads of mappings from before",
        fix: TRAMPOLINES,
    },
    HookSpec {
        hook: Hook::FileChange,
        capability: Capability::CredentialFile,
        rungs: rungs![
            ["file_permission_lsm" Lsm("file_permission")],
            [
                "file_permission_fentry" Fentry("security_file_permission"),
                "file_permission_twin" Fentry("security_file_permission")
            ],
            ["file_permission_kprobe" Kprobe("security_file_permission")],
            ["file_change_tp" Tracepoint("writeback_dirty_folio")],
        ],
        beside: None,
        blind_to: "who changes credential files",
        fix: TRAMPOLINES,
    },
    HookSpec {
        hook: Hook::FileWrite,
        capability: Capability::CredentialFile,
        rungs: rungs![
            [
                "file_permission_lsm" Lsm("file_permission"),
                "file_write_tp" Tracepoint("mm_filemap_add_to_page_cache")
            ],
            [
                "file_permission_fentry" Fentry("security_file_permission"),
                "file_write_tp" Tracepoint("mm_filemap_add_to_page_cache")
            ],
            ["file_permission_lsm" Lsm("file_permission")],
            ["file_permission_fentry" Fentry("security_file_permission")],
            ["file_permission_kprobe" Kprobe("security_file_permission")],
            ["file_write_tp" Tracepoint("mm_filemap_add_to_page_cache")],
        ],
        beside: None,
        blind_to: "copies of credentials outside watched directories",
        fix: TRAMPOLINES,
    },
    HookSpec {
        hook: Hook::FileDenied,
        capability: Capability::CredentialFile,
        rungs: rungs![
            ["capability_fexit" Fexit("cap_capable")],
            ["capability_kprobe" Kprobe("cap_capable")],
            ["capability_tp" Tracepoint("cap_capable")],
        ],
        beside: None,
        blind_to: "opens of credential files that are refused",
        fix: TRAMPOLINES,
    },
    HookSpec {
        hook: Hook::CapabilityUse,
        capability: Capability::Process,
        rungs: rungs![
            ["capability_fexit" Fexit("cap_capable")],
            ["capability_kprobe" Kprobe("cap_capable")],
            ["capability_tp" Tracepoint("cap_capable")],
        ],
        beside: None,
        blind_to: "which capabilities processes use",
        fix: TRAMPOLINES,
    },
    HookSpec {
        hook: Hook::Connect4,
        capability: Capability::Network,
        rungs: rungs![
            ["connect4" CgroupRoot("connect4")],
            ["connect_fentry" Fentry("security_socket_connect")],
            ["connect_kprobe" Kprobe("security_socket_connect")],
        ],
        beside: None,
        blind_to: "IPv4 connections",
        fix: CGROUP,
    },
    HookSpec {
        hook: Hook::Connect6,
        capability: Capability::Network,
        rungs: rungs![
            ["connect6" CgroupRoot("connect6")],
            ["connect_fentry" Fentry("security_socket_connect")],
            ["connect_kprobe" Kprobe("security_socket_connect")],
        ],
        beside: None,
        blind_to: "IPv6 connections",
        fix: CGROUP,
    },
    HookSpec {
        hook: Hook::Sendmsg4,
        capability: Capability::Network,
        rungs: rungs![
            ["sendmsg4" CgroupRoot("sendmsg4")],
            ["sendmsg_fentry" Fentry("security_socket_sendmsg")],
            ["sendmsg_kprobe" Kprobe("security_socket_sendmsg")],
        ],
        beside: None,
        blind_to: "IPv4 datagrams on sockets that are not connected",
        fix: CGROUP,
    },
    HookSpec {
        hook: Hook::Sendmsg6,
        capability: Capability::Network,
        rungs: rungs![
            ["sendmsg6" CgroupRoot("sendmsg6")],
            ["sendmsg_fentry" Fentry("security_socket_sendmsg")],
            ["sendmsg_kprobe" Kprobe("security_socket_sendmsg")],
        ],
        beside: None,
        blind_to: "IPv6 datagrams on sockets that are not connected",
        fix: CGROUP,
    },
    HookSpec {
        hook: Hook::Dns,
        capability: Capability::Network,
        rungs: rungs![["dns" CgroupIngress()]],
        beside: None,
        blind_to: "the names of addresses",
        fix: CGROUP,
    },
    HookSpec {
        hook: Hook::SocketClose,
        capability: Capability::Network,
        rungs: rungs![["socket_close_tp" Tracepoint("tcp_destroy_sock")]],
        beside: None,
        blind_to: "how much a connection carried",
        fix: "CONFIG_DEBUG_INFO_BTF=y",
    },
    HookSpec {
        hook: Hook::UnixConnect,
        capability: Capability::UnixSocket,
        rungs: rungs![
            [
                "unix_connect_lsm" Lsm("unix_stream_connect"),
                "unix_datagram_lsm" Lsm("unix_may_send")
            ],
            [
                "unix_connect_fentry" Fentry("security_unix_stream_connect"),
                "unix_datagram_fentry" Fentry("security_unix_may_send")
            ],
            [
                "unix_connect_kprobe" Kprobe("security_unix_stream_connect"),
                "unix_datagram_kprobe" Kprobe("security_unix_may_send")
            ],
            ["unix_connect_tp" Tracepoint("sock_send_length")],
        ],
        beside: None,
        blind_to: "use of agents and control sockets",
        fix: "a kernel whose functions can be hooked (CONFIG_FUNCTION_TRACER=y, CONFIG_SECURITY_NETWORK=y), or \
              Linux 6.4",
    },
    HookSpec {
        hook: Hook::MemoryAccess,
        capability: Capability::MemoryAccess,
        rungs: rungs![
            [
                "memory_access_lsm" Lsm("ptrace_access_check"),
                "capability_fexit" Fexit("cap_capable")
            ],
            [
                "memory_access_fentry" Fentry("security_ptrace_access_check"),
                "capability_fexit" Fexit("cap_capable")
            ],
            ["memory_access_lsm" Lsm("ptrace_access_check")],
            [
                "memory_access_kprobe" Kprobe("security_ptrace_access_check"),
                "capability_kprobe" Kprobe("cap_capable")
            ],
            [
                "foreign_memory_tp" Tracepoint("mmap_lock_acquire_returned"),
                "capability_tp" Tracepoint("cap_capable"),
                "connector" Connector()
            ],
            ["connector" Connector()],
        ],
        beside: None,
        blind_to: "who reads the memory and the environment of other processes",
        fix: TRAMPOLINES,
    },
    HookSpec {
        hook: Hook::KeyRead,
        capability: Capability::MemoryAccess,
        rungs: &[
            rung(&[Program {
                name: "key_read_lsm",
                attach: Attach::Lsm("key_permission"),
            }]),
            rung(&[Program {
                name: "key_read_fentry",
                attach: Attach::Fentry("security_key_permission"),
            }]),
            rung(&[Program {
                name: "key_read_kprobe",
                attach: Attach::Kprobe("security_key_permission"),
            }]),
            Rung {
                programs: &[SYSTEM_CALL],
                by_choice: true,
            },
        ],
        beside: None,
        blind_to: "who reads keys of the kernel's keyrings",
        fix: "`sensor.system_call_hook = true` sees them and taxes every system call of this host; a kernel \
              whose functions can be hooked sees them without that",
    },
    HookSpec {
        hook: Hook::RunningTasks,
        capability: Capability::Process,
        rungs: rungs![
            ["running_tasks" TaskIterator()],
            ["proc" ProcWalk()],
        ],
        beside: None,
        blind_to: "what processes older than the daemon are",
        fix: "mount /proc",
    },
];

/// Runs at every system call of the host.
pub(in crate::sensor) const SYSTEM_CALL: Program = Program {
    name: "key_read_syscall",
    attach: Attach::Tracepoint("sys_enter"),
};

const CGROUP: &str = "mount the cgroup v2 hierarchy (also beside v1): CONFIG_CGROUP_BPF=y";
