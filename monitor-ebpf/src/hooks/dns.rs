//! `cgroup_skb/ingress` at the root of the cgroup v2 hierarchy: answers of the domain name system,
//! before the socket that asked gets them. What the socket's owner does with an answer is so always
//! told after the answer.
//!
//! Every packet for a socket of this host comes by. The port that the socket is connected to lets
//! most of them go after two loads.

use core::arch::asm;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_sk_fullsock, bpf_skb_load_bytes};
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use monitor_common::{DNS_BYTES, DnsRecord, Hook, kind};

use crate::emit::{Count, To, count, emit, seconds};
use crate::kernel::offset;
use crate::maps::{ANSWER_RATES, SOCKETS};

/// Lets the packet go on; 0 would drop it.
const PASS: i32 = 1;
const PORT: u16 = 53;
const TCP: u8 = 6;
const UDP: u8 = 17;
const TCP_SYN: u8 = 2;
/// A message's header: nothing shorter is an answer.
const MESSAGE_HEADER: u32 = 12;
/// Most records of one TCP packet, which may be many segments that the kernel has put together.
const PIECES: u32 = 16;

/// Answers to whoever has asked from this host.
#[cgroup_skb(ingress)]
pub fn dns(context: SkBuffContext) -> i32 {
    look(context.skb.skb);
    PASS
}

#[inline(always)]
fn look(skb: *mut __sk_buff) {
    // In network byte order, in the upper half. 0 for a socket that is not connected.
    let peer = u32::from_be(unsafe { (*skb).remote_port }) as u16;
    if peer != PORT && peer != 0 {
        return;
    }
    let (start, end) = unsafe { ((*skb).data as usize, (*skb).data_end as usize) };
    if start + 20 > end {
        return;
    }
    let first: u8 = at(start);
    let (protocol, header): (u8, usize) = if first >> 4 == 4 {
        (at(start + 9), usize::from(first & 15) * 4)
    } else if start + 40 > end {
        return;
    } else {
        // Extension headers are not followed: no resolver sends any.
        (at(start + 6), 40)
    };
    let transport = start + header;
    if protocol == UDP {
        if transport + 8 > end {
            return;
        }
        let [source, target, len, _]: [u16; 4] = at(transport);
        if u16::from_be(source) == PORT {
            datagram(skb, header as u32 + 8, peer);
        } else if source == target && u16::from_be(len) == 8 {
            // An empty one from a port to itself: the self-test, to which no port 53 is free.
            piece(skb, 0, 0, UDP, 0);
        }
    } else if protocol == TCP && peer == PORT {
        if transport + 20 > end {
            return;
        }
        let sequence = u32::from_be(at(transport + 4));
        let words: u8 = at(transport + 12);
        let flags: u8 = at(transport + 13);
        let payload = header as u32 + u32::from(words >> 4) * 4;
        stream(skb, payload, sequence, flags & TCP_SYN != 0);
    }
}

/// A datagram from port 53. A socket that is not connected takes datagrams from anybody, so it must
/// have sent something to such a port itself: or strangers could name addresses here.
#[inline(always)]
fn datagram(skb: *mut __sk_buff, payload: u32, peer: u16) {
    let whole = unsafe { (*skb).len }.wrapping_sub(payload);
    if whole as i32 <= MESSAGE_HEADER as i32 || (peer != PORT && !has_asked(skb)) {
        return;
    }
    if is_positive_answer(skb, payload) {
        piece(skb, payload, whole, UDP, 0);
    }
}

/// A segment of a connection to port 53 that was made from this host. The one that answers a SYN is
/// told for its number, from which the stream is counted.
#[inline(always)]
fn stream(skb: *mut __sk_buff, payload: u32, sequence: u32, syn: bool) {
    let mut left = unsafe { (*skb).len }.wrapping_sub(payload);
    if (left as i32 <= 0 && !syn) || !has_asked(skb) {
        return;
    }
    let (mut payload, mut sequence) = (payload, sequence.wrapping_add(u32::from(syn)));
    for _ in 0..PIECES {
        piece(skb, payload, left, TCP, sequence);
        if left as i32 <= DNS_BYTES as i32 {
            break;
        }
        left -= DNS_BYTES as u32;
        payload += DNS_BYTES as u32;
        sequence = sequence.wrapping_add(DNS_BYTES as u32);
    }
}

/// Whether this socket was sent to a port 53 from this host, as the hooks on connect and sendmsg
/// have noted.
#[inline(always)]
fn has_asked(skb: *mut __sk_buff) -> bool {
    let sk = unsafe { (*skb).__bindgen_anon_2.sk };
    if sk.is_null() {
        return false;
    }
    let sk = unsafe { bpf_sk_fullsock(sk) };
    if sk.is_null() {
        return false;
    }
    let kept = unsafe { SOCKETS.of_socket(sk.cast::<u8>().cast_const(), false) };
    !kept.is_null() && unsafe { (*kept).port } == PORT
}

/// Whether the message is an answer, without an error, and with records: half of what resolvers send
/// names nothing.
#[inline(always)]
fn is_positive_answer(skb: *mut __sk_buff, payload: u32) -> bool {
    let mut header = [0u8; 8];
    let read = unsafe {
        bpf_skb_load_bytes(
            skb.cast(),
            payload,
            header.as_mut_ptr().cast(),
            header.len() as u32,
        )
    };
    let [_, _, flags, rcode, _, _, many, few] = header;
    read == 0 && flags & 0x80 != 0 && rcode & 0x0f == 0 && (many | few) != 0
}

/// One record with the next bytes of the payload, unless there were too many of late: who floods this
/// host with answers, or itself, shall not fill the ring. What is not told stays an address.
#[inline(always)]
fn piece(skb: *mut __sk_buff, payload: u32, left: u32, protocol: u8, sequence: u32) {
    if is_capped() {
        count(Hook::Dns, Count::Capped);
        return;
    }
    let socket = unsafe { bpf_get_socket_cookie(skb.cast()) };
    emit::<DnsRecord>(Hook::Dns, kind::DNS, To::EventsLater, |record| {
        let record = unsafe { &mut *record };
        record.socket = socket;
        record.sequence = sequence;
        record.left = left;
        record.protocol = u16::from(protocol);
        record.len = 0;
        record.reserved = 0;
        let len = if left < DNS_BYTES as u32 {
            left
        } else {
            DNS_BYTES as u32
        };
        // Only `len` bytes are written; the rest is what the ring held before, which the daemon
        // does not read.
        if let Some(len) = bounded(u64::from(len)) {
            let read = unsafe {
                bpf_skb_load_bytes(
                    skb.cast(),
                    payload,
                    record.bytes.as_mut_ptr().cast(),
                    len as u32,
                )
            };
            if read == 0 {
                record.len = len as u16;
            }
        }
    });
}

/// A length from 1 to what a record holds. By hand, because the compiler joins both comparisons into
/// one that older verifiers learn no lower bound from.
#[inline(always)]
fn bounded(mut len: u64) -> Option<u64> {
    let fits: u64;
    unsafe {
        asm!(
            "{fits} = 0",
            "if {len} s> {most} goto +2",
            "if {len} s< 1 goto +1",
            "{fits} = 1",
            len = inout(reg) len,
            fits = out(reg) fits,
            most = const DNS_BYTES,
            options(nomem, nostack),
        );
    }
    (fits != 0).then_some(len)
}

/// Whether this CPU has told of as many in this second as one thread may of other events.
#[inline(always)]
fn is_capped() -> bool {
    let Some(rate) = ANSWER_RATES.get_ptr_mut(0) else {
        return false;
    };
    let (rate, now) = (unsafe { &mut *rate }, seconds());
    if rate.second != now {
        rate.second = now;
        rate.events = 0;
    }
    rate.events += 1;
    rate.events > offset!(rate_cap)
}

/// Reads from the packet at a place that was compared with its end.
#[inline(always)]
fn at<T: Copy>(address: usize) -> T {
    unsafe { (address as *const T).read_unaligned() }
}
