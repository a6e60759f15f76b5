//! Paths, walked in kernel memory from the file's dentry upwards. By probe reads only: the walk goes
//! over mount points, from a member to the structure around it, which typed pointers do not allow.

use core::arch::asm;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use monitor_common::{PATH_BYTES, PATH_SLACK, ReversedPath};

use crate::kernel::{Memory, Probed, offset};

/// Most components that are walked: a deeper path keeps its end.
const COMPONENTS: usize = 28;

/// Writes the path of a `struct file` as seen from the root of its mount namespace.
#[inline(always)]
pub fn of_file(file: *const u8, path: &mut ReversedPath) {
    let at = file.wrapping_add(offset!(file_path) as usize);
    walk(
        Probed::follow(at, offset!(path_dentry)),
        Probed::follow(at, offset!(path_mnt)),
        path,
    );
}

/// Writes the path of a dentry below the root of its file system.
#[inline(always)]
pub fn of_dentry(dentry: *const u8, path: &mut ReversedPath) {
    walk(dentry, core::ptr::null(), path);
}

/// Walks from `dentry` to the root, over mount points when `mount` (a `struct vfsmount`) is given.
///
/// Only `path.len` bytes are written; the rest of the record is what the ring held before, which
/// the daemon does not read.
#[inline(always)]
fn walk(dentry: *const u8, mount: *const u8, path: &mut ReversedPath) {
    let (mut dentry, mut mount) = (dentry, mount);
    path.len = 0;
    path.complete = 0;
    if offset!(kernel_reads) == 0 {
        // The daemon asks /proc for what this kernel does not let us read.
        return;
    }
    let mut len = 0usize;
    for _ in 0..COMPONENTS {
        if dentry == Probed::follow(mount, offset!(vfsmount_root)) {
            // `mount` is a member of the structure that knows where it is mounted.
            let outer = mount.wrapping_sub(offset!(mount_mnt) as usize);
            let parent = Probed::follow(outer, offset!(mount_parent));
            if parent == outer {
                path.complete = 1;
                break;
            }
            dentry = Probed::follow(outer, offset!(mount_mountpoint));
            mount = parent.wrapping_add(offset!(mount_mnt) as usize);
            continue;
        }
        let parent = Probed::follow(dentry, offset!(dentry_parent));
        if parent == dentry {
            path.complete = 1;
            break;
        }
        if len >= PATH_BYTES {
            break;
        }
        // A component is at most 255 bytes and a zero: the slack behind `PATH_BYTES` holds it, and
        // the mask shows the verifier that it does.
        let start = masked::<{ PATH_BYTES - 1 }>(len);
        let written = unsafe {
            bpf_probe_read_kernel_str(
                path.bytes.as_mut_ptr().add(start).cast(),
                PATH_SLACK as u32,
                Probed::follow(dentry, offset!(dentry_name)).cast(),
            )
        };
        if written <= 0 {
            break;
        }
        len = start + masked::<{ 2 * PATH_SLACK - 1 }>(written as usize);
        path.len = len as u32;
        dentry = parent;
    }
}

/// `value & MASK`, also where the compiler knows better: it drops a mask that a comparison before
/// makes needless, and older verifiers do not follow that comparison to here.
#[inline(always)]
fn masked<const MASK: usize>(mut value: usize) -> usize {
    unsafe { asm!("{0} &= {1}", inout(reg) value, const MASK, options(pure, nomem, nostack)) };
    value
}
