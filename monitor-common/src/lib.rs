//! The records that cross from Credwatch's kernel half to its daemon, and the settings that go the
//! other way. Both halves compile this crate, so layouts agree by construction; sizes are asserted
//! because a record that grows by padding would carry kernel memory to user space.
//!
//! Rules for a record: `repr(C)`, no bool, no enum, no padding, integers in native byte order,
//! times in nanoseconds of CLOCK_BOOTTIME, devices as the kernel encodes them
//! (`major << 20 | minor`).

#![cfg_attr(not(test), no_std)]
#![warn(missing_docs)]

mod offsets;
mod records;

pub use offsets::Offsets;
pub use records::*;
