//! The kernel's own questions whether a file may be opened, read, written or mapped, on any file
//! system and whatever call asks:
//! `security_file_open(struct file *file)`,
//! `security_file_permission(struct file *file, int mask)`,
//! `security_mmap_file(struct file *file, unsigned long prot, unsigned long flags)`.
//!
//! And `filemap_fault(struct vm_fault *vmf)`, `filemap_map_pages(struct vm_fault *vmf, …)`: pages of a
//! mapping are touched, of one from before the daemon too.
//!
//! On overlayfs they ask once for the overlay's file and once for the real one below.

use aya_ebpf::macros::{fentry, kprobe, lsm};
use aya_ebpf::programs::{FEntryContext, LsmContext, ProbeContext};
use monitor_common::{FileKey, Hook, kind};

use crate::file::{dentry_of, is_watched, key_of, unknown, watched, watched_twin, written};
use crate::kernel::{Memory, Probed, Typed, offset};

const MAY_WRITE: i32 = 2;
const MAY_READ: i32 = 4;
const FMODE_READ: u32 = 1;
/// The bits of a mode that tell what a file is, and those of a directory.
const S_IFMT: u16 = 0o170_000;
const S_IFDIR: u16 = 0o040_000;

/// Whether a file holds a credential. A directory never does: it may have been given the number of a
/// file that was deleted a moment ago, and who lists it has read nothing.
#[inline(always)]
fn is_credential<M: Memory>(inode: *const u8, key: FileKey) -> bool {
    is_watched(key) && M::read::<u16>(inode, offset!(inode_mode)) & S_IFMT != S_IFDIR
}

/// A file is opened.
#[fentry(function = "security_file_open")]
pub fn file_open_fentry(context: FEntryContext) -> i32 {
    opened::<Typed>(context.arg(0));
    0
}

/// A file is opened, and the first program was passed over.
#[fentry(function = "security_file_open")]
pub fn file_open_twin(context: FEntryContext) -> i32 {
    let file: *const u8 = context.arg(0);
    twin::<Typed>(file, Hook::FileOpen, kind::FILE_OPEN);
    0
}

/// A file is opened.
#[lsm(hook = "file_open")]
pub fn file_open_lsm(context: LsmContext) -> i32 {
    opened::<Typed>(context.arg(0));
    0
}

/// A file is opened.
#[kprobe]
pub fn file_open_kprobe(context: ProbeContext) -> u32 {
    if let Some(file) = context.arg(0) {
        opened::<Probed>(file);
    }
    0
}

#[inline(always)]
fn opened<M: Memory>(file: *const u8) {
    let inode = M::follow(file, offset!(file_inode));
    let key = key_of::<M>(inode);
    if is_credential::<M>(inode, key) {
        watched(key, Hook::FileOpen, kind::FILE_OPEN);
        return;
    }
    let mode: u32 = M::read(file, offset!(file_mode));
    let size: u64 = M::read(inode, offset!(inode_size));
    // Whoever makes a file is told of when there is something in it.
    if mode & FMODE_READ != 0 && size != 0 {
        tell_unknown::<M>(file, inode, key);
    }
}

/// What an open goes by, or what its name is there: of the real file below overlayfs older kernels
/// give the overlay's path.
#[inline(always)]
fn tell_unknown<M: Memory>(file: *const u8, inode: *const u8, key: FileKey) {
    let dentry = M::follow(file, offset!(file_path) + offset!(path_dentry));
    if M::follow(dentry, offset!(dentry_inode)).addr() == inode.addr() {
        unknown::<M>(dentry, key, Hook::FileOpen);
    } else {
        unknown::<Probed>(dentry_of(inode), key, Hook::FileOpen);
    }
}

/// A file is read or written.
#[fentry(function = "security_file_permission")]
pub fn file_permission_fentry(context: FEntryContext) -> i32 {
    permitted::<Typed>(context.arg(0), context.arg(1));
    0
}

/// A file is read or written, and the first program was passed over.
#[fentry(function = "security_file_permission")]
pub fn file_permission_twin(context: FEntryContext) -> i32 {
    let (file, mask): (*const u8, i32) = (context.arg(0), context.arg(1));
    if mask & MAY_WRITE != 0 {
        twin::<Typed>(file, Hook::FileChange, kind::FILE_CHANGE);
    } else if mask & MAY_READ != 0 {
        twin::<Typed>(file, Hook::FileRead, kind::FILE_READ);
    }
    0
}

/// A file is read or written.
#[lsm(hook = "file_permission")]
pub fn file_permission_lsm(context: LsmContext) -> i32 {
    permitted::<Typed>(context.arg(0), context.arg(1));
    0
}

/// A file is read or written.
#[kprobe]
pub fn file_permission_kprobe(context: ProbeContext) -> u32 {
    if let (Some(file), Some(mask)) = (context.arg(0), context.arg(1)) {
        permitted::<Probed>(file, mask);
    }
    0
}

#[inline(always)]
fn permitted<M: Memory>(file: *const u8, mask: i32) {
    let inode = M::follow(file, offset!(file_inode));
    let key = key_of::<M>(inode);
    if mask & MAY_WRITE != 0 {
        if is_watched(key) {
            watched(key, Hook::FileChange, kind::FILE_CHANGE);
        } else {
            written::<Probed>(dentry_of(inode), key, Hook::FileWrite);
        }
    } else if mask & MAY_READ != 0 && is_credential::<M>(inode, key) {
        watched(key, Hook::FileRead, kind::FILE_READ);
    }
}

/// A file is mapped.
#[fentry(function = "security_mmap_file")]
pub fn file_map_fentry(context: FEntryContext) -> i32 {
    mapped::<Typed>(context.arg(0));
    0
}

/// A file is mapped, and the first program was passed over.
#[fentry(function = "security_mmap_file")]
pub fn file_map_twin(context: FEntryContext) -> i32 {
    let file: *const u8 = context.arg(0);
    if !file.is_null() {
        twin::<Typed>(file, Hook::FileMap, kind::FILE_MAP);
    }
    0
}

/// A file is mapped.
#[lsm(hook = "mmap_file")]
pub fn file_map_lsm(context: LsmContext) -> i32 {
    mapped::<Typed>(context.arg(0));
    0
}

/// A file is mapped.
#[kprobe]
pub fn file_map_kprobe(context: ProbeContext) -> u32 {
    if let Some(file) = context.arg(0) {
        mapped::<Probed>(file);
    }
    0
}

/// What a second program at the same function does.
#[inline(always)]
fn twin<M: Memory>(file: *const u8, hook: Hook, kind: u16) {
    let inode = M::follow(file, offset!(file_inode));
    let key = key_of::<M>(inode);
    if is_credential::<M>(inode, key) {
        watched_twin(key, hook, kind);
    }
}

#[inline(always)]
fn mapped<M: Memory>(file: *const u8) {
    // Memory without a file.
    if file.is_null() {
        return;
    }
    let key = key_of::<M>(M::follow(file, offset!(file_inode)));
    if is_watched(key) {
        watched(key, Hook::FileMap, kind::FILE_MAP);
    }
}

/// A page of a mapping is touched and has to be read.
#[fentry(function = "filemap_fault")]
pub fn file_fault_fentry(context: FEntryContext) -> i32 {
    touched::<Typed>(context.arg(0));
    0
}

/// A page of a mapping is touched, and those around it are mapped with it.
#[fentry(function = "filemap_map_pages")]
pub fn file_around_fentry(context: FEntryContext) -> i32 {
    touched::<Typed>(context.arg(0));
    0
}

/// A page of a mapping is touched and has to be read.
#[kprobe]
pub fn file_fault_kprobe(context: ProbeContext) -> u32 {
    if let Some(fault) = context.arg(0) {
        touched::<Probed>(fault);
    }
    0
}

/// A page of a mapping is touched, and those around it are mapped with it.
#[kprobe]
pub fn file_around_kprobe(context: ProbeContext) -> u32 {
    if let Some(fault) = context.arg(0) {
        touched::<Probed>(fault);
    }
    0
}

#[inline(always)]
fn touched<M: Memory>(fault: *const u8) {
    let area = M::follow(fault, offset!(fault_area));
    if area.is_null() {
        return;
    }
    let file = M::follow(area, offset!(area_file));
    if file.is_null() {
        return;
    }
    let key = key_of::<M>(M::follow(file, offset!(file_inode)));
    if is_watched(key) {
        watched(key, Hook::FileFault, kind::FILE_MAP);
    }
}
