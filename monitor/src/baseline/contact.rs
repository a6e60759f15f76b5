//! What a baseline sees: one act of an identity towards another end.

use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::model::{Protocol, Timestamp};

/// Who began a connection, as far as a baseline goes: what answers and what calls are two habits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The identity.
    Out,
    /// The other end.
    In,
}

/// How far away an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// This host.
    Loopback,
    /// Addresses that are given out within networks, and link-local ones.
    Private,
    /// A group, or everybody on the link.
    Group,
    /// The Internet.
    Public,
}

impl Scope {
    /// Of an address. Who connects to no address connects to this host; the C library does so to learn
    /// which of its own it would use.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            of if of.is_unspecified() => Self::Loopback,
            IpAddr::V4(of) if of.is_loopback() => Self::Loopback,
            IpAddr::V6(of) if of.is_loopback() => Self::Loopback,
            IpAddr::V4(of) if of.is_multicast() || of.is_broadcast() => Self::Group,
            IpAddr::V6(of) if of.is_multicast() => Self::Group,
            IpAddr::V4(of) if of.is_private() || of.is_link_local() || is_shared(of) => {
                Self::Private
            }
            IpAddr::V6(of) if of.is_unique_local() || of.is_unicast_link_local() => Self::Private,
            _ => Self::Public,
        }
    }
}

/// 100.64.0.0/10 (RFC 6598): between a provider and its customers, and in clusters.
fn is_shared(of: std::net::Ipv4Addr) -> bool {
    let [first, second, ..] = of.octets();
    first == 100 && second & 0xc0 == 64
}

/// The other end and the service that is spoken there. For what came in, the port is the identity's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Destination {
    /// As IPv6, IPv4 addresses mapped into it.
    address: Ipv6Addr,
    /// 0 where the protocol has none.
    pub port: u16,
    /// The transport.
    pub protocol: Protocol,
    /// Who began.
    pub way: Way,
}

impl Destination {
    /// Of what was called, or who called.
    pub fn new(address: IpAddr, port: u16, protocol: Protocol, way: Way) -> Self {
        let address = match address {
            IpAddr::V4(of) => of.to_ipv6_mapped(),
            IpAddr::V6(of) => of,
        };
        Self {
            address,
            port,
            protocol,
            way,
        }
    }

    /// The other end.
    pub fn address(&self) -> IpAddr {
        self.address.to_canonical()
    }

    /// What is spoken, and how far away.
    pub fn service(&self) -> Service {
        Service {
            port: self.port,
            protocol: self.protocol,
            way: self.way,
            scope: Scope::of(self.address()),
        }
    }

    /// The network around it: /24 of IPv4 and /48 of IPv6, the smallest that are routed for
    /// themselves.
    pub(super) fn network(&self) -> u128 {
        let bits = if self.address().is_ipv4() { 8 } else { 80 };
        self.address.to_bits() >> bits << bits
    }
}

/// What is spoken: the port and transport, who began, and how far away the other end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Service {
    /// 0 where the protocol has none.
    pub port: u16,
    /// The transport.
    pub protocol: Protocol,
    /// Who began.
    pub way: Way,
    /// How far.
    pub scope: Scope,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A connection was begun, or its first packet sent.
    Opened,
    /// What was carried since it was last told, and whether the other end ever answered.
    Carried {
        /// Bytes from the identity.
        sent: u64,
        /// Bytes to it.
        received: u64,
        /// Whether it is over.
        is_over: bool,
    },
}

/// One act.
#[derive(Debug, Clone, Copy)]
pub struct Contact {
    /// When.
    pub time: Timestamp,
    /// The other end.
    pub destination: Destination,
    /// A hash of the domain under which this host knows the other end, if it does.
    pub domain: Option<u64>,
    /// A hash of its whole name.
    pub name: Option<u64>,
    /// What happened.
    pub phase: Phase,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_no_address_is_to_this_host() {
        for address in ["0.0.0.0", "::", "::ffff:0.0.0.0", "127.0.0.53", "::1"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(Scope::of(address), Scope::Loopback, "{address}");
        }
    }

    #[test]
    fn networks_are_those_that_are_routed() {
        let of = |text: &str| {
            let address: IpAddr = text.parse().unwrap();
            Destination::new(address, 443, Protocol::Tcp, Way::Out).network()
        };
        assert_eq!(of("198.51.100.7"), of("198.51.100.200"));
        assert_ne!(of("198.51.100.7"), of("198.51.101.7"));
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:ffff::1"));
        assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:2:2::3"));
    }

    #[test]
    fn how_far_an_address_is() {
        let of = |text: &str| Scope::of(text.parse().unwrap());
        for (text, scope) in [
            ("127.0.0.1", Scope::Loopback),
            ("::ffff:127.0.0.1", Scope::Loopback),
            ("10.0.0.1", Scope::Private),
            ("100.64.3.1", Scope::Private),
            ("100.128.0.1", Scope::Public),
            ("fe80::1", Scope::Private),
            ("239.255.255.250", Scope::Group),
            ("ff02::fb", Scope::Group),
            ("255.255.255.255", Scope::Group),
            ("2606:4700::1111", Scope::Public),
            ("1.1.1.1", Scope::Public),
        ] {
            assert_eq!(of(text), scope, "{text}");
        }
    }
}
