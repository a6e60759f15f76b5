//! Ring buffer records and map keys.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Declares a shared plain structure and asserts that it has exactly the size that the sum of its
/// fields has, so that it holds no padding.
macro_rules! shared {
    ($(#[$doc:meta])* pub struct $name:ident = $size:literal { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        #[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        const _: () = assert!(size_of::<$name>() == $size);
        const _: () = assert!(0 $(+ size_of::<$type>())* == $size);
    };
}

/// Longest path that a record carries, in bytes. Longer ones keep their end, which names the file.
pub const PATH_BYTES: usize = 512;
/// Room behind the path that lets the verifier see that a whole component always fits.
pub const PATH_SLACK: usize = 256;
/// Longest basename that the kernel half compares, with its terminating zero.
pub const NAME_BYTES: usize = 32;

/// What a record says: the `kind` of its header.
pub mod kind {
    /// [`super::ProcessRecord`]: a task that was there at start.
    pub const RUNNING: u16 = 1;
    /// [`super::ProcessRecord`]: a program was replaced.
    pub const EXEC: u16 = 2;
    /// [`super::TaskRecord`]: a process was made; the task is the child.
    pub const FORK: u16 = 3;
    /// [`super::TaskRecord`]: a process ended.
    pub const EXIT: u16 = 4;
    /// [`super::FileRecord`]: a watched file was read.
    pub const FILE_READ: u16 = 5;
    /// [`super::FileRecord`]: a watched file was mapped.
    pub const FILE_MAP: u16 = 6;
    /// [`super::NamedFileRecord`]: a file with a watched name or in a watched directory, whose
    /// inode is not known yet, was read.
    pub const FILE_NAMED: u16 = 7;
    /// [`super::NamedFileRecord`]: a process that has read a credential wrote new pages.
    pub const FILE_WRITE: u16 = 8;
    /// [`super::ConnectRecord`]: connect, or the first datagram to an address.
    pub const CONNECT: u16 = 9;
    /// [`super::UnixRecord`]: a watched unix socket was spoken to.
    pub const UNIX: u16 = 10;
    /// [`super::CloseRecord`]: a connected TCP socket was destroyed.
    pub const CLOSE: u16 = 11;
    /// [`super::IdentityRecord`]: a process takes another uid.
    pub const IDENTITY: u16 = 12;
    /// [`super::FileRecord`]: a watched file was opened.
    pub const FILE_OPEN: u16 = 13;
    /// [`super::FileRecord`]: a watched file was changed.
    pub const FILE_CHANGE: u16 = 14;
    /// [`super::FileRecord`]: an open of a watched file was refused.
    pub const FILE_DENIED: u16 = 15;
    /// [`super::MemoryRecord`]: a way into another process was asked for.
    pub const MEMORY: u16 = 16;
    /// [`super::KeyRecord`]: a key of the kernel's keyrings was read.
    pub const KEY: u16 = 17;
    /// [`super::CappedRecord`]: events of a process that were not delivered.
    pub const CAPPED: u16 = 18;
    /// [`super::DnsRecord`]: bytes of the domain name system's answers.
    pub const DNS: u16 = 19;
    /// [`super::FlowRecord`]: the first packet that a device sent in a flow.
    pub const FLOW: u16 = 20;
    /// [`super::CapabilityRecord`]: a process used a capability.
    pub const CAPABILITY: u16 = 21;
}

/// Declares the hooks with their names.
macro_rules! hooks {
    ($($hook:ident = $index:literal $name:literal,)*) => {
        /// What the kernel half watches: the index into its counters.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u16)]
        #[expect(missing_docs, reason = "they are their names")]
        pub enum Hook { $($hook = $index,)* }

        impl Hook {
            /// All of them, by index.
            pub const ALL: &'static [Self] = &[$(Self::$hook),*];
            /// How many there are.
            pub const COUNT: u32 = Self::ALL.len() as u32;

            /// As `status` and `doctor` name it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$hook => $name,)* }
            }

            /// The hook of an index.
            pub fn from_index(index: u16) -> Option<Self> {
                Self::ALL.get(usize::from(index)).copied()
            }
        }
    };
}

hooks! {
    ProcessExec = 0 "process_exec",
    ProcessFork = 1 "process_fork",
    ProcessExit = 2 "process_exit",
    FileRead = 3 "file_read",
    FileMap = 4 "file_map",
    FileFault = 5 "file_fault",
    FileWrite = 6 "file_write",
    Connect4 = 7 "connect4",
    Connect6 = 8 "connect6",
    Sendmsg4 = 9 "sendmsg4",
    Sendmsg6 = 10 "sendmsg6",
    UnixConnect = 11 "unix_connect",
    SocketClose = 12 "socket_close",
    IdentityChange = 13 "identity_change",
    RunningTasks = 14 "running_tasks",
    FileOpen = 15 "file_open",
    FileChange = 16 "file_change",
    FileDenied = 17 "file_denied",
    MemoryAccess = 18 "memory_access",
    KeyRead = 19 "key_read",
    Dns = 20 "dns",
    FileDirect = 21 "file_direct",
    GatewayFlow = 22 "gateway_flow",
    CapabilityUse = 23 "capability_use",
}

shared! {
    /// Counters of one hook on one CPU.
    #[derive(Default)]
    pub struct HookCounters = 48 {
        /// Times that the hook found something of interest, delivered or not. For filters that
        /// run on every read or send: times that the program ran past its filter.
        pub fired: u64,
        /// Records submitted.
        pub emitted: u64,
        /// Records that found no room in the ring.
        pub lost: u64,
        /// Lookups or reads of kernel memory that failed.
        pub errors: u64,
        /// Events told with a later one of the same process, whose record carries their number.
        pub folded: u64,
        /// Events not delivered because their process makes too many.
        pub capped: u64,
    }
}

shared! {
    /// A file by device (kernel encoding) and inode.
    #[derive(PartialEq, Eq, Hash, Debug, Default)]
    pub struct FileKey = 16 {
        /// `s_dev`, `major << 20 | minor`.
        pub dev: u64,
        /// `i_ino`
        pub ino: u64,
    }
}

shared! {
    /// A name at an inode, as it was compared with what is watched.
    #[derive(PartialEq, Eq, Hash, Debug)]
    pub struct SeenName = 32 {
        /// The file.
        pub file: FileKey,
        /// `d_name.hash_len`: the kernel's hash of name and parent directory, and the length. A
        /// rename changes it.
        pub hash_len: u64,
        /// How often something had been added to what is watched.
        pub generation: u64,
    }
}

shared! {
    /// The first bytes of every record.
    pub struct Header = 24 {
        /// One of [`kind`].
        pub kind: u16,
        /// The [`Hook`] that wrote it.
        pub hook: u16,
        /// The CPU that it ran on.
        pub cpu: u32,
        /// When, in nanoseconds of CLOCK_BOOTTIME.
        pub time: u64,
        /// Number of the record on its CPU and hook, from 1, lost ones counted: gaps are losses.
        pub sequence: u64,
    }
}

shared! {
    /// Who acts: kept in task storage and copied into every record.
    #[derive(Default)]
    pub struct TaskInfo = 104 {
        /// Start of the thread group leader, CLOCK_BOOTTIME nanoseconds.
        pub start: u64,
        /// Start of the parent's leader.
        pub parent_start: u64,
        /// kernfs id of the cgroup in the default (v2) hierarchy.
        pub cgroup: u64,
        /// kernfs id of the cgroup of the v1 controller that [`Offsets`](crate::Offsets) names; 0 without one.
        pub cgroup_v1: u64,
        /// Device of the executable, kernel encoding.
        pub exe_dev: u64,
        /// Inode of the executable.
        pub exe_ino: u64,
        /// Inode of the watched file that was last read, at [`Self::read_at`].
        pub read_ino: u64,
        /// Thread group id.
        pub pid: u32,
        /// The parent's thread group id, as at fork.
        pub ppid: u32,
        /// Real uid.
        pub uid: u32,
        /// Effective uid.
        pub euid: u32,
        /// Real gid.
        pub gid: u32,
        /// Audit login uid; `u32::MAX` when unset.
        pub login_uid: u32,
        /// Audit session; `u32::MAX` when unset.
        pub session: u32,
        /// Seconds of CLOCK_BOOTTIME at which a watched file was last read, by this task or one
        /// that it was forked from; 0 for never.
        pub read_at: u32,
        /// Name of the controlling terminal, zero padded.
        pub tty: [u8; 16],
    }
}

shared! {
    /// What the kernel half keeps with a task.
    #[derive(Default)]
    pub struct TaskState = 152 {
        /// Who it is.
        pub info: TaskInfo,
        /// The watched file that it touched last.
        pub touched: FileKey,
        /// What it did to it: a [`kind`].
        pub touched_kind: u32,
        /// Seconds of CLOCK_BOOTTIME at which that was told.
        pub touched_at: u32,
        /// How often it did the same since then, which is not told yet.
        pub folded: u64,
        /// The capabilities whose use was told: bit N is capability N.
        pub used: u64,
        /// The uid under which they were used.
        pub used_as: u32,
        /// 0.
        pub reserved: u32,
    }
}

shared! {
    /// How many events a thread makes.
    #[derive(Default)]
    pub struct Rate = 24 {
        /// Events not delivered since the last [`CappedRecord`].
        pub capped: u64,
        /// The [`Hook`] of those.
        pub hook: u32,
        /// The second of CLOCK_BOOTTIME to which [`Self::events`] belongs.
        pub second: u32,
        /// Events in that second.
        pub events: u32,
        /// 0.
        pub reserved: u32,
    }
}

shared! {
    /// Fork and exit.
    pub struct TaskRecord = 128 {
        /// Header.
        pub header: Header,
        /// The task.
        pub task: TaskInfo,
    }
}

shared! {
    /// A path as the kernel half walks it: components from the last to the first, each ended by a
    /// zero byte, so that a walk that is cut short still holds the file's own name.
    pub struct ReversedPath = 776 {
        /// Bytes used.
        pub len: u32,
        /// 1 when the walk came to the root of the mount namespace or file system, else 0.
        pub complete: u32,
        /// The components.
        pub bytes: [u8; 768],
    }
}

const _: () = assert!(PATH_BYTES + PATH_SLACK == 768);

shared! {
    /// Exec, and tasks that were there at start.
    pub struct ProcessRecord = 912 {
        /// Header.
        pub header: Header,
        /// The task.
        pub task: TaskInfo,
        /// The capabilities that it has, in use or not: bit N is capability N.
        pub permitted: u64,
        /// Its executable.
        pub path: ReversedPath,
    }
}

shared! {
    /// What was done to a watched file.
    pub struct FileRecord = 152 {
        /// Header.
        pub header: Header,
        /// The task.
        pub task: TaskInfo,
        /// The file.
        pub file: FileKey,
        /// How many times: this one and those that were folded into it.
        pub count: u64,
    }
}

shared! {
    /// A file that the daemon should look at.
    pub struct NamedFileRecord = 936 {
        /// Header.
        pub header: Header,
        /// The task.
        pub task: TaskInfo,
        /// The file by the name that was met.
        pub seen: SeenName,
        /// Its path below the root of its file system.
        pub path: ReversedPath,
    }
}

shared! {
    /// Connect, or a datagram to an address.
    pub struct ConnectRecord = 160 {
        /// Header.
        pub header: Header,
        /// The task.
        pub task: TaskInfo,
        /// Socket cookie.
        pub socket: u64,
        /// IPv4-mapped or IPv6, network byte order.
        pub address: [u8; 16],
        /// Port, host byte order.
        pub port: u16,
        /// IPPROTO number.
        pub protocol: u16,
        /// AF_INET or AF_INET6, as the socket was addressed.
        pub family: u32,
    }
}

shared! {
    /// A watched unix socket was spoken to for the first time by one socket.
    pub struct UnixRecord = 144 {
        /// Header.
        pub header: Header,
        /// The task.
        pub task: TaskInfo,
        /// The listening socket's inode in the file system.
        pub file: FileKey,
    }
}

shared! {
    /// End of a TCP socket that had been connected from this host.
    pub struct CloseRecord = 176 {
        /// Header.
        pub header: Header,
        /// Who had connected it.
        pub task: TaskInfo,
        /// Socket cookie.
        pub socket: u64,
        /// IPv4-mapped or IPv6, network byte order.
        pub address: [u8; 16],
        /// Port, host byte order.
        pub port: u16,
        /// IPPROTO number.
        pub protocol: u16,
        /// AF_INET or AF_INET6.
        pub family: u32,
        /// Payload bytes sent.
        pub sent: u64,
        /// Payload bytes received.
        pub received: u64,
    }
}

shared! {
    /// A process asks for another uid and has the right to it.
    pub struct IdentityRecord = 136 {
        /// Header.
        pub header: Header,
        /// The task, with its old uid.
        pub task: TaskInfo,
        /// The uid that it takes.
        pub uid: u32,
        /// The system call's number.
        pub syscall: u32,
    }
}

shared! {
    /// A way into another process was asked for.
    pub struct MemoryRecord = 240 {
        /// Header.
        pub header: Header,
        /// Who asked.
        pub task: TaskInfo,
        /// Whose memory or descriptors.
        pub target: TaskInfo,
        /// One of [`way`].
        pub way: u32,
        /// 1 when the kernel lets it, else 0.
        pub granted: u32,
    }
}

/// Ways into another process: `way` of [`MemoryRecord`].
pub mod way {
    /// One that the hook cannot tell.
    pub const OTHER: u32 = 0;
    /// ptrace(2)
    pub const PTRACE: u32 = 1;
    /// process_vm_readv(2), process_vm_writev(2)
    pub const PROCESS_VM: u32 = 2;
    /// `/proc/PID/mem`
    pub const MEM: u32 = 3;
    /// `/proc/PID/environ`
    pub const ENVIRON: u32 = 4;
    /// `/proc/PID/maps` and its like
    pub const MAPS: u32 = 5;
    /// pidfd_getfd(2)
    pub const DESCRIPTOR: u32 = 6;
}

/// Most bytes of a key's description that are kept, with its terminating zero.
pub const DESCRIPTION_BYTES: usize = 64;

shared! {
    /// A key of the kernel's keyrings was read.
    pub struct KeyRecord = 200 {
        /// Header.
        pub header: Header,
        /// Who read it.
        pub task: TaskInfo,
        /// Its serial number.
        pub serial: u32,
        /// The uid that owns it; `u32::MAX` where that is not known.
        pub owner: u32,
        /// Its description, zero terminated.
        pub description: [u8; DESCRIPTION_BYTES],
    }
}

shared! {
    /// A process used a capability, for the first time since it started its program or took its uid.
    pub struct CapabilityRecord = 136 {
        /// Header.
        pub header: Header,
        /// Who used it.
        pub task: TaskInfo,
        /// Which.
        pub capability: u32,
        /// 1 where the hook tells a use from a question that the kernel asks for its own purposes,
        /// else 0.
        pub exact: u32,
    }
}

shared! {
    /// Events of a process that were not delivered because it makes too many.
    pub struct CappedRecord = 144 {
        /// Header, with the hook that they are of.
        pub header: Header,
        /// The process.
        pub task: TaskInfo,
        /// How many.
        pub count: u64,
        /// The [`Hook`].
        pub hook: u32,
        /// 0.
        pub reserved: u32,
    }
}

/// Most bytes of a datagram, or of a piece of a stream, that one record carries: what resolvers
/// send at most by default is as long (<https://www.dnsflagday.net/2020/>).
pub const DNS_BYTES: usize = 1_232;

shared! {
    /// Bytes that a resolver sent to a socket of this host.
    pub struct DnsRecord = 1_280 {
        /// Header.
        pub header: Header,
        /// Cookie of the socket that asked.
        pub socket: u64,
        /// TCP: the sequence number of the first byte. UDP: 0.
        pub sequence: u32,
        /// Bytes of the packet from the first of these on: more than `len` where a datagram is cut.
        pub left: u32,
        /// IPPROTO number.
        pub protocol: u16,
        /// How many of `bytes` are written. 0 where a TCP stream begins.
        pub len: u16,
        /// 0.
        pub reserved: u32,
        /// A message, or a piece of a stream of them.
        pub bytes: [u8; DNS_BYTES],
    }
}

shared! {
    /// What the kernel half keeps with a socket from connect to close.
    pub struct SocketInfo = 136 {
        /// Who connected it.
        pub task: TaskInfo,
        /// Socket cookie.
        pub socket: u64,
        /// IPv4-mapped or IPv6, network byte order.
        pub address: [u8; 16],
        /// Port, host byte order.
        pub port: u16,
        /// IPPROTO number.
        pub protocol: u16,
        /// AF_INET or AF_INET6; 0 when only reported-once marks are kept.
        pub family: u32,
    }
}

shared! {
    /// A flow between a device behind an interface and another end.
    #[derive(PartialEq, Eq, Hash, Debug, Default)]
    pub struct FlowKey = 48 {
        /// The device's address: IPv4-mapped or IPv6, network byte order.
        pub device: [u8; 16],
        /// The other end's.
        pub peer: [u8; 16],
        /// The device's hardware address.
        pub mac: [u8; 6],
        /// The device's port, host byte order; 0 where the packet has none.
        pub device_port: u16,
        /// The other end's.
        pub peer_port: u16,
        /// IPPROTO number, or [`ARP`].
        pub protocol: u16,
        /// Index of the interface.
        pub interface: u32,
    }
}

/// `protocol` of a [`FlowKey`] where a device speaks ARP, which stands beside IP: its EtherType, above all
/// IPPROTO numbers.
pub const ARP: u16 = 0x0806;

/// Who began a flow: `began` of [`FlowCounts`] and [`FlowRecord`].
pub mod began {
    /// Not seen: it is older.
    pub const UNKNOWN: u32 = 0;
    /// The device.
    pub const DEVICE: u32 = 1;
    /// The other end.
    pub const PEER: u32 = 2;
}

shared! {
    /// What was seen of a flow so far.
    #[derive(PartialEq, Eq, Debug, Default)]
    pub struct FlowCounts = 56 {
        /// Its first packet that was seen, in nanoseconds of CLOCK_BOOTTIME. Another time is another
        /// flow of the same key.
        pub first: u64,
        /// Its latest packet.
        pub last: u64,
        /// Packets that the device sent, segments that the kernel has put together counted one by one.
        pub sent_packets: u64,
        /// Bytes of them, from their IP headers on.
        pub sent_bytes: u64,
        /// Packets that the device was sent.
        pub received_packets: u64,
        /// Bytes of them.
        pub received_bytes: u64,
        /// One of [`began`].
        pub began: u32,
        /// 1 once an end has closed the connection, else 0.
        pub ended: u32,
    }
}

shared! {
    /// The first packet that a device sent in a flow.
    pub struct FlowRecord = 104 {
        /// Header.
        pub header: Header,
        /// The flow.
        pub key: FlowKey,
        /// [`FlowCounts::first`] of the flow.
        pub first: u64,
        /// Packets that it stands for: more than one where the kernel has put segments together.
        pub packets: u64,
        /// Bytes of them, from their IP headers on.
        pub bytes: u64,
        /// One of [`began`].
        pub began: u32,
        /// 0.
        pub reserved: u32,
    }
}
