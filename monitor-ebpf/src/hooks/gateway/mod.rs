//! `tc` ingress and egress of the interfaces behind which devices are: what devices send and are sent.
//!
//! Each packet is counted in its flow. The daemon is told of the first that the device sends; all else it
//! reads from the table now and then. What finds no room in the ring, or is one of too many, is in the table and so told
//! later. Nothing is dropped or changed, and what other classifiers decide stands.

mod packet;

use aya_ebpf::bindings::{__sk_buff, BPF_NOEXIST, TC_ACT_UNSPEC};
use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use monitor_common::{FlowCounts, FlowKey, FlowRecord, Hook, Rate, began, kind};

use crate::emit::{Count, To, add, count, emit_several, failed, seconds};
use crate::kernel::offset;
use crate::maps::{DEVICE_RATES, FLOW_RATES, FLOWS};

use packet::{Frame, TCP, Transport, frame, packet, transport};

const HOOK: Hook = Hook::GatewayFlow;

/// Most flows of one device that are told at once, in a second.
const OF_A_DEVICE: u32 = 256;

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

#[inline(always)]
fn look(skb: *mut __sk_buff, from_device: bool) {
    let Some(frame) = frame(skb, from_device) else {
        return;
    };
    let Some(packet) = packet(skb, &frame) else {
        return;
    };
    let Frame { mac, start, .. } = frame;
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
