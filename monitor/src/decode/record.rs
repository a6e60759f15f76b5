//! One ring record to what it says.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use monitor_common::{
    ARP, CapabilityRecord, CappedRecord, CloseRecord, ConnectRecord, DnsRecord, FileKey,
    FileRecord, FlowKey, FlowRecord, Header, Hook, IdentityRecord, KeyRecord, MemoryRecord,
    NamedFileRecord, ProcessRecord, SeenName, TaskInfo, TaskRecord, UnixRecord, began, kind, way,
};
use zerocopy::FromBytes;

use super::clock::Clock;
use super::names::DnsBytes;
use super::path::forward;
use crate::model::{
    Access, CapabilitySet, Direction, Fact, FileId, Flow, MacAddress, MemoryAccess, Protocol,
    Record, Task, Timestamp, Traffic,
};

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A fact for the pipeline.
    Fact(Record),
    /// A file that discovery should look at before anything is said of it.
    Look(Box<Look>),
    /// A watched unix socket was spoken to; the sensor knows its path.
    UnixSocket {
        /// When.
        time: Timestamp,
        /// By whom.
        task: Task,
        /// The socket's inode.
        file: FileId,
    },
    /// A resolver answered; the sensor puts together what it says.
    Dns(DnsBytes),
    /// A device sent the first packet of a flow; the sensor knows whether that was told.
    Flow(FlowBegin),
}

/// The first packet that a device sent in a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowBegin {
    /// When.
    pub time: Timestamp,
    /// The flow as the kernel half names it.
    pub key: FlowKey,
    /// What tells it from others of that key.
    pub first: u64,
    /// The flow with what was sent.
    pub flow: Flow,
}

/// A flow of a key, with nothing sent or received yet.
pub fn flow(key: &FlowKey, began: u32) -> Flow {
    Flow {
        mac: Some(MacAddress(key.mac)),
        source: address(key.device, key.device_port),
        destination: address(key.peer, key.peer_port),
        protocol: protocol(key.protocol),
        direction: match began {
            began::DEVICE => Direction::Outgoing,
            began::PEER => Direction::Incoming,
            _ => Direction::Unknown,
        },
        sent: Traffic::default(),
        received: Traffic::default(),
        continues: false,
    }
}

impl Decoded {
    /// Who acted, where somebody did.
    pub fn task(&self) -> Option<&Task> {
        match self {
            Self::Fact(record) => record.fact.task(),
            Self::Look(look) => Some(&look.task),
            Self::UnixSocket { task, .. } => Some(task),
            // An answer comes to a socket, whoever reads it; a device is no process.
            Self::Dns(_) | Self::Flow(_) => None,
        }
    }

    /// The event's time.
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Fact(record) => record.time,
            Self::Look(look) => look.time,
            Self::UnixSocket { time, .. } => *time,
            Self::Dns(dns) => dns.time,
            Self::Flow(begin) => begin.time,
        }
    }
}

/// A file that may hold a credential, and who touched it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// When.
    pub time: Timestamp,
    /// By whom.
    pub task: Task,
    /// The file.
    pub file: FileId,
    /// The file as the kernel half names it.
    pub seen: SeenName,
    /// Its path below the root of its file system.
    pub path: String,
    /// Why it is worth a look.
    pub reason: LookReason,
}

/// Why a file is worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookReason {
    /// It was read and has the name, or the directory, of a credential.
    Named,
    /// It was written by a process that had just read a credential.
    WrittenAfterRead,
}

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than any record.
    #[error("{0} bytes are too few for a record header")]
    Short(usize),
    /// A kind that this daemon does not know.
    #[error("a record of unknown kind {0}: the kernel half and the daemon are of different builds")]
    Kind(u16),
    /// The length does not fit the kind.
    #[error("a record of kind {kind} has {len} bytes")]
    Length {
        /// The kind.
        kind: u16,
        /// The length found.
        len: usize,
    },
}

/// The hook that wrote a record.
pub fn hook(bytes: &[u8]) -> Option<Hook> {
    let (header, _) = Header::read_from_prefix(bytes).ok()?;
    Hook::from_index(header.hook)
}

/// Decodes one record.
pub fn decode(bytes: &Bytes, clock: &Clock) -> Result<Decoded, DecodeError> {
    let (header, _) =
        Header::read_from_prefix(bytes).map_err(|_| DecodeError::Short(bytes.len()))?;
    let time = clock.event(header.time);
    let fact = match header.kind {
        kind::RUNNING => {
            let record: ProcessRecord = body(bytes, header.kind)?;
            let path = forward(&record.path);
            let path = (record.path.len > 0).then_some(path);
            Fact::Running {
                task: task(&record.task, clock),
                path,
                permitted: Some(CapabilitySet(record.permitted)),
            }
        }
        kind::EXEC => {
            let record: ProcessRecord = body(bytes, header.kind)?;
            Fact::Exec {
                task: task(&record.task, clock),
                path: forward(&record.path),
                permitted: Some(CapabilitySet(record.permitted)),
            }
        }
        kind::FORK => {
            let record: TaskRecord = body(bytes, header.kind)?;
            Fact::Fork {
                task: task(&record.task, clock),
            }
        }
        kind::EXIT => {
            let record: TaskRecord = body(bytes, header.kind)?;
            Fact::Exit {
                task: task(&record.task, clock),
            }
        }
        kind::FILE_READ
        | kind::FILE_MAP
        | kind::FILE_OPEN
        | kind::FILE_CHANGE
        | kind::FILE_DENIED => {
            let record: FileRecord = body(bytes, header.kind)?;
            let access = match header.kind {
                kind::FILE_READ => Access::Read,
                kind::FILE_MAP => Access::Map,
                kind::FILE_OPEN => Access::Open,
                kind::FILE_CHANGE => Access::Write,
                _ => Access::Denied,
            };
            Fact::FileAccess {
                task: task(&record.task, clock),
                file: file_id(record.file),
                access,
                path: None,
                count: record.count,
            }
        }
        kind::FILE_NAMED | kind::FILE_WRITE => {
            let record: NamedFileRecord = body(bytes, header.kind)?;
            let reason = if header.kind == kind::FILE_NAMED {
                LookReason::Named
            } else {
                LookReason::WrittenAfterRead
            };
            return Ok(Decoded::Look(Box::new(Look {
                time,
                task: task(&record.task, clock),
                file: file_id(record.seen.file),
                seen: record.seen,
                path: forward(&record.path),
                reason,
            })));
        }
        kind::CONNECT => {
            let record: ConnectRecord = body(bytes, header.kind)?;
            Fact::Connect {
                task: task(&record.task, clock),
                socket: record.socket,
                protocol: protocol(record.protocol),
                destination: address(record.address, record.port),
            }
        }
        kind::UNIX => {
            let record: UnixRecord = body(bytes, header.kind)?;
            return Ok(Decoded::UnixSocket {
                time,
                task: task(&record.task, clock),
                file: file_id(record.file),
            });
        }
        kind::CLOSE => {
            let record: CloseRecord = body(bytes, header.kind)?;
            Fact::SocketClose {
                task: task(&record.task, clock),
                socket: record.socket,
                destination: address(record.address, record.port),
                sent: record.sent,
                received: record.received,
            }
        }
        kind::IDENTITY => {
            let record: IdentityRecord = body(bytes, header.kind)?;
            Fact::IdentityChange {
                task: task(&record.task, clock),
                uid: record.uid,
            }
        }
        kind::MEMORY => {
            let record: MemoryRecord = body(bytes, header.kind)?;
            let mut target = task(&record.target, clock);
            if record.target.start == 0 {
                // Known by its number only.
                target.start = Timestamp::default();
            }
            Fact::MemoryAccess {
                task: task(&record.task, clock),
                target,
                how: memory_access(record.way),
                granted: record.granted != 0,
            }
        }
        kind::KEY => {
            let record: KeyRecord = body(bytes, header.kind)?;
            let description = text(&record.description);
            Fact::KeyRead {
                task: task(&record.task, clock),
                serial: record.serial,
                description: (!description.is_empty()).then_some(description),
                owner: (record.owner != u32::MAX).then_some(record.owner),
            }
        }
        kind::CAPABILITY => {
            let record: CapabilityRecord = body(bytes, header.kind)?;
            Fact::CapabilityUse {
                task: task(&record.task, clock),
                // Those that no set has room for are none.
                capability: u8::try_from(record.capability).unwrap_or(u8::MAX),
                exact: record.exact != 0,
            }
        }
        kind::CAPPED => {
            let record: CappedRecord = body(bytes, header.kind)?;
            let hook = u16::try_from(record.hook).ok().and_then(Hook::from_index);
            Fact::Capped {
                hook: hook.map_or("unknown", Hook::name).to_owned(),
                task: task(&record.task, clock),
                count: record.count,
            }
        }
        kind::DNS => {
            let record: DnsRecord = body(bytes, header.kind)?;
            let len = usize::from(record.len);
            let start = size_of::<DnsRecord>() - record.bytes.len();
            let end = start + len.min(record.bytes.len());
            return Ok(Decoded::Dns(DnsBytes {
                time,
                socket: record.socket,
                protocol: protocol(record.protocol),
                sequence: record.sequence,
                bytes: bytes.slice(start..end),
                cut: u32::from(record.len) < record.left,
            }));
        }
        kind::FLOW => {
            let record: FlowRecord = body(bytes, header.kind)?;
            let mut flow = flow(&record.key, record.began);
            flow.sent = Traffic {
                packets: record.packets,
                bytes: record.bytes,
            };
            return Ok(Decoded::Flow(FlowBegin {
                time,
                key: record.key,
                first: record.first,
                flow,
            }));
        }
        unknown => return Err(DecodeError::Kind(unknown)),
    };
    Ok(Decoded::Fact(Record { time, fact }))
}

/// The whole record. Read and not borrowed, because a slice of `Bytes` promises no alignment.
fn body<T: FromBytes>(bytes: &Bytes, kind: u16) -> Result<T, DecodeError> {
    T::read_from_bytes(bytes).map_err(|_| DecodeError::Length {
        kind,
        len: bytes.len(),
    })
}

/// A task as the kernel half keeps it, in the daemon's words.
pub fn task(info: &TaskInfo, clock: &Clock) -> Task {
    let tty = text(&info.tty);
    Task {
        pid: info.pid,
        start: clock.start(info.start),
        ppid: info.ppid,
        parent_start: clock.start(info.parent_start),
        uid: info.uid,
        euid: info.euid,
        gid: info.gid,
        login_uid: (info.login_uid != u32::MAX).then_some(info.login_uid),
        session: (info.session != u32::MAX).then_some(info.session),
        cgroup: info.cgroup,
        cgroup_v1: match info.cgroup_v1 {
            0 => 0,
            id => id | Task::V1_HIERARCHY,
        },
        exe: file_id(FileKey {
            dev: info.exe_dev,
            ino: info.exe_ino,
        }),
        tty: (!tty.is_empty()).then_some(tty),
    }
}

/// What stands before the first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default())
        .into_owned()
}

fn memory_access(number: u32) -> MemoryAccess {
    match number {
        way::PTRACE => MemoryAccess::Ptrace,
        way::PROCESS_VM => MemoryAccess::ProcessVm,
        way::MEM => MemoryAccess::Mem,
        way::ENVIRON => MemoryAccess::Environ,
        way::MAPS => MemoryAccess::Maps,
        way::DESCRIPTOR => MemoryAccess::Descriptor,
        _ => MemoryAccess::Other,
    }
}

/// From the kernel's encoding of a device (`major << 20 | minor`) to that of stat(2).
pub fn file_id(key: FileKey) -> FileId {
    let major = u32::try_from((key.dev >> 20) & 0xfff).unwrap_or(0);
    let minor = u32::try_from(key.dev & 0xf_ffff).unwrap_or(0);
    FileId {
        dev: rustix::fs::makedev(major, minor),
        ino: key.ino,
    }
}

fn address(bytes: [u8; 16], port: u16) -> SocketAddr {
    let address = Ipv6Addr::from(bytes);
    let address = address
        .to_ipv4_mapped()
        .map_or(IpAddr::V6(address), IpAddr::V4);
    SocketAddr::new(address, port)
}

fn protocol(number: u16) -> Protocol {
    match number {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        ARP => Protocol::Arp,
        _ => Protocol::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::{FromZeros, Immutable, IntoBytes};

    use super::*;

    const CLOCK: Clock = Clock::FIXED;

    fn bytes_of<T: IntoBytes + Immutable>(record: &T) -> Bytes {
        Bytes::copy_from_slice(record.as_bytes())
    }

    #[test]
    fn a_connect_comes_out_as_it_went_in() {
        let mut record = ConnectRecord::new_zeroed();
        record.header.kind = kind::CONNECT;
        record.header.time = 7;
        record.task.pid = 42;
        record.task.login_uid = u32::MAX;
        record.task.tty[..4].copy_from_slice(b"pts0");
        record.address = std::net::Ipv4Addr::new(169, 254, 169, 254)
            .to_ipv6_mapped()
            .octets();
        record.port = 80;
        record.protocol = 6;
        let Ok(Decoded::Fact(Record {
            time,
            fact: Fact::Connect {
                task, destination, ..
            },
        })) = decode(&bytes_of(&record), &CLOCK)
        else {
            panic!("not a connect");
        };
        assert_eq!(time, Timestamp(7));
        assert_eq!(destination.to_string(), "169.254.169.254:80");
        assert_eq!(
            (task.pid, task.login_uid, task.tty.as_deref()),
            (42, None, Some("pts0"))
        );
    }

    #[test]
    fn a_flow_comes_out_as_it_went_in() {
        let mut record = FlowRecord::new_zeroed();
        record.header.kind = kind::FLOW;
        record.header.time = 7;
        record.first = 5;
        record.packets = 2;
        record.bytes = 120;
        record.began = began::DEVICE;
        record.key.mac = [2, 0, 0, 0, 0, 1];
        record.key.device = std::net::Ipv4Addr::new(192, 0, 2, 7)
            .to_ipv6_mapped()
            .octets();
        record.key.device_port = 5000;
        record.key.peer = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
        record.key.peer_port = 443;
        record.key.protocol = 6;
        let Ok(Decoded::Flow(begin)) = decode(&bytes_of(&record), &CLOCK) else {
            panic!("not a flow");
        };
        assert_eq!((begin.time, begin.first), (Timestamp(7), 5));
        let flow = begin.flow;
        assert_eq!(flow.source.to_string(), "192.0.2.7:5000");
        assert_eq!(flow.destination.to_string(), "[2001:db8::1]:443");
        assert_eq!(flow.selectors()[0].as_str(), "device:mac:02:00:00:00:00:01");
        assert_eq!((flow.sent.packets, flow.sent.bytes), (2, 120));
        assert_eq!(flow.direction, Direction::Outgoing);
    }

    #[test]
    fn devices_come_out_as_stat_gives_them() {
        // 254:3, as the kernel packs it.
        let id = file_id(FileKey {
            dev: 254 << 20 | 3,
            ino: 9,
        });
        assert_eq!(
            id,
            FileId {
                dev: rustix::fs::makedev(254, 3),
                ino: 9
            }
        );
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail_and_never_panic(
            kind in 0u16..21,
            mut raw in proptest::collection::vec(any::<u8>(), 0..1_000),
            fit in any::<bool>(),
        ) {
            if fit && raw.len() >= 2 {
                raw[..2].copy_from_slice(&kind.to_ne_bytes());
                let sizes = [
                    0, 912, 912, 128, 128, 152, 152, 936, 936, 160, 144, 176, 136, 152, 152, 152, 240,
                    200, 144, 1_280, 104, 136,
                ];
                raw.resize(sizes[usize::from(kind)], 0xa5);
            }
            let _ = decode(&Bytes::from(raw), &CLOCK);
        }
    }
}
