//! Where programs connect to: the addresses behind each name, as they change with time.
//!
//! Addresses follow from the seed, the service and the time, and from nothing that happened before.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use monitor::model::{Protocol, Timestamp};

use crate::calendar::{hours, seconds};
use crate::parameters::{Network, Service};
use crate::random::{Random, Source};

/// A service, as one host sees it.
#[derive(Debug, Clone)]
pub struct Place {
    /// What the parameters say of it.
    pub service: Service,
    source: Source,
    /// When its addresses change at once.
    pub moves: Vec<Timestamp>,
    /// When it gets how many addresses more.
    pub grows: Vec<(Timestamp, u64)>,
}

/// One end of a connection to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub address: SocketAddr,
    /// The transport.
    pub protocol: Protocol,
    /// How its address is found.
    pub lookup: Option<Arc<Lookup>>,
}

/// An answer of the DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The name that is asked for.
    pub name: String,
    /// All addresses of the answer.
    pub addresses: Vec<IpAddr>,
    /// For how many nanoseconds it holds.
    pub ttl: i64,
}

impl Place {
    /// The service in the world of a seed.
    pub fn new(service: &Service, world: &Source) -> Self {
        Self {
            source: world.of("service").of(&service.name),
            service: service.clone(),
            moves: Vec::new(),
            grows: Vec::new(),
        }
    }

    /// Where a connection goes that is opened now.
    pub fn target(&self, at: Timestamp, random: &mut Random) -> Target {
        let of = &self.service;
        let (source, name) = match of.crowd {
            None => (self.source.clone(), of.dns.clone()),
            Some(exponent) => {
                let member = random.rank(exponent);
                let name = of.dns.as_ref();
                let name = name.map(|name| name.replace("{n}", &member.to_string()));
                (self.source.at(member), name)
            }
        };
        let grown: u64 = self
            .grows
            .iter()
            .filter(|(when, _)| *when <= at)
            .map(|(_, more)| more)
            .sum();
        let count = of.addresses + grown;
        let window = at.0.div_euclid(seconds(of.ttl).max(1));
        // An answer shows the same addresses for as long as it holds.
        let first = source.of("window").at(window.unsigned_abs()).number() % count;
        let shown =
            (0..of.shown.min(count)).map(|next| self.address(&source, (first + next) % count, at));
        let shown: Vec<IpAddr> = shown.collect();
        let address = random.one_of(&shown).copied();
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Target {
            address: SocketAddr::new(address, of.port),
            protocol: of.protocol,
            lookup: name.map(|name| {
                Arc::new(Lookup {
                    name,
                    addresses: shown,
                    ttl: seconds(of.ttl),
                })
            }),
        }
    }

    /// The address in one of its slots.
    fn address(&self, source: &Source, slot: u64, at: Timestamp) -> IpAddr {
        let slot_source = source.of("slot").at(slot);
        let generation = self.service.renewed.map_or(0, |every| {
            let every = hours(every).max(1);
            // Each slot is renewed at another time.
            let phase = (slot_source.number() % every.unsigned_abs()).cast_signed();
            (at.0 + phase).div_euclid(every).unsigned_abs()
        });
        let moves = self.moves.iter().filter(|when| **when <= at).count() as u64;
        let number = slot_source.at(generation).at(moves).number();
        match self.service.network {
            Network::Internal => internal(source.of("network").number(), number),
            // What one operator runs lies in few networks.
            Network::Internet => internet(source.of("network").at(number % 3).number(), number),
        }
    }
}

/// An address of the internet that nobody on the host has spoken to, with a name or without.
pub fn fresh(source: &Source, port: u16, named: bool) -> Target {
    let address = internet(source.of("network").number(), source.of("host").number());
    let word = source.of("name").number();
    let lookup = named.then(|| {
        Arc::new(Lookup {
            name: format!("{:x}.{:x}.example", word >> 40, word & 0xff_ffff),
            addresses: vec![address],
            ttl: seconds(300.0),
        })
    });
    Target {
        address: SocketAddr::new(address, port),
        protocol: Protocol::Tcp,
        lookup,
    }
}

/// An address of 10.0.0.0/8, in a /20 of the service's.
fn internal(network: u64, number: u64) -> IpAddr {
    let [a, b, ..] = network.to_be_bytes();
    let [c, d, ..] = number.to_be_bytes();
    Ipv4Addr::new(10, a, (b & 0xf0) | (c & 0x0f), host_byte(d)).into()
}

/// An address of 198.18.0.0/15, in a /24 of the service's.
fn internet(network: u64, number: u64) -> IpAddr {
    let [a, b, ..] = network.to_be_bytes();
    let [.., d] = number.to_be_bytes();
    Ipv4Addr::new(198, 18 + (a & 1), b, host_byte(d)).into()
}

fn host_byte(byte: u8) -> u8 {
    byte.clamp(1, 254)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn place(more: &str) -> Place {
        let text = format!("name = \"x\"\nport = 443\nnetwork = \"internet\"\n{more}");
        Place::new(&toml::from_str(&text).unwrap(), &Source::new(1))
    }

    fn addresses(place: &Place, hour: i64) -> BTreeSet<IpAddr> {
        let mut random = Source::new(2).stream();
        let times = (0..200).map(|minute| Timestamp((hour * 60 + minute) * 60_000_000_000));
        times
            .map(|at| place.target(at, &mut random).address.ip())
            .collect()
    }

    #[test]
    fn addresses_rotate_move_and_grow_as_the_parameters_say() {
        let fixed = place("");
        assert_eq!(addresses(&fixed, 0).len(), 1);
        assert_eq!(addresses(&fixed, 0), addresses(&fixed, 10_000));
        let pool = place("dns = \"a.example\"\naddresses = 20\nshown = 4\nttl = 60");
        assert!((12..=20).contains(&addresses(&pool, 0).len()));
        let mut random = Source::new(2).stream();
        let target = pool.target(Timestamp(7), &mut random);
        let lookup = target.lookup.unwrap();
        assert_eq!(lookup.addresses.len(), 4);
        assert!(lookup.addresses.contains(&target.address.ip()));
        let renewed = place("renewed = 24.0");
        assert_ne!(addresses(&renewed, 0), addresses(&renewed, 100));
        let mut moved = fixed.clone();
        moved.moves.push(Timestamp(1));
        assert_ne!(addresses(&fixed, 1), addresses(&moved, 1));
        let mut grown = fixed.clone();
        grown.grows.push((Timestamp(0), 3));
        grown.service.shown = 4;
        assert!(addresses(&grown, 0).is_superset(&addresses(&fixed, 0)));
        assert!(addresses(&grown, 0).len() > 1);
        let crowd = place("crowd = 0.8\ndns = \"mx{n}.example\"");
        assert!(addresses(&crowd, 0).len() > 20);
    }
}
