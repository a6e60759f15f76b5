//! What happens on a host, put into the order of time: acts become facts, and what the host's
//! resolver and the daemon add to them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use monitor::model::{
    Access, Direction, Fact, FileId, Flow, MacAddress, Protocol, Record, Task, Timestamp, Traffic,
};

use crate::calendar::{SECOND, seconds};
use crate::places::{Lookup, Target};

/// The device of a host's root file system.
pub const ROOT_DEVICE: u64 = 2049;
/// Where the host's own resolver listens.
const STUB: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), 53);
/// The resolver that it asks.
const UPSTREAM: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 53);
/// Payload of a full packet of TCP over Ethernet, and its headers.
const PAYLOAD: u64 = 1_448;
const HEADERS: u64 = 52;
/// How often a gateway tells of a flow that goes on.
const TOLD_AGAIN: i64 = 300 * SECOND;
/// Process numbers are given out between these and then again.
const PIDS: std::ops::Range<u32> = 5_000..4_000_000;
/// No connection is open for longer, in seconds, unless it needs so long.
const LONGEST: f64 = 10.0 * 86_400.0;
/// No line carries more bytes a second, so that what is large takes long.
const BYTES_A_SECOND: f64 = 50e6;

/// A device of the network behind the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Its hardware address.
    pub mac: MacAddress,
    /// Its address.
    pub address: Ipv4Addr,
}

/// Who connects.
#[derive(Debug, Clone, Copy)]
pub enum Who<'a> {
    /// A process that resolves names by itself.
    Process(&'a Task),
    /// A process that has run for long, and keeps what it resolved.
    Daemon(&'a Task),
    /// A device.
    Device(Device),
}

/// What goes over a connection.
#[derive(Debug, Clone, Copy)]
pub struct Exchange {
    /// Bytes that are sent.
    pub sent: u64,
    /// Bytes that are received.
    pub received: u64,
    /// For how many seconds it is open, at least.
    pub seconds: f64,
}

/// A fact that will have happened.
#[derive(Debug)]
struct Pending {
    time: Timestamp,
    order: u64,
    fact: Fact,
    lookup: Option<Arc<Lookup>>,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.time, self.order).cmp(&(other.time, other.order))
    }
}

/// What happens on a host.
#[derive(Debug, Default)]
pub struct Scene {
    pending: BinaryHeap<Reverse<Pending>>,
    order: u64,
    pid: u32,
    cgroup: u64,
    socket: u64,
    port: u16,
    resolver: Option<Task>,
    /// When each address was last told with a name.
    told: BTreeMap<(String, IpAddr), Timestamp>,
    programs: BTreeSet<FileId>,
}

impl Scene {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            pid: PIDS.start,
            cgroup: 1_000,
            socket: 1,
            port: 32_768,
            ..Self::default()
        }
    }

    /// The host's own resolver, which asks what is not in its cache.
    pub fn set_resolver(&mut self, resolver: Task) {
        self.resolver = Some(resolver);
    }

    /// A fact.
    pub fn fact(&mut self, time: Timestamp, fact: Fact) {
        self.push(time, fact, None);
    }

    fn push(&mut self, time: Timestamp, fact: Fact, lookup: Option<Arc<Lookup>>) {
        self.order += 1;
        self.pending.push(Reverse(Pending {
            time,
            order: self.order,
            fact,
            lookup,
        }));
    }

    /// How many facts wait for their time.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// A number for a new process.
    pub fn pid(&mut self) -> u32 {
        self.pid = if self.pid + 1 < PIDS.end {
            self.pid + 1
        } else {
            PIDS.start
        };
        self.pid
    }

    /// A cgroup that is new.
    pub fn cgroup(&mut self, time: Timestamp, path: String) -> u64 {
        self.cgroup += 1;
        let id = self.cgroup;
        self.fact(time, Fact::CgroupPath { id, path });
        id
    }

    /// A process replaces its program.
    pub fn exec(&mut self, time: Timestamp, task: &Task, path: &str) {
        let fact = Fact::Exec {
            task: task.clone(),
            path: path.to_owned(),
            permitted: None,
        };
        self.fact(time, fact);
    }

    /// A process ends.
    pub fn exit(&mut self, time: Timestamp, task: &Task) {
        self.fact(time, Fact::Exit { task: task.clone() });
    }

    /// A process reads a file that holds a credential.
    pub fn read(&mut self, time: Timestamp, task: &Task, file: FileId, path: &str) {
        let fact = Fact::FileAccess {
            task: task.clone(),
            file,
            access: Access::Read,
            path: Some(path.to_owned()),
            count: 1,
        };
        self.fact(time, fact);
    }

    /// A connection from its opening to its end, which is returned.
    pub fn connection(
        &mut self,
        at: Timestamp,
        who: Who<'_>,
        to: &Target,
        of: Exchange,
    ) -> Timestamp {
        let least = (of.sent as f64 + of.received as f64) / BYTES_A_SECOND;
        let end =
            Timestamp(at.0.saturating_add(seconds(of.seconds.clamp(0.001, LONGEST).max(least))));
        match who {
            Who::Process(task) | Who::Daemon(task) => {
                if let (Who::Process(_), Some(_)) = (who, &to.lookup) {
                    self.datagram(at, task, STUB);
                }
                self.socket += 1;
                let socket = self.socket;
                let fact = Fact::Connect {
                    task: task.clone(),
                    socket,
                    protocol: to.protocol,
                    destination: to.address,
                };
                // The answer of the resolver comes first.
                let opened = Timestamp(at.0.saturating_add(SECOND / 1000).min(end.0));
                self.push(opened, fact, to.lookup.clone());
                if to.protocol == Protocol::Tcp {
                    let fact = Fact::SocketClose {
                        task: task.clone(),
                        socket,
                        destination: to.address,
                        sent: of.sent,
                        received: of.received,
                    };
                    self.fact(end, fact);
                }
            }
            Who::Device(device) => self.flow(at, end, device, to, of),
        }
        end
    }

    fn datagram(&mut self, at: Timestamp, task: &Task, destination: SocketAddr) {
        self.socket += 1;
        let fact = Fact::Connect {
            task: task.clone(),
            socket: self.socket,
            protocol: Protocol::Udp,
            destination,
        };
        self.fact(at, fact);
    }

    /// A gateway tells of the first packet, and then again and again of what has come since.
    fn flow(&mut self, at: Timestamp, end: Timestamp, device: Device, to: &Target, of: Exchange) {
        self.port = if self.port < 60_999 {
            self.port + 1
        } else {
            32_768
        };
        let flow = Flow {
            mac: Some(device.mac),
            source: SocketAddr::new(device.address.into(), self.port),
            destination: to.address,
            protocol: to.protocol,
            direction: Direction::Outgoing,
            sent: Traffic {
                packets: 1,
                bytes: 60,
            },
            received: Traffic::default(),
            continues: false,
        };
        self.push(at, Fact::Flow(flow.clone()), to.lookup.clone());
        let length = end.0 - at.0;
        let parts = (length / TOLD_AGAIN).clamp(0, 1_000) + 1;
        let part_of = |bytes: u64, part: i64| {
            let (parts, part) = (parts.unsigned_abs(), part.unsigned_abs());
            let bytes = bytes / parts + if part == 1 { bytes % parts } else { 0 };
            let packets = bytes.div_ceil(PAYLOAD) + 1;
            Traffic {
                packets,
                bytes: bytes + packets * HEADERS,
            }
        };
        for part in 1..=parts {
            let more = Flow {
                sent: part_of(of.sent, part),
                received: part_of(of.received, part),
                continues: true,
                ..flow.clone()
            };
            let time = Timestamp(at.0 + length / parts * part);
            self.fact(time, Fact::Flow(more));
        }
    }

    /// Hands on all that happens before a time, in order.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn until<E>(
        &mut self,
        end: Timestamp,
        mut to: impl FnMut(&Record) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.pending.peek().is_some_and(|next| next.0.time < end) {
            let Some(Reverse(Pending {
                time, fact, lookup, ..
            })) = self.pending.pop()
            else {
                break;
            };
            let mut tell = |fact| to(&Record { time, fact });
            if let Some(lookup) = lookup {
                for fact in self.names(&lookup, time) {
                    tell(fact)?;
                }
            }
            let program = self.program(&fact);
            tell(fact)?;
            program.map_or(Ok(()), tell)?;
        }
        Ok(())
    }

    /// What the resolver asks and is answered, unless it still knows.
    fn names(&mut self, lookup: &Lookup, now: Timestamp) -> Vec<Fact> {
        let is_known = |address: &IpAddr| {
            let told = self.told.get(&(lookup.name.clone(), *address));
            told.is_some_and(|at| now.0 - at.0 < lookup.ttl)
        };
        if lookup.addresses.iter().all(is_known) {
            return Vec::new();
        }
        self.socket += 1;
        let asks = self.resolver.clone().map(|task| Fact::Connect {
            task,
            socket: self.socket,
            protocol: Protocol::Udp,
            destination: UPSTREAM,
        });
        let mut facts: Vec<_> = asks.into_iter().collect();
        for address in &lookup.addresses {
            self.told.insert((lookup.name.clone(), *address), now);
            facts.push(Fact::Name {
                address: *address,
                name: lookup.name.clone(),
            });
        }
        if self.told.len() > 65_536 {
            self.told.retain(|_, at| now.0 - at.0 < 3_600 * SECOND);
        }
        facts
    }

    /// What the daemon finds where a program lies that it has not seen run.
    fn program(&mut self, fact: &Fact) -> Option<Fact> {
        let (Fact::Exec { task, path, .. }
        | Fact::Running {
            task,
            path: Some(path),
            ..
        }) = fact
        else {
            return None;
        };
        let is_new = task.exe.dev == ROOT_DEVICE && self.programs.insert(task.exe);
        let is_roots = ["/usr/", "/opt/"].iter().any(|of| path.starts_with(of));
        is_new.then(|| Fact::Program {
            file: task.exe,
            path: path.clone(),
            owner: if is_roots { 0 } else { task.uid },
            mode: 0o755,
        })
    }
}
