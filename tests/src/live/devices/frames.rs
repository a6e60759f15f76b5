//! Ethernet frames byte by byte, for what no socket of a device would send.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::scene::Host;
use crate::live::host::run;

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
pub(super) const ARP: u16 = 0x0806;
/// IEEE 802.1Q, and the outer tag of IEEE 802.1ad.
pub(super) const VLAN: u16 = 0x8100;
pub(super) const VLAN_OF_PROVIDER: u16 = 0x88a8;

pub(super) const UDP: u8 = 17;
pub(super) const DESTINATION_OPTIONS: u8 = 60;

/// A frame with these tags, the outer first.
pub(super) fn frame(from: &str, to: &str, tags: &[u16], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [mac(to), mac(from)].concat();
    for (number, tag) in (50_u16..).zip(tags) {
        frame.extend(tag.to_be_bytes());
        frame.extend(number.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A question of who has an address; an announcement where that is the asker's own.
pub(super) fn arp_request(mac_of: &str, from: &str, to: &str) -> Vec<u8> {
    let [from, to] = [from, to].map(|of| of.parse::<Ipv4Addr>().unwrap().octets());
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1];
    packet.extend(mac(mac_of));
    packet.extend(from);
    packet.extend([0; 6]);
    packet.extend(to);
    packet
}

/// An IPv4 packet without options.
pub(super) fn ipv4(from: &str, to: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let [from, to] = [from, to].map(|of| of.parse::<Ipv4Addr>().unwrap().octets());
    let len = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let mut header = vec![0x45, 0, len[0], len[1], 0, 1, 0, 0, 64, protocol, 0, 0];
    header.extend([from, to].concat());
    let words = header
        .chunks(2)
        .map(|of| u32::from(of[0]) << 8 | u32::from(of[1]));
    let sum: u32 = words.sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header, payload].concat()
}

/// An IPv6 packet; `next` is what its payload begins with.
pub(super) fn ipv6(from: &str, to: &str, next: u8, payload: &[u8]) -> Vec<u8> {
    let [from, to] = [from, to].map(|of| of.parse::<Ipv6Addr>().unwrap().octets());
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, len[0], len[1], next, 64];
    packet.extend([from, to].concat());
    packet.extend(payload);
    packet
}

/// An extension header of IPv6 that holds padding only, in units of 8 bytes.
pub(super) fn padding(next: u8, units: u8) -> Vec<u8> {
    let len = usize::from(units) * 8;
    let mut header = vec![next, units - 1, 1, u8::try_from(len - 4).unwrap()];
    header.resize(len, 0);
    header
}

/// A datagram of so many bytes, without a checksum.
pub(super) fn udp(from: u16, to: u16, bytes: u16) -> Vec<u8> {
    let words = [from, to, 8 + bytes, 0].map(u16::to_be_bytes);
    let mut datagram = words.concat();
    datagram.resize(usize::from(8 + bytes), b'd');
    datagram
}

/// Puts a frame on an interface so many times.
pub(super) fn put(host: &Host, interface: &str, frame: &[u8], many: usize) {
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n\
        s.bind((sys.argv[1], 0))\n\
        for _ in range(int(sys.argv[3])): s.send(bytes.fromhex(sys.argv[2]))";
    let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    run(&mut host.python(script, &[&interface, &hex, &many.to_string()]));
}

fn mac(text: &str) -> Vec<u8> {
    let pairs = text.split(':');
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}
