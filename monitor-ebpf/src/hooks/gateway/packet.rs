//! What stands in a packet, as far as it is of interest.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::bpf_skb_load_bytes;
use monitor_common::ARP;

const ETHERNET: u32 = 14;
const VLAN: u16 = 0x8100;
const VLAN_OF_PROVIDER: u16 = 0x88a8;
const VLAN_TAG: u32 = 4;
/// Most tags that are followed, beside one that the interface has taken off already.
const VLAN_TAGS: u32 = 2;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const IPV6_HEADER: u32 = 40;
/// Most extension headers of IPv6 that are followed. Behind more, or behind one that is cut short, the
/// protocol is the header's own number.
const EXTENSIONS: u32 = 4;

/// Ethernet and IPv4, with their addresses of 6 and 4 bytes: what an ARP packet begins with (RFC 826).
const ARP_FOR_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ARP_REPLY: u8 = 2;
const ARP_BYTES: u32 = 28;

pub(super) const TCP: u16 = 6;
const UDP: u16 = 17;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// A frame's own header, with the tags behind it.
pub(super) struct Frame {
    /// The device's hardware address.
    pub(super) mac: [u8; 6],
    ether_type: u16,
    /// Where the packet begins, from the start of the frame.
    pub(super) start: u32,
}

/// A packet.
pub(super) struct Packet {
    pub(super) source: [u8; 16],
    pub(super) destination: [u8; 16],
    /// As in [`FlowKey`].
    pub(super) protocol: u16,
    /// Whether the packet itself says that it is an answer.
    pub(super) answers: bool,
    /// The IP packet's own length; 0 where it is too long to say so.
    pub(super) len: u32,
    /// Where the transport header begins, from the start of the frame. 0 where there is none: in all
    /// but the first of its fragments, and where a header before it is cut short.
    transport: u32,
}

/// What the headers behind that of IP say.
pub(super) struct Transport {
    /// 0 where there is none, as the other.
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    /// Those of TCP.
    pub(super) flags: u8,
    /// Length of all headers from that of IP on; 0 where not all of them are known.
    pub(super) headers: u32,
}

/// `None` where it ends too early, and for what goes to a group: that has no device at its end.
#[inline(always)]
pub(super) fn frame(skb: *mut __sk_buff, from_device: bool) -> Option<Frame> {
    let ethernet = load::<[u8; 14]>(skb, 0)?;
    let [
        to0,
        to1,
        to2,
        to3,
        to4,
        to5,
        from0,
        from1,
        from2,
        from3,
        from4,
        from5,
        high,
        low,
    ] = ethernet;
    let mac = if from_device {
        [from0, from1, from2, from3, from4, from5]
    } else {
        [to0, to1, to2, to3, to4, to5]
    };
    if mac[0] & 1 != 0 {
        return None;
    }
    let (mut ether_type, mut start) = (u16::from_be_bytes([high, low]), ETHERNET);
    for _ in 0..VLAN_TAGS {
        if ether_type != VLAN && ether_type != VLAN_OF_PROVIDER {
            break;
        }
        let [_, _, high, low] = load::<[u8; 4]>(skb, start)?;
        ether_type = u16::from_be_bytes([high, low]);
        start += VLAN_TAG;
    }
    Some(Frame {
        mac,
        ether_type,
        start,
    })
}

/// `None` for what is neither IP nor ARP, or ends within its addresses.
#[inline(always)]
pub(super) fn packet(skb: *mut __sk_buff, frame: &Frame) -> Option<Packet> {
    match frame.ether_type {
        IPV4 => ipv4(skb, frame.start),
        IPV6 => ipv6(skb, frame.start),
        ARP => arp(skb, frame.start),
        _ => None,
    }
}

/// A packet that ends within its transport header, or before it, has no ports and is counted all the same.
#[inline(always)]
pub(super) fn transport(skb: *mut __sk_buff, packet: &Packet, start: u32) -> Transport {
    let mut transport = Transport {
        source_port: 0,
        destination_port: 0,
        flags: 0,
        headers: 0,
    };
    if packet.transport == 0 {
        return transport;
    }
    let before = packet.transport.wrapping_sub(start);
    if packet.protocol == TCP {
        if let Some(tcp) = load::<[u8; 14]>(skb, packet.transport) {
            transport.source_port = u16::from_be_bytes([tcp[0], tcp[1]]);
            transport.destination_port = u16::from_be_bytes([tcp[2], tcp[3]]);
            transport.flags = tcp[13];
            transport.headers = before + u32::from(tcp[12] >> 4) * 4;
        }
    } else if packet.protocol == UDP {
        if let Some(udp) = load::<[u8; 4]>(skb, packet.transport) {
            transport.source_port = u16::from_be_bytes([udp[0], udp[1]]);
            transport.destination_port = u16::from_be_bytes([udp[2], udp[3]]);
            transport.headers = before + 8;
        }
    } else {
        transport.headers = before;
    }
    transport
}

/// Who asks for an address of the link, or says which it has.
#[inline(always)]
fn arp(skb: *mut __sk_buff, start: u32) -> Option<Packet> {
    let arp = load::<[u8; ARP_BYTES as usize]>(skb, start)?;
    if [arp[0], arp[1], arp[2], arp[3], arp[4], arp[5]] != ARP_FOR_IPV4 {
        return None;
    }
    Some(Packet {
        source: mapped([arp[14], arp[15], arp[16], arp[17]]),
        destination: mapped([arp[24], arp[25], arp[26], arp[27]]),
        protocol: ARP,
        answers: arp[7] == ARP_REPLY,
        len: ARP_BYTES,
        transport: 0,
    })
}

#[inline(always)]
fn ipv4(skb: *mut __sk_buff, start: u32) -> Option<Packet> {
    let ip = load::<[u8; 20]>(skb, start)?;
    let header = u32::from(ip[0] & 15) * 4;
    if ip[0] >> 4 != 4 || header < 20 {
        return None;
    }
    let offset = u16::from_be_bytes([ip[6], ip[7]]) & 0x1fff;
    Some(Packet {
        source: mapped([ip[12], ip[13], ip[14], ip[15]]),
        destination: mapped([ip[16], ip[17], ip[18], ip[19]]),
        protocol: u16::from(ip[9]),
        answers: false,
        len: u32::from(u16::from_be_bytes([ip[2], ip[3]])),
        transport: if offset == 0 { start + header } else { 0 },
    })
}

#[inline(always)]
fn ipv6(skb: *mut __sk_buff, start: u32) -> Option<Packet> {
    let ip = load::<[u8; 8]>(skb, start)?;
    let source = load::<[u8; 16]>(skb, start + 8)?;
    let destination = load::<[u8; 16]>(skb, start + 24)?;
    if ip[0] >> 4 != 6 {
        return None;
    }
    let payload = u32::from(u16::from_be_bytes([ip[4], ip[5]]));
    let len = if payload == 0 {
        0
    } else {
        payload + IPV6_HEADER
    };
    let (mut protocol, mut transport) = (ip[6], start + IPV6_HEADER);
    let mut has_transport = true;
    for _ in 0..EXTENSIONS {
        if !matches!(
            protocol,
            HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS
        ) {
            break;
        }
        let Some([next, words, high, low]) = load::<[u8; 4]>(skb, transport) else {
            has_transport = false;
            break;
        };
        if protocol == FRAGMENT {
            has_transport &= u16::from_be_bytes([high, low]) >> 3 == 0;
            transport += 8;
        } else {
            transport += (u32::from(words) + 1) * 8;
        }
        protocol = next;
    }
    Some(Packet {
        source,
        destination,
        protocol: u16::from(protocol),
        answers: false,
        len,
        transport: if has_transport { transport } else { 0 },
    })
}

/// An IPv4 address as an IPv6 one.
#[inline(always)]
fn mapped(address: [u8; 4]) -> [u8; 16] {
    let words = [0, 0, 0xffff_u32.to_be(), u32::from_ne_bytes(address)];
    unsafe { core::mem::transmute(words) }
}

/// Copied by the helper, which reads packets in whatever pieces they lie.
#[inline(always)]
fn load<T: Copy>(skb: *mut __sk_buff, at: u32) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    let to = value.as_mut_ptr().cast();
    let read = unsafe { bpf_skb_load_bytes(skb.cast(), at, to, size_of::<T>() as u32) };
    (read == 0).then(|| unsafe { value.assume_init() })
}
