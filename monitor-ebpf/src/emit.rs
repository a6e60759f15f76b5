//! Into a ring: reserve, fill, submit, count what found no room.

use core::arch::asm;

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns};
use monitor_common::{CappedRecord, Header, Hook, HookCounters, Rate, TaskInfo, kind};

use crate::kernel::{Memory, Own, offset};
use crate::maps::{COUNTERS, CREDENTIALS, EVENTS, RATES};
use crate::task;

/// Where a record goes, and when the daemon should look there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// The ring of watched credentials; at once.
    Credentials,
    /// The ring of everything else; at once, because a person waits for it.
    Events,
    /// The same, at the daemon's next turn or when enough has gathered.
    EventsLater,
}

/// One of the counts.
pub enum Count {
    Fired,
    Error,
    Folded,
    Capped,
}

/// Counts something that is no record. What is folded or capped has fired too.
#[inline(always)]
pub fn count(hook: Hook, what: Count) {
    let Some(counters) = COUNTERS.get_ptr_mut(hook as u32) else {
        return;
    };
    let HookCounters {
        fired,
        errors,
        folded,
        capped,
        ..
    } = unsafe { &mut *counters };
    match what {
        Count::Fired => add(fired, 1),
        Count::Error => add(errors, 1),
        Count::Folded => {
            add(fired, 1);
            add(folded, 1);
        }
        Count::Capped => {
            add(fired, 1);
            add(capped, 1);
        }
    }
}

/// Counts a lookup or a read of kernel memory that failed.
#[inline(always)]
pub fn failed(hook: Hook) {
    count(hook, Count::Error);
}

/// Atomic, because a program may be preempted by another on the same CPU and the sums are promised
/// to be exact. By hand, because Rust's BPF target has only loads and stores of atomics; this is
/// the one that every kernel knows.
#[inline(always)]
pub fn add(counter: &mut u64, number: u64) {
    unsafe {
        asm!(
            "lock *(u64 *)({counter} + 0) += {number}",
            counter = in(reg) counter,
            number = in(reg) number,
            options(nostack),
        );
    }
}

/// Reserves a record of type `T`, lets `fill` write all of it behind the header, and submits it. A
/// full ring is counted as lost.
///
/// `fill` must write every byte behind the header: ring memory holds what was there before.
#[inline(always)]
pub fn emit<T: 'static>(hook: Hook, kind: u16, to: To, fill: impl FnOnce(*mut T)) {
    emit_several(hook, kind, to, 1, 0, fill);
}

/// As [`emit`], for one event now, or none, and `before` that were counted as they happened: lost
/// together, where there is no room.
#[inline(always)]
pub fn emit_several<T: 'static>(
    hook: Hook,
    kind: u16,
    to: To,
    now: u64,
    before: u64,
    fill: impl FnOnce(*mut T),
) {
    let Some(counters) = COUNTERS.get_ptr_mut(hook as u32) else {
        return;
    };
    let counters = unsafe { &mut *counters };
    add(&mut counters.fired, now);
    let ring = if to == To::Credentials {
        &CREDENTIALS
    } else {
        &EVENTS
    };
    let Some(mut entry) = ring.reserve::<T>(0) else {
        add(&mut counters.lost, now + before);
        return;
    };
    add(&mut counters.emitted, 1);
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
    let wake = to != To::EventsLater
        || ring.query(u64::from(BPF_RB_AVAIL_DATA)) >= u64::from(offset!(wakeup_bytes));
    let flags = if wake {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    };
    entry.submit(u64::from(flags));
}

/// As [`emit`], unless the thread has made more events in this second than any honest one does:
/// then it is counted, and told with the thread's next event or its end.
#[inline(always)]
pub fn emit_capped<T: 'static>(
    info: &TaskInfo,
    hook: Hook,
    kind: u16,
    to: To,
    fill: impl FnOnce(*mut T),
) {
    if is_capped(info, hook) {
        count(hook, Count::Capped);
    } else {
        emit::<T>(hook, kind, to, fill);
    }
}

/// By thread and not by process: no two CPUs run the same thread, so the counts are exact.
#[inline(always)]
fn is_capped(info: &TaskInfo, hook: Hook) -> bool {
    let thread: u32 = Own::read(task::current(), offset!(task_pid));
    let now = seconds();
    let Some(rate) = RATES.get_ptr_mut(thread) else {
        let first = Rate {
            second: now,
            events: 1,
            ..Rate::default()
        };
        let _ = RATES.insert(thread, first, 0);
        return false;
    };
    let rate = unsafe { &mut *rate };
    if rate.second != now {
        rate.second = now;
        rate.events = 0;
        tell_capped(rate, info);
    }
    rate.events += 1;
    if rate.events <= offset!(rate_cap) {
        return false;
    }
    if rate.hook != hook as u32 {
        tell_capped(rate, info);
        rate.hook = hook as u32;
    }
    rate.capped += 1;
    true
}

/// Tells what is left to tell of a thread that ends.
#[inline(always)]
pub fn end_rate(info: &TaskInfo) {
    let thread: u32 = Own::read(task::current(), offset!(task_pid));
    if let Some(rate) = RATES.get_ptr_mut(thread) {
        tell_capped(unsafe { &mut *rate }, info);
        let _ = RATES.remove(thread);
    }
}

/// Tells how many events of a thread were not delivered.
#[inline(always)]
fn tell_capped(rate: &mut Rate, info: &TaskInfo) {
    if rate.capped == 0 {
        return;
    }
    // No event of a hook: the counters do not count it.
    let Some(mut entry) = CREDENTIALS.reserve::<CappedRecord>(0) else {
        return;
    };
    let record = unsafe { &mut *entry.as_mut_ptr() };
    record.header = Header {
        kind: kind::CAPPED,
        hook: rate.hook as u16,
        cpu: unsafe { bpf_get_smp_processor_id() },
        time: unsafe { bpf_ktime_get_boot_ns() },
        sequence: 0,
    };
    record.task = *info;
    record.count = rate.capped;
    record.hook = rate.hook;
    record.reserved = 0;
    rate.capped = 0;
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// Seconds of CLOCK_BOOTTIME; never 0, which stands for "never".
#[inline(always)]
pub fn seconds() -> u32 {
    ((unsafe { bpf_ktime_get_boot_ns() } / 1_000_000_000) as u32).max(1)
}
