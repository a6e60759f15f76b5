//! `tc` ingress and egress of the interfaces behind which devices are: what devices send and are sent.
//!
//! Each packet is counted in its flow. The daemon is told of the first that the device sends; all else it
//! reads from the table now and then. What finds no room in the ring, or is one of too many, is in the table and so told
//! later. Nothing is dropped or changed, and what other classifiers decide stands.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::{__sk_buff, BPF_NOEXIST, TC_ACT_UNSPEC};
use aya_ebpf::helpers::{bpf_ktime_get_boot_ns, bpf_skb_load_bytes};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use monitor_common::{ARP, FlowCounts, FlowKey, FlowRecord, Hook, Rate, began, kind};

use crate::emit::{Count, To, add, count, emit_several, failed, seconds};
use crate::kernel::offset;
use crate::maps::{DEVICE_RATES, FLOW_RATES, FLOWS};

const HOOK: Hook = Hook::GatewayFlow;

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

/// Most flows of one device that are told at once, in a second.
const OF_A_DEVICE: u32 = 256;

/// Ethernet and IPv4, with their addresses of 6 and 4 bytes: what an ARP packet begins with (RFC 826).
const ARP_FOR_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ARP_REPLY: u8 = 2;
const ARP_BYTES: u32 = 28;

const TCP: u16 = 6;
const UDP: u16 = 17;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

const TCP_FIN: u8 = 1;
const TCP_SYN: u8 = 2;
const TCP_RST: u8 = 4;
const TCP_ACK: u8 = 16;

/// What devices send.
#[classifier]
pub fn gateway_ingress(context: TcContext) -> i32 {
    look(context.skb.skb, true);
    TC_ACT_UNSPEC
}

/// What devices are sent.
#[classifier]
pub fn gateway_egress(context: TcContext) -> i32 {
    look(context.skb.skb, false);
    TC_ACT_UNSPEC
}

/// A packet, as far as it is of interest.
struct Packet {
    source: [u8; 16],
    destination: [u8; 16],
    /// As in [`FlowKey`].
    protocol: u16,
    /// Whether the packet itself says that it is an answer.
    answers: bool,
    /// The IP packet's own length; 0 where it is too long to say so.
    len: u32,
    /// Where the transport header begins, from the start of the frame. 0 where there is none: in all
    /// but the first of its fragments, and where a header before it is cut short.
    transport: u32,
}

/// What the headers behind that of IP say.
struct Transport {
    /// 0 where there is none, as the other.
    source_port: u16,
    destination_port: u16,
    /// Those of TCP.
    flags: u8,
    /// Length of all headers from that of IP on; 0 where not all of them are known.
    headers: u32,
}

#[inline(always)]
fn look(skb: *mut __sk_buff, from_device: bool) {
    let Some(ethernet) = load::<[u8; 14]>(skb, 0) else {
        return;
    };
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
    // What goes to a group has no device at its end.
    if mac[0] & 1 != 0 {
        return;
    }
    let (mut ether_type, mut start) = (u16::from_be_bytes([high, low]), ETHERNET);
    for _ in 0..VLAN_TAGS {
        if ether_type != VLAN && ether_type != VLAN_OF_PROVIDER {
            break;
        }
        let Some([_, _, high, low]) = load::<[u8; 4]>(skb, start) else {
            return;
        };
        ether_type = u16::from_be_bytes([high, low]);
        start += VLAN_TAG;
    }
    let packet = match ether_type {
        IPV4 => ipv4(skb, start),
        IPV6 => ipv6(skb, start),
        ARP => arp(skb, start),
        _ => return,
    };
    let Some(packet) = packet else {
        return;
    };
    let Transport {
        source_port,
        destination_port,
        flags,
        headers,
    } = transport(skb, &packet, start);
    let (len, segments, interface) =
        unsafe { ((*skb).len, (*skb).gso_segs.max(1), (*skb).ifindex) };
    let len = if packet.len == 0 {
        len.wrapping_sub(start)
    } else {
        packet.len
    };
    // Segments that were put together had these headers each.
    let bytes = u64::from(len) + u64::from(segments - 1) * u64::from(headers);
    let key = if from_device {
        FlowKey {
            device: packet.source,
            peer: packet.destination,
            mac,
            device_port: source_port,
            peer_port: destination_port,
            protocol: packet.protocol,
            interface,
        }
    } else {
        FlowKey {
            device: packet.destination,
            peer: packet.source,
            mac,
            device_port: destination_port,
            peer_port: source_port,
            protocol: packet.protocol,
            interface,
        }
    };
    let (sender, other) = if from_device {
        (began::DEVICE, began::PEER)
    } else {
        (began::PEER, began::DEVICE)
    };
    let began = match (packet.protocol, flags & (TCP_SYN | TCP_ACK)) {
        (TCP, TCP_SYN) => sender,
        (TCP, both) if both == TCP_SYN | TCP_ACK => other,
        (TCP, _) => began::UNKNOWN,
        _ if packet.answers => other,
        _ => sender,
    };
    counted(&key, from_device, u64::from(segments), bytes, began, flags);
}

/// Counts a packet in its flow.
#[inline(always)]
fn counted(key: &FlowKey, from_device: bool, packets: u64, bytes: u64, began: u32, flags: u8) {
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let mut found = FLOWS.get_ptr_mut(key);
    if found.is_none() {
        let new = FlowCounts {
            first: now,
            last: now,
            began,
            ..FlowCounts::default()
        };
        // Another CPU may have made it meanwhile.
        if FLOWS.insert(key, new, u64::from(BPF_NOEXIST)).is_ok() {
            count(HOOK, Count::Fired);
        }
        found = FLOWS.get_ptr_mut(key);
    }
    let Some(flow) = found else {
        failed(HOOK);
        return;
    };
    let flow = unsafe { &mut *flow };
    let is_first = from_device && flow.sent_packets == 0;
    flow.last = now;
    if flags & (TCP_FIN | TCP_RST) != 0 {
        flow.ended = 1;
    } else if flags & TCP_SYN != 0 {
        // The same ports are used again.
        flow.ended = 0;
    }
    if from_device {
        add(&mut flow.sent_packets, packets);
        add(&mut flow.sent_bytes, bytes);
    } else {
        add(&mut flow.received_packets, packets);
        add(&mut flow.received_bytes, bytes);
    }
    if !is_first {
        return;
    }
    if is_capped(key) {
        return;
    }
    let (first, began) = (flow.first, flow.began);
    // It has fired already, and is lost only where the table loses it.
    emit_several::<FlowRecord>(HOOK, kind::FLOW, To::EventsLater, 0, 0, |record| {
        let record = unsafe { &mut *record };
        record.key = *key;
        record.first = first;
        record.packets = packets;
        record.bytes = bytes;
        record.began = began;
        record.reserved = 0;
    });
}

/// A packet that ends within its transport header, or before it, has no ports and is counted all the same.
#[inline(always)]
fn transport(skb: *mut __sk_buff, packet: &Packet, start: u32) -> Transport {
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

/// Whether so many flows were told in this second that this one is left to the table: of a device, so that
/// none hides another, and on this CPU, since devices can be made up.
#[inline(always)]
fn is_capped(key: &FlowKey) -> bool {
    let [a, b, c, d, e, f] = key.mac;
    let device = u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]);
    let now = seconds();
    match DEVICE_RATES.get_ptr_mut(device) {
        Some(rate) => {
            if is_over(unsafe { &mut *rate }, now, OF_A_DEVICE) {
                return true;
            }
        }
        None => {
            let first = Rate {
                second: now,
                events: 1,
                ..Rate::default()
            };
            let _ = DEVICE_RATES.insert(device, first, 0);
        }
    }
    let Some(rate) = FLOW_RATES.get_ptr_mut(0) else {
        return false;
    };
    is_over(unsafe { &mut *rate }, now, offset!(rate_cap))
}

/// Counts one more in this second, and says whether that is more than `most`.
#[inline(always)]
fn is_over(rate: &mut Rate, now: u32, most: u32) -> bool {
    if rate.second != now {
        rate.second = now;
        rate.events = 0;
    }
    rate.events += 1;
    rate.events > most
}
