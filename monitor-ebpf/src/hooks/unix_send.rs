//! `sock_send_length(struct sock *sk, int ret, int flags)`: something was sent on a socket. Of unix
//! sockets whose peer is a watched path the first send is told; nothing can be asked of an agent
//! without one. A hook on connect itself needs trampolines or `cgroup/connect_unix`, of which
//! aya 0.14 knows nothing.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use monitor_common::{FileKey, Hook, UnixRecord, kind};

use crate::emit::{Wake, emit, failed};
use crate::kernel::{direct, follow, offset, read};
use crate::maps::{SOCKETS, WATCHED_SOCKETS};
use crate::task;

const AF_UNIX: u16 = 1;
/// Marks a unix socket in socket storage as told.
const TOLD: u32 = AF_UNIX as u32;

/// The first send to a watched unix socket.
#[btf_tracepoint(function = "sock_send_length")]
pub fn unix_send(context: BtfTracePointContext) -> i32 {
    let sk: *const u8 = context.arg(0);
    let family: u16 = unsafe { direct(sk, offset!(sock_family)) };
    if family != AF_UNIX {
        return 0;
    }
    let file = peer_file(sk);
    if WATCHED_SOCKETS.get_ptr(file).is_none() {
        return 0;
    }
    let kept = unsafe { SOCKETS.of_socket(sk, true) };
    let info = task::current_info();
    if kept.is_null() || info.is_null() {
        failed(Hook::UnixConnect);
        return 0;
    }
    let (kept, info) = unsafe { (&mut *kept, &*info) };
    if kept.family == TOLD || info.pid == offset!(own_pid) {
        return 0;
    }
    kept.family = TOLD;
    emit::<UnixRecord>(Hook::UnixConnect, kind::UNIX, Wake::Now, |record| {
        let record = unsafe { &mut *record };
        record.task = *info;
        record.file = file;
    });
    0
}

/// The inode at which the other end listens. The accepted socket shares its listener's path.
#[inline(always)]
fn peer_file(sk: *const u8) -> FileKey {
    let path = follow(sk, offset!(unix_peer)).wrapping_add(offset!(unix_path) as usize);
    let inode = follow(follow(path, offset!(path_dentry)), offset!(dentry_inode));
    FileKey {
        dev: task::device(inode),
        ino: read(inode, offset!(inode_number)),
    }
}
