//! `security_socket_connect(struct socket *sock, struct sockaddr *address, int addrlen)`,
//! `security_socket_sendmsg(struct socket *sock, struct msghdr *msg, int size)`: for hosts without
//! a cgroup v2 hierarchy. Both get the kernel's own copy of the address.

use aya_ebpf::macros::fentry;
#[cfg(not(feature = "local-storage"))]
use aya_ebpf::macros::kprobe;
use aya_ebpf::programs::FEntryContext;
#[cfg(not(feature = "local-storage"))]
use aya_ebpf::programs::ProbeContext;
use monitor_common::Hook;

use super::connect::{Destination, connected};
use crate::kernel::{Memory, Probed, Typed, offset};
use crate::maps::SOCKETS;

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// A socket is connected.
#[fentry(function = "security_socket_connect")]
pub fn connect_fentry(context: FEntryContext) -> i32 {
    addressed::<Typed>(
        context.arg(0),
        context.arg(1),
        [Hook::Connect4, Hook::Connect6],
    );
    0
}

/// A socket is connected. Only where sockets are kept by number: the verifier takes no socket from
/// a register for its storage.
#[cfg(not(feature = "local-storage"))]
#[kprobe]
pub fn connect_kprobe(context: ProbeContext) -> u32 {
    if let (Some(socket), Some(address)) = (context.arg(0), context.arg(1)) {
        addressed::<Probed>(socket, address, [Hook::Connect4, Hook::Connect6]);
    }
    0
}

/// A message is sent, perhaps to an address.
#[fentry(function = "security_socket_sendmsg")]
pub fn sendmsg_fentry(context: FEntryContext) -> i32 {
    sent::<Typed>(context.arg(0), context.arg(1));
    0
}

/// A message is sent, perhaps to an address.
#[cfg(not(feature = "local-storage"))]
#[kprobe]
pub fn sendmsg_kprobe(context: ProbeContext) -> u32 {
    if let (Some(socket), Some(message)) = (context.arg(0), context.arg(1)) {
        sent::<Probed>(socket, message);
    }
    0
}

#[inline(always)]
fn sent<M: Memory>(socket: *const u8, message: *const u8) {
    let address = Probed::follow(message, offset!(message_name));
    if !address.is_null() {
        addressed::<M>(socket, address, [Hook::Sendmsg4, Hook::Sendmsg6]);
    }
}

/// `hooks` are those of IPv4 and IPv6.
#[inline(always)]
fn addressed<M: Memory>(socket: *const u8, address: *const u8, hooks: [Hook; 2]) {
    let family = u32::from(Probed::read::<u16>(address, 0));
    let (hook, bytes) = match family {
        AF_INET => {
            let ip: [u8; 4] = Probed::read(address, 4);
            let words = [0, 0, 0xffff_u32.to_be(), u32::from_ne_bytes(ip)];
            (hooks[0], unsafe {
                core::mem::transmute::<[u32; 4], [u8; 16]>(words)
            })
        }
        AF_INET6 => (hooks[1], Probed::read(address, 8)),
        _ => return,
    };
    let sk = M::follow(socket, offset!(socket_sk));
    if sk.is_null() {
        return;
    }
    let destination = Destination {
        // Names it as well as a cookie while it lives.
        socket: sk.addr() as u64,
        address: bytes,
        port: u16::from_be(Probed::read(address, 2)),
        protocol: Probed::read(sk, offset!(sock_protocol)),
        family,
    };
    let kept = unsafe { SOCKETS.of_socket(sk, true) };
    connected(kept, &destination, hook);
}
