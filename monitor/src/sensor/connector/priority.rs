//! How soon the thread runs that reads /proc.
//!
//! A short-lived program ends half a millisecond after its exec. At the usual priority, on a machine
//! with work to do, half of a thousand such programs were gone before their executable was read; at
//! the least real-time priority, one or two. Niceness made no difference.

use std::io;

/// Gives the calling thread the least real-time priority, which threads that it makes do not
/// inherit. It cannot take a CPU for itself: the kernel leaves a part of each second to all others
/// (`kernel.sched_rt_runtime_us`).
pub(super) fn raise() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // SAFETY: 0 is the calling thread, and the kernel reads `parameters`, which live through the
    // call.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
