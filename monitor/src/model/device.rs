//! Devices on the network behind this host, and what was seen of their traffic.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Protocol, Selector};

/// The hardware address of an Ethernet interface (EUI-48): `02:00:5e:10:00:01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Whether it names one interface, and not a group of them or nobody.
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A text that is no hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no hardware address: write it like 02:00:5e:10:00:01")]
pub struct MacAddressError(String);

impl FromStr for MacAddress {
    type Err = MacAddressError;

    /// Six pairs of hexadecimal digits, with colons or with dashes between them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || MacAddressError(text.to_owned());
        let between = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut parts = text.split(between);
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(wrong)?;
            let is_pair = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(part, 16)
                .ok()
                .filter(|_| is_pair)
                .ok_or_else(wrong)?;
        }
        match parts.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(wrong()),
        }
    }
}

impl TryFrom<String> for MacAddress {
    type Error = MacAddressError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

/// Packets that went one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// How many.
    pub packets: u64,
    /// Bytes of these packets from their IP headers on.
    pub bytes: u64,
}

impl Traffic {
    /// Whether nothing went.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Takes in more.
    pub fn add(&mut self, more: Self) {
        self.packets = self.packets.saturating_add(more.packets);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

/// Who began a flow.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The device.
    Outgoing,
    /// The other end: the device answers.
    Incoming,
    /// It is older than the observation.
    #[default]
    Unknown,
}

/// Packets between a device and one other end, as a gateway forwarded them or a network monitor
/// counted them. A flow that goes on is told again with what has come since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// The device's hardware address, where the observer is on the same link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// The device's end. Its port is 0 where the protocol has none.
    pub source: SocketAddr,
    /// The other end.
    pub destination: SocketAddr,
    /// The transport.
    pub protocol: Protocol,
    /// Who began it.
    #[serde(default)]
    pub direction: Direction,
    /// What the device sent since it was last told of.
    #[serde(default, skip_serializing_if = "Traffic::is_none")]
    pub sent: Traffic,
    /// What the device received since then.
    #[serde(default, skip_serializing_if = "Traffic::is_none")]
    pub received: Traffic,
    /// Whether it was told of before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
}

impl Flow {
    /// The device's address, where it is one that a device can have for itself: while it asks for
    /// one it has none.
    pub fn address(&self) -> Option<IpAddr> {
        let address = self.source.ip().to_canonical();
        let is_own = !address.is_unspecified() && !address.is_multicast();
        let is_broadcast = matches!(address, IpAddr::V4(of) if of.is_broadcast());
        (is_own && !is_broadcast).then_some(address)
    }

    /// The device's hardware address, where it is one that a device can have for itself.
    pub fn hardware_address(&self) -> Option<MacAddress> {
        self.mac.filter(|mac| mac.is_unicast())
    }

    /// What the device is called, the most lasting name first. Empty where nothing names it.
    pub fn selectors(&self) -> Vec<Selector> {
        let mac = self.hardware_address().map(Selector::device_mac);
        let address = self.address().map(Selector::device_ip);
        mac.into_iter().chain(address).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_device_is_named_by_what_lasts_longest() {
        let mut flow = Flow {
            mac: Some("02:00:5E:10:00:01".parse().unwrap()),
            source: "192.0.2.7:50000".parse().unwrap(),
            destination: "198.51.100.7:8883".parse().unwrap(),
            protocol: Protocol::Tcp,
            direction: Direction::Outgoing,
            sent: Traffic::default(),
            received: Traffic::default(),
            continues: false,
        };
        let named = |flow: &Flow| -> Vec<String> {
            let all = flow.selectors();
            all.iter().map(ToString::to_string).collect()
        };
        let mac = "device:mac:02:00:5e:10:00:01";
        assert_eq!(named(&flow), [mac, "device:ip:192.0.2.7"]);
        // A device that asks for an address has none.
        flow.source = "0.0.0.0:68".parse().unwrap();
        assert_eq!(named(&flow), [mac]);
        flow.mac = Some(MacAddress([0xff; 6]));
        assert!(named(&flow).is_empty());
    }

    #[test]
    fn older_recordings_need_not_say_everything() {
        let text = r#"{"source":"192.0.2.7:1","destination":"[2001:db8::1]:2","protocol":"udp"}"#;
        let flow: Flow = serde_json::from_str(text).unwrap();
        assert_eq!(flow.direction, Direction::Unknown);
        assert!(flow.sent.is_none() && !flow.continues && flow.mac.is_none());
    }

    #[test]
    fn what_is_no_hardware_address() {
        for wrong in [
            "",
            "02:00:5e:10:00",
            "02:00:5e:10:00:01:02",
            "02:00:5e:10:00:1",
            "02:00:5e:10:00:+1",
            "02:00-5e:10:00:01",
            "02:00:5e:10:00:0g",
        ] {
            assert!(wrong.parse::<MacAddress>().is_err(), "{wrong}");
        }
        let dashes: MacAddress = "02-00-5E-10-00-01".parse().unwrap();
        assert_eq!(dashes.to_string(), "02:00:5e:10:00:01");
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_none(text in ".{0,24}", bytes: [u8; 6]) {
            let _ = text.parse::<MacAddress>();
            let address = MacAddress(bytes);
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}
