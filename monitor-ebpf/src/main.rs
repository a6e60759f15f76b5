//! Credwatch's kernel half.
//!
//! Each hook is a thin entry in `hooks/` over the parts here: `task` (who acts), `file` (what is done
//! to files), `path` (where a file lies), `emit` (into a ring, losses counted), `storage` (what is
//! kept with tasks and sockets), `kernel` (reads of kernel memory at offsets that the daemon found in
//! BTF). A hook filters before it emits: what concerns no credential costs
//! a lookup and sends nothing.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod emit;
mod file;
mod hooks;
mod kernel;
mod maps;
mod path;
mod storage;
mod task;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // No code path panics; the verifier would refuse a loop that can be reached.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
