//! Reads of kernel memory at offsets that the daemon took from the running kernel's BTF.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use monitor_common::Offsets;

/// Set by the daemon before loading; read-only and frozen, so constants to the verifier, which
/// drops what they rule out.
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

/// How to read from a structure of the kernel.
pub trait Memory {
    /// Whether the verifier knows what it reads.
    #[cfg_attr(
        not(feature = "local-storage"),
        expect(dead_code, reason = "asked only there")
    )]
    const TYPED: bool;

    /// Reads a `T` at `base + offset`; all zero when that memory is not there, which includes a
    /// null `base`.
    ///
    /// Without a branch on purpose: every `Option` in a chain of reads doubles the paths that the
    /// verifier walks, and a task alone takes thirty reads.
    fn read<T: Copy>(base: *const u8, offset: u32) -> T;

    /// Follows a pointer at `base + offset`; null when it is null or not there.
    #[inline(always)]
    fn follow(base: *const u8, offset: u32) -> *const u8 {
        Self::read(base, offset)
    }
}

/// Of pointers that the verifier knows by BTF: direct loads, about 2 ns each, and allowed under
/// lockdown=confidentiality. A stale pointer reads as zero; the kernel sees to that.
pub enum Typed {}

/// Of any address: bpf_probe_read_kernel, about 35 ns each.
pub enum Probed {}

/// Of the current task's structures.
#[cfg(feature = "local-storage")]
pub type Own = Typed;
/// Of the current task's structures: before 5.11 the verifier does not know its type.
#[cfg(not(feature = "local-storage"))]
pub type Own = Probed;

impl Memory for Typed {
    const TYPED: bool = true;

    #[inline(always)]
    fn read<T: Copy>(base: *const u8, offset: u32) -> T {
        // SAFETY: the verifier refuses a load that its type does not allow.
        unsafe { core::ptr::read_volatile(base.add(offset as usize).cast::<T>()) }
    }
}

impl Memory for Probed {
    const TYPED: bool = false;

    #[inline(always)]
    fn read<T: Copy>(base: *const u8, offset: u32) -> T {
        let mut value = MaybeUninit::<T>::zeroed();
        if offset!(kernel_reads) != 0 {
            unsafe {
                // The helper zeroes the destination when it faults.
                bpf_probe_read_kernel(
                    value.as_mut_ptr().cast(),
                    size_of::<T>() as u32,
                    base.wrapping_add(offset as usize).cast(),
                );
            }
        }
        unsafe { value.assume_init() }
    }
}
