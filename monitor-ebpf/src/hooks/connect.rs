//! `cgroup/connect4`, `connect6`, `sendmsg4`, `sendmsg6` at the root of the cgroup v2 hierarchy:
//! every connect and every datagram to an address, io_uring's and Fast Open's too.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::bpf_sock_addr;
use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use monitor_common::{ConnectRecord, Hook, SocketInfo, TaskInfo, kind};

use crate::emit::{To, emit_capped, failed};
use crate::kernel::Own;
use crate::maps::SOCKETS;
use crate::task;

/// Lets the connection go on; 0 would deny it.
const PROCEED: i32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// TCP and connected UDP over IPv4.
#[cgroup_sock_addr(connect4)]
pub fn connect4(context: SockAddrContext) -> i32 {
    addressed(&context, Hook::Connect4, AF_INET)
}

/// TCP and connected UDP over IPv6.
#[cgroup_sock_addr(connect6)]
pub fn connect6(context: SockAddrContext) -> i32 {
    addressed(&context, Hook::Connect6, AF_INET6)
}

/// Datagrams to an address over IPv4.
#[cgroup_sock_addr(sendmsg4)]
pub fn sendmsg4(context: SockAddrContext) -> i32 {
    addressed(&context, Hook::Sendmsg4, AF_INET)
}

/// Datagrams to an address over IPv6.
#[cgroup_sock_addr(sendmsg6)]
pub fn sendmsg6(context: SockAddrContext) -> i32 {
    addressed(&context, Hook::Sendmsg6, AF_INET6)
}

#[inline(always)]
fn addressed(context: &SockAddrContext, hook: Hook, family: u32) -> i32 {
    let addr = unsafe { &*context.sock_addr };
    let sk = unsafe { addr.__bindgen_anon_1.sk };
    let destination = Destination {
        socket: unsafe { bpf_get_socket_cookie(context.as_ptr()) },
        address: address(addr, family),
        port: u16::from_be(addr.user_port as u16),
        protocol: addr.protocol as u16,
        family,
    };
    let kept = unsafe { SOCKETS.of_socket(sk.cast::<u8>().cast_const(), true) };
    connected(kept, &destination, hook);
    PROCEED
}

/// Where a socket is going.
pub struct Destination {
    /// The socket's cookie, or what else names it.
    pub socket: u64,
    /// In network byte order, IPv4 as an IPv4-mapped one.
    pub address: [u8; 16],
    pub port: u16,
    pub protocol: u16,
    pub family: u32,
}

/// Tells of a connection, and keeps with its socket who made it.
#[inline(always)]
pub fn connected(kept: *mut SocketInfo, to: &Destination, hook: Hook) {
    if kept.is_null() {
        failed(hook);
        return;
    }
    let kept = unsafe { &mut *kept };
    if kept.family == to.family && kept.port == to.port && same(&kept.address, &to.address) {
        // The next datagram of the same conversation says nothing new.
        return;
    }
    // Programs at a cgroup have no task storage on most kernels.
    let mut info = TaskInfo::default();
    task::capture::<Own>(task::current(), &mut info);
    *kept = SocketInfo {
        task: info,
        socket: to.socket,
        address: to.address,
        port: to.port,
        protocol: to.protocol,
        family: to.family,
    };
    emit_capped::<ConnectRecord>(&info, hook, kind::CONNECT, To::EventsLater, |record| {
        let record = unsafe { &mut *record };
        record.task = info;
        record.socket = to.socket;
        record.address = to.address;
        record.port = to.port;
        record.protocol = to.protocol;
        record.family = to.family;
    });
}

/// The address in network byte order, IPv4 as an IPv4-mapped one.
#[inline(always)]
fn address(addr: &bpf_sock_addr, family: u32) -> [u8; 16] {
    let words = if family == AF_INET {
        [0, 0, 0xffff_u32.to_be(), addr.user_ip4]
    } else {
        [
            addr.user_ip6[0],
            addr.user_ip6[1],
            addr.user_ip6[2],
            addr.user_ip6[3],
        ]
    };
    unsafe { core::mem::transmute(words) }
}

/// Compares without memcmp, which the BPF target has none of.
#[inline(always)]
fn same(a: &[u8; 16], b: &[u8; 16]) -> bool {
    u128::from_ne_bytes(*a) == u128::from_ne_bytes(*b)
}
