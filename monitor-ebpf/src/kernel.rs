//! Reads of kernel memory at offsets that the daemon took from the running kernel's BTF.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use monitor_common::Offsets;

/// Set by the daemon before loading; read-only and frozen, so constants to the verifier.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata")]
pub static OFFSETS: Offsets = unsafe { core::mem::zeroed() };

/// A member of [`OFFSETS`]: a volatile read, or the compiler would fold in the zeros of the build.
macro_rules! offset {
    ($field:ident) => {
        $crate::kernel::constant(&raw const $crate::kernel::OFFSETS.$field)
    };
}
pub(crate) use offset;

/// What [`offset!`] expands to.
#[inline(always)]
pub fn constant(field: *const u32) -> u32 {
    // SAFETY: only called with a member of `OFFSETS`.
    unsafe { core::ptr::read_volatile(field) }
}

/// An offset that says that this kernel has no such member.
pub const ABSENT: u32 = u32::MAX;

/// Reads a `T` at `base + offset` by bpf_probe_read_kernel; all zero when that memory is not there,
/// which includes a null `base`.
///
/// Without a branch on purpose: every `Option` in a chain of reads doubles the paths that the
/// verifier walks, and a task alone takes thirty reads.
#[inline(always)]
pub fn read<T: Copy>(base: *const u8, offset: u32) -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    unsafe {
        // The helper zeroes the destination when it faults.
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            base.wrapping_add(offset as usize).cast(),
        );
        value.assume_init()
    }
}

/// Follows a pointer at `base + offset`; null when it is null or not there.
#[inline(always)]
pub fn follow(base: *const u8, offset: u32) -> *const u8 {
    read(base, offset)
}

/// Reads a `T` at `base + offset` directly: about 2 ns against 35 for a probe read.
///
/// # Safety
/// `base` is a pointer that the verifier knows by BTF, and `offset` a constant of [`offset!`]. A
/// stale pointer reads as zero; the kernel sees to that.
#[inline(always)]
pub unsafe fn direct<T: Copy>(base: *const u8, offset: u32) -> T {
    unsafe { core::ptr::read_volatile(base.add(offset as usize).cast::<T>()) }
}
