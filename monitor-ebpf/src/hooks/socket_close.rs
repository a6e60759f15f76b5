//! `tcp_destroy_sock(struct sock *sk)`: the end of a TCP socket. It may come in softirq under any
//! task, so who connected it comes from socket storage.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use monitor_common::{CloseRecord, Hook, kind};

use crate::emit::{To, emit};
use crate::kernel::{Memory, Probed, offset};
use crate::maps::SOCKETS;

/// A socket that was connected from this host ends, with what it carried.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub fn socket_close_tp(context: BtfTracePointContext) -> i32 {
    let sk: *const u8 = context.arg(0);
    let kept = unsafe { SOCKETS.of_socket(sk, false) };
    if kept.is_null() {
        return 0;
    }
    let kept = unsafe { &*kept };
    if kept.family == 0 {
        return 0;
    }
    emit::<CloseRecord>(Hook::SocketClose, kind::CLOSE, To::EventsLater, |record| {
        let record = unsafe { &mut *record };
        record.task = kept.task;
        record.socket = kept.socket;
        record.address = kept.address;
        record.port = kept.port;
        record.protocol = kept.protocol;
        record.family = kept.family;
        record.sent = Probed::read(sk, offset!(tcp_sent));
        record.received = Probed::read(sk, offset!(tcp_received));
    });
    SOCKETS.forget_socket(sk);
    0
}
