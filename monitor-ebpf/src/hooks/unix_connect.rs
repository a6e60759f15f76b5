//! Unix sockets that guard credentials:
//! `security_unix_stream_connect(struct sock *sock, struct sock *other, struct sock *newsk)`,
//! `security_unix_may_send(struct socket *sock, struct socket *other)`, and, for kernels that
//! refuse hooks on functions, `sock_send_length(struct sock *sk, int ret, int flags)` (6.4):
//! nothing can be asked of an agent without sending something.

#[cfg(feature = "local-storage")]
use aya_ebpf::helpers::bpf_skc_to_unix_sock;
use aya_ebpf::macros::{btf_tracepoint, fentry, kprobe, lsm};
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext, LsmContext, ProbeContext};
use monitor_common::{FileKey, Hook, UnixRecord, kind};

use crate::emit::{To, emit_capped, failed};
use crate::file::key_of;
use crate::kernel::{Memory, Probed, Typed, offset};
use crate::maps::{SOCKETS, WATCHED_SOCKETS};
use crate::task;

const AF_UNIX: u16 = 1;
/// Marks a unix socket in socket storage as told.
const TOLD: u32 = AF_UNIX as u32;

/// A stream socket is connected.
#[fentry(function = "security_unix_stream_connect")]
pub fn unix_connect_fentry(context: FEntryContext) -> i32 {
    connected::<Typed>(context.arg(1));
    0
}

/// A stream socket is connected.
#[lsm(hook = "unix_stream_connect")]
pub fn unix_connect_lsm(context: LsmContext) -> i32 {
    connected::<Typed>(context.arg(1));
    0
}

/// A stream socket is connected.
#[kprobe]
pub fn unix_connect_kprobe(context: ProbeContext) -> u32 {
    if let Some(other) = context.arg(1) {
        connected::<Probed>(other);
    }
    0
}

/// A datagram socket is connected, or sent from.
#[fentry(function = "security_unix_may_send")]
pub fn unix_datagram_fentry(context: FEntryContext) -> i32 {
    connected::<Typed>(Typed::follow(context.arg(1), offset!(socket_sk)));
    0
}

/// A datagram socket is connected, or sent from.
#[lsm(hook = "unix_may_send")]
pub fn unix_datagram_lsm(context: LsmContext) -> i32 {
    connected::<Typed>(Typed::follow(context.arg(1), offset!(socket_sk)));
    0
}

/// A datagram socket is connected, or sent from.
#[kprobe]
pub fn unix_datagram_kprobe(context: ProbeContext) -> u32 {
    if let Some(other) = context.arg(1) {
        connected::<Probed>(Probed::follow(other, offset!(socket_sk)));
    }
    0
}

#[inline(always)]
fn connected<M: Memory>(listener: *const u8) {
    if listener.is_null() {
        return;
    }
    let file = file_of::<M>(listener);
    if WATCHED_SOCKETS.get_ptr(file).is_some() {
        tell(file);
    }
}

/// Something was sent on a socket. Of unix sockets whose peer is a watched path the first send is
/// told.
#[btf_tracepoint(function = "sock_send_length")]
pub fn unix_connect_tp(context: BtfTracePointContext) -> i32 {
    let sk: *const u8 = context.arg(0);
    let family: u16 = Typed::read(sk, offset!(sock_family));
    if family != AF_UNIX {
        return 0;
    }
    // The accepted socket shares its listener's path.
    let file = file_of::<Probed>(Probed::follow(sk, offset!(unix_peer)));
    if WATCHED_SOCKETS.get_ptr(file).is_none() {
        return 0;
    }
    let kept = unsafe { SOCKETS.of_socket(sk, true) };
    if kept.is_null() {
        failed(Hook::UnixConnect);
        return 0;
    }
    let kept = unsafe { &mut *kept };
    if kept.family != TOLD {
        kept.family = TOLD;
        tell(file);
    }
    0
}

#[inline(always)]
fn tell(file: FileKey) {
    let hook = Hook::UnixConnect;
    let state = task::current_state();
    if state.is_null() {
        failed(hook);
        return;
    }
    let info = unsafe { &(*state).info };
    if task::is_daemon(info) {
        return;
    }
    emit_capped::<UnixRecord>(info, hook, kind::UNIX, To::Events, |record| {
        let record = unsafe { &mut *record };
        record.task = *info;
        record.file = file;
    });
}

/// The inode at which a unix socket is bound: a member of the structure around `sk`.
#[inline(always)]
fn file_of<M: Memory>(sk: *const u8) -> FileKey {
    #[cfg(feature = "local-storage")]
    if M::TYPED && offset!(kernel_reads) == 0 {
        // The helper (5.16) knows the structure; so do kernels with this lockdown and typed tasks.
        let unix: *const u8 = unsafe { bpf_skc_to_unix_sock(sk.cast_mut().cast()) }.cast();
        if unix.is_null() {
            return FileKey::default();
        }
        let dentry = Typed::follow(unix, offset!(unix_path) + offset!(path_dentry));
        if dentry.is_null() {
            return FileKey::default();
        }
        return key_of::<Typed>(Typed::follow(dentry, offset!(dentry_inode)));
    }
    let dentry = Probed::follow(sk, offset!(unix_path) + offset!(path_dentry));
    key_of::<Probed>(Probed::follow(dentry, offset!(dentry_inode)))
}
