//! Devices of the network: their addresses, and where their traffic goes. Bounded, because whoever
//! is on a network can make up devices.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};

use foldhash::HashMap;

use crate::model::{Direction, Flow, MacAddress, Protocol, Selector, Timestamp, Traffic};

/// Most devices that are identities. Of more, only what was said about them is looked up.
pub const DEVICES: usize = 2_048;
/// Most addresses of a device, and most destinations: beyond it the one that was seen longest ago
/// makes room.
const ADDRESSES: usize = 16;
const DESTINATIONS: usize = 64;
/// Most hardware addresses, and most addresses, whose selectors are kept ready. Beyond it all are
/// written anew.
const NAMES: usize = 2 * DEVICES;

/// The devices that are known.
#[derive(Debug, Clone, Default)]
pub struct Devices {
    /// What was seen of each since the start.
    seen: HashMap<Selector, Device>,
    names: Names,
    /// How many identities are devices, those from before the start included.
    identities: usize,
}

/// Selectors of devices. To write one costs more than all else that a flow leads to.
#[derive(Debug, Clone, Default)]
struct Names {
    hardware: HashMap<MacAddress, Selector>,
    addresses: HashMap<IpAddr, Selector>,
}

/// What was seen of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    addresses: BTreeMap<IpAddr, Timestamp>,
    destinations: BTreeMap<Destination, Use>,
    /// How many flows it has had.
    pub flows: u64,
    /// What it sent.
    pub sent: Traffic,
    /// What it received.
    pub received: Traffic,
    /// How many destinations made room for others.
    pub forgotten: u64,
}

/// Where a device connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// The other end.
    pub to: SocketAddr,
    /// The transport.
    pub protocol: Protocol,
}

/// What went between a device and a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The first packet seen.
    pub first: Timestamp,
    /// The latest.
    pub last: Timestamp,
    /// How many flows.
    pub flows: u64,
    /// What the device sent there.
    pub sent: Traffic,
    /// What it received from there.
    pub received: Traffic,
}

impl Devices {
    /// An identity that is a device has become known.
    pub(super) fn became_known(&mut self) {
        self.identities += 1;
    }

    /// Whether no more can become known.
    pub(super) fn are_full(&self) -> bool {
        self.identities >= DEVICES
    }

    /// What a flow's device is called, as [`Flow::selectors`] tells it.
    pub fn selectors(&mut self, flow: &Flow) -> Vec<Selector> {
        let mac = flow.hardware_address();
        let mac = mac.map(|mac| kept(&mut self.names.hardware, mac, Selector::device_mac));
        let address = flow.address();
        let address = address.map(|of| kept(&mut self.names.addresses, of, Selector::device_ip));
        mac.into_iter().chain(address).collect()
    }

    /// Takes in traffic of a device that is known.
    pub(super) fn note(&mut self, device: &Selector, flow: &Flow, now: Timestamp) {
        if let Some(known) = self.seen.get_mut(device) {
            known.note(flow, now);
        } else if self.seen.len() < DEVICES {
            let mut new = Device::default();
            new.note(flow, now);
            self.seen.insert(device.clone(), new);
        }
    }

    /// Who has sent from each address since the start, and when last. Two devices at one address are one
    /// that took over from the other, or one that pretends to be it.
    pub fn by_address(&self) -> BTreeMap<IpAddr, Vec<(&Selector, Timestamp)>> {
        let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut seen: Vec<_> = self.seen.iter().collect();
        seen.sort_unstable_by_key(|(selector, _)| *selector);
        for (selector, device) in seen {
            for (address, seen) in &device.addresses {
                all.entry(*address).or_default().push((selector, *seen));
            }
        }
        all
    }

    /// What was seen of a device since the start.
    pub fn get(&self, device: &Selector) -> Option<&Device> {
        self.seen.get(device)
    }
}

impl Device {
    fn note(&mut self, flow: &Flow, now: Timestamp) {
        if let Some(address) = flow.address() {
            make_room(&mut self.addresses, &address, ADDRESSES, |seen| *seen);
            let seen = self.addresses.entry(address).or_insert(now);
            *seen = now.max(*seen);
        }
        let flows = u64::from(!flow.continues);
        self.flows = self.flows.saturating_add(flows);
        self.sent.add(flow.sent);
        self.received.add(flow.received);
        if flow.direction == Direction::Incoming || flow.protocol == Protocol::Arp {
            // The other end's port says nothing of what it wanted; and who is only looked for on the link
            // is not connected to.
            return;
        }
        let key = Destination {
            to: flow.destination,
            protocol: flow.protocol,
        };
        let forgot = make_room(&mut self.destinations, &key, DESTINATIONS, |of| of.last);
        self.forgotten += u64::from(forgot);
        let of = self.destinations.entry(key).or_insert(Use {
            first: now,
            last: now,
            flows: 0,
            sent: Traffic::default(),
            received: Traffic::default(),
        });
        of.first = of.first.min(now);
        of.last = of.last.max(now);
        of.flows = of.flows.saturating_add(flows);
        of.sent.add(flow.sent);
        of.received.add(flow.received);
    }

    /// Its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.keys().copied()
    }

    /// Where it connects to, and what went there.
    pub fn destinations(&self) -> impl Iterator<Item = (&Destination, &Use)> {
        self.destinations.iter()
    }
}

/// The selector of an address, written where it is not kept.
fn kept<K: Copy + Eq + Hash>(
    names: &mut HashMap<K, Selector>,
    of: K,
    write: fn(K) -> Selector,
) -> Selector {
    if names.len() >= NAMES && !names.contains_key(&of) {
        names.clear();
    }
    names.entry(of).or_insert_with(|| write(of)).clone()
}

/// Takes out what was seen longest ago where a new key would be one too many. Says whether it did.
fn make_room<K: Ord + Clone, V>(
    map: &mut BTreeMap<K, V>,
    key: &K,
    most: usize,
    seen: impl Fn(&V) -> Timestamp,
) -> bool {
    if map.len() < most || map.contains_key(key) {
        return false;
    }
    let oldest = map.iter().min_by_key(|(_, value)| seen(value));
    let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
        return false;
    };
    map.remove(&oldest).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(source: &str, destination: &str) -> Flow {
        Flow {
            mac: None,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            protocol: Protocol::Tcp,
            direction: Direction::Outgoing,
            sent: Traffic {
                packets: 2,
                bytes: 100,
            },
            received: Traffic {
                packets: 1,
                bytes: 40,
            },
            continues: false,
        }
    }

    #[test]
    fn a_flow_that_goes_on_is_one() {
        let mut devices = Devices::default();
        let name = Selector::device_ip("192.0.2.7".parse().unwrap());
        let mut of = flow("192.0.2.7:50000", "198.51.100.7:443");
        devices.note(&name, &of, Timestamp(5));
        of.continues = true;
        devices.note(&name, &of, Timestamp(9));
        let device = devices.get(&name).unwrap();
        assert_eq!((device.flows, device.sent.bytes), (1, 200));
        let (to, used) = device.destinations().next().unwrap();
        assert_eq!(to.to, of.destination);
        assert_eq!((used.first, used.last), (Timestamp(5), Timestamp(9)));
        assert_eq!((used.flows, used.received.packets), (1, 2));
        assert_eq!(device.addresses().count(), 1);
    }

    #[test]
    fn who_is_looked_for_on_the_link_is_no_destination() {
        let mut devices = Devices::default();
        let name = Selector::device_ip("192.0.2.7".parse().unwrap());
        let mut of = flow("192.0.2.7:0", "192.0.2.1:0");
        of.protocol = Protocol::Arp;
        devices.note(&name, &of, Timestamp(5));
        let device = devices.get(&name).unwrap();
        assert_eq!((device.flows, device.sent.packets), (1, 2));
        assert_eq!(device.addresses().count(), 1);
        assert_eq!(device.destinations().count(), 0);
    }

    #[test]
    fn two_devices_at_one_address_are_told_apart() {
        let mut devices = Devices::default();
        let [one, other] =
            [1, 2].map(|last| Selector::device_mac(MacAddress([2, 0, 0, 0, 0, last])));
        devices.note(&one, &flow("192.0.2.7:1", "198.51.100.7:1"), Timestamp(5));
        devices.note(&other, &flow("192.0.2.8:1", "198.51.100.7:1"), Timestamp(6));
        devices.note(&other, &flow("192.0.2.7:1", "198.51.100.7:1"), Timestamp(7));
        let all = devices.by_address();
        let at = |address: &str| all.get(&address.parse().unwrap()).cloned();
        let both = vec![(&one, Timestamp(5)), (&other, Timestamp(7))];
        assert_eq!(at("192.0.2.7"), Some(both));
        assert_eq!(at("192.0.2.8"), Some(vec![(&other, Timestamp(6))]));
        assert_eq!(at("192.0.2.9"), None);
    }

    #[test]
    fn who_is_asked_has_no_destination() {
        let mut devices = Devices::default();
        let name = Selector::device_ip("192.0.2.7".parse().unwrap());
        let mut of = flow("192.0.2.7:80", "203.0.113.9:51515");
        of.direction = Direction::Incoming;
        devices.note(&name, &of, Timestamp(5));
        let device = devices.get(&name).unwrap();
        assert_eq!(device.flows, 1);
        assert_eq!(device.destinations().count(), 0);
    }

    #[test]
    fn all_is_bounded_and_what_makes_room_is_counted() {
        let mut devices = Devices::default();
        let name = Selector::device_ip("192.0.2.7".parse().unwrap());
        for port in 1..=100u16 {
            let of = flow(
                &format!("192.0.2.{}:1", port % 50),
                &format!("198.51.100.7:{port}"),
            );
            devices.note(&name, &of, Timestamp(port.into()));
        }
        let device = devices.get(&name).unwrap();
        assert_eq!(device.destinations().count(), DESTINATIONS);
        assert_eq!(device.forgotten, 100 - DESTINATIONS as u64);
        assert!(device.destinations().all(|(of, _)| of.to.port() > 36));
        assert_eq!(device.addresses().count(), ADDRESSES);
        assert_eq!(device.flows, 100);
    }

    #[test]
    fn a_kept_name_is_what_one_written_anew_would_be() {
        let mut devices = Devices::default();
        let sources = [
            "192.0.2.7:1",
            "[::ffff:192.0.2.7]:1",
            "0.0.0.0:68",
            "[2001:db8::1]:2",
        ];
        let macs = [None, Some([2, 0, 0, 0, 0, 1]), Some([0xff; 6])];
        for _ in 0..2 {
            for (source, mac) in sources.iter().flat_map(|of| macs.map(|mac| (of, mac))) {
                let mut of = flow(source, "198.51.100.7:443");
                of.mac = mac.map(MacAddress);
                assert_eq!(devices.selectors(&of), of.selectors(), "{of:?}");
            }
        }
        for number in 0..u32::try_from(NAMES).unwrap() * 3 / 2 {
            let mut of = flow("192.0.2.7:1", "198.51.100.7:443");
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + number);
            of.source = SocketAddr::from((address, 1));
            devices.selectors(&of);
        }
        assert!(devices.names.addresses.len() <= NAMES);
    }
}
