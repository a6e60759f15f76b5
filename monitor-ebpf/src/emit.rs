//! Into the ring: reserve, fill, submit, count what found no room.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns};
use monitor_common::{Header, Hook, HookCounters};

use crate::kernel::offset;
use crate::maps::{COUNTERS, EVENTS};

/// When the daemon should look at the ring.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// At its next turn, or when enough has gathered.
    Later,
    /// At once: a rare event that a person waits for.
    Now,
}

/// Counts that a hook ran past its filter.
#[inline(always)]
pub fn fired(hook: Hook) {
    count(hook, |counters| counters.fired += 1);
}

/// Counts a lookup or a read of kernel memory that failed.
#[inline(always)]
pub fn failed(hook: Hook) {
    count(hook, |counters| counters.errors += 1);
}

#[inline(always)]
fn count(hook: Hook, change: impl FnOnce(&mut HookCounters)) {
    if let Some(counters) = COUNTERS.get_ptr_mut(hook as u32) {
        change(unsafe { &mut *counters });
    }
}

/// Reserves a record of type `T`, lets `fill` write all of it behind the header, and submits it. A
/// full ring is counted as lost; the sequence number goes on, so the daemon sees the gap too.
///
/// `fill` must write every byte behind the header: ring memory holds what was there before.
#[inline(always)]
pub fn emit<T: 'static>(hook: Hook, kind: u16, wake: Wake, fill: impl FnOnce(*mut T)) {
    let Some(counters) = COUNTERS.get_ptr_mut(hook as u32) else {
        return;
    };
    let counters = unsafe { &mut *counters };
    counters.fired += 1;
    let Some(mut entry) = EVENTS.reserve::<T>(0) else {
        counters.lost += 1;
        return;
    };
    counters.emitted += 1;
    let record = entry.as_mut_ptr();
    let header = Header {
        kind,
        hook: hook as u16,
        cpu: unsafe { bpf_get_smp_processor_id() },
        time: unsafe { bpf_ktime_get_boot_ns() },
        sequence: counters.emitted + counters.lost,
    };
    // Every record begins with its header.
    unsafe { record.cast::<Header>().write(header) };
    fill(record);
    let waiting = EVENTS.query(u64::from(BPF_RB_AVAIL_DATA));
    let flags = if wake == Wake::Now || waiting >= u64::from(offset!(wakeup_bytes)) {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    };
    entry.submit(u64::from(flags));
}
