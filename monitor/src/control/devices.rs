//! What was seen of a device of the network, as operators see it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{Protocol, Selector, Timestamp, Traffic, time::rfc3339};
use crate::registry::Registry;

/// What was seen of a device since the daemon started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    /// Its addresses, in their order.
    pub addresses: Vec<IpAddr>,
    /// Other devices that have sent from one of these addresses.
    #[serde(default)]
    pub shares: Vec<SharedAddress>,
    /// How many flows it has had.
    pub flows: u64,
    /// What it sent.
    pub sent: Traffic,
    /// What it received.
    pub received: Traffic,
    /// Where it connects to, in the order of addresses.
    pub destinations: Vec<DestinationView>,
    /// How many other destinations it has had, which made room for these.
    pub forgotten_destinations: u64,
}

/// An address that another device has sent from, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedAddress {
    /// The address.
    pub address: IpAddr,
    /// The other device.
    pub with: Selector,
    /// When that was seen with it last.
    #[serde(with = "rfc3339")]
    pub last_seen: Timestamp,
}

/// Where a device connects to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationView {
    /// The other end.
    pub address: IpAddr,
    /// Its port; 0 where the protocol has none.
    pub port: u16,
    /// The transport.
    pub protocol: Protocol,
    /// What the address is known by on this host.
    pub name: Option<String>,
    /// The first packet seen.
    #[serde(with = "rfc3339")]
    pub first_seen: Timestamp,
    /// The latest.
    #[serde(with = "rfc3339")]
    pub last_seen: Timestamp,
    /// How many flows.
    pub flows: u64,
    /// What the device sent there.
    pub sent: Traffic,
    /// What it received from there.
    pub received: Traffic,
}

impl DeviceView {
    /// Gives destinations the names that somebody knows.
    pub fn name(&mut self, name: impl Fn(IpAddr) -> Option<String>) {
        for to in &mut self.destinations {
            to.name = name(to.address);
        }
    }
}

/// Who has sent from each address, and when last.
pub(super) type ByAddress<'a> = BTreeMap<IpAddr, Vec<(&'a Selector, Timestamp)>>;

/// What was seen of a device; `None` for what is none, and where nothing was.
pub(super) fn of(
    registry: &Registry,
    selector: &Selector,
    by_address: &ByAddress<'_>,
) -> Option<DeviceView> {
    let device = registry.devices.get(selector)?;
    let shares = device.addresses().flat_map(|address| {
        let all = by_address.get(&address).into_iter().flatten();
        let others = all.filter(|(with, _)| *with != selector);
        others.map(move |(with, last_seen)| SharedAddress {
            address,
            with: (*with).clone(),
            last_seen: *last_seen,
        })
    });
    let destinations = device.destinations();
    let destinations = destinations.map(|(of, used)| DestinationView {
        address: of.to.ip(),
        port: of.to.port(),
        protocol: of.protocol,
        name: None,
        first_seen: used.first,
        last_seen: used.last,
        flows: used.flows,
        sent: used.sent,
        received: used.received,
    });
    Some(DeviceView {
        addresses: device.addresses().collect(),
        shares: shares.collect(),
        flows: device.flows,
        sent: device.sent,
        received: device.received,
        destinations: destinations.collect(),
        forgotten_destinations: device.forgotten,
    })
}
