//! The kernel half: proves the build until the real programs land.
#![no_std]
#![no_main]

use aya_ebpf::{
    macros::{btf_tracepoint, map},
    maps::RingBuf,
    programs::BtfTracePointContext,
};

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 16, 0);

#[btf_tracepoint(function = "sched_process_exec")]
fn process_exec(_ctx: BtfTracePointContext) -> i32 {
    if let Some(mut entry) = EVENTS.reserve::<u64>(0) {
        entry.write(1);
        entry.submit(0);
    }
    0
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
