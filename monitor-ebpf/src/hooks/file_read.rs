//! Reads and mappings through the page cache, whoever makes them and by whatever call:
//! `mm_filemap_get_pages(struct address_space *mapping, pgoff_t index, pgoff_t last_index)`,
//! `mm_filemap_map_pages(struct address_space *mapping, pgoff_t start, pgoff_t end)`,
//! `mm_filemap_fault(struct address_space *mapping, pgoff_t index)`.
//!
//! These fire below overlayfs, on the inode that really holds the bytes, and in the reader's own
//! context. They miss tmpfs, ramfs and O_DIRECT, which the daemon covers by fanotify marks.

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::helpers::bpf_probe_read_kernel_str_bytes;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use monitor_common::{FileKey, FileRecord, Hook, NAME_BYTES, NamedFileRecord, SeenName, kind};

use crate::emit::{Wake, emit, failed, fired};
use crate::kernel::{direct, follow, offset, read};
use crate::maps::{
    CLEAN_FILES, SEEN_NAMES, WATCH_GENERATION, WATCHED_DIRECTORIES, WATCHED_FILES, WATCHED_NAMES,
};
use crate::{path, task};

/// How long a look at a file that found nothing holds, and the suspicion that one is a copy, in
/// seconds.
const CLEAN_SECONDS: u32 = 60;

/// Content was read.
#[btf_tracepoint(function = "mm_filemap_get_pages")]
pub fn file_read(context: BtfTracePointContext) -> i32 {
    let index: u64 = context.arg(1);
    accessed(context.arg(0), index == 0, Hook::FileRead, kind::FILE_READ);
    0
}

/// Mapped pages were brought in around a fault.
#[btf_tracepoint(function = "mm_filemap_map_pages")]
pub fn file_map(context: BtfTracePointContext) -> i32 {
    accessed(context.arg(0), false, Hook::FileMap, kind::FILE_MAP);
    0
}

/// A mapped page had to be read.
#[btf_tracepoint(function = "mm_filemap_fault")]
pub fn file_fault(context: BtfTracePointContext) -> i32 {
    accessed(context.arg(0), false, Hook::FileFault, kind::FILE_MAP);
    0
}

#[inline(always)]
fn accessed(mapping: *const u8, from_start: bool, hook: Hook, kind: u16) {
    let inode: *const u8 = unsafe { direct(mapping, offset!(mapping_host)) };
    if inode.is_null() {
        return;
    }
    let file = file_of(inode);
    if WATCHED_FILES.get_ptr(file).is_some() {
        watched(file, hook, kind);
    } else if from_start {
        unknown(inode, file, hook);
    }
}

/// An inode's key. Three direct loads: these hooks run on every read through the page cache.
#[inline(always)]
pub fn file_of(inode: *const u8) -> FileKey {
    let superblock: *const u8 = unsafe { direct(inode, offset!(inode_superblock)) };
    let dev: u32 = unsafe { direct(superblock, offset!(superblock_dev)) };
    FileKey {
        dev: u64::from(dev),
        ino: unsafe { direct(inode, offset!(inode_number)) },
    }
}

#[inline(always)]
fn watched(file: FileKey, hook: Hook, kind: u16) {
    let info = task::current_info();
    if info.is_null() {
        failed(hook);
        return;
    }
    let info = unsafe { &mut *info };
    if info.pid == offset!(own_pid) {
        fired(hook);
        return;
    }
    let now = seconds();
    if info.read_at == now && info.read_ino == file.ino {
        // The same use, which the daemon would count once: a process that reads one file in a loop
        // must not be able to fill the ring.
        fired(hook);
        return;
    }
    info.read_at = now;
    info.read_ino = file.ino;
    emit::<FileRecord>(hook, kind, Wake::Now, |record| {
        let record = unsafe { &mut *record };
        record.task = *info;
        record.file = file;
        record.count = 1;
    });
}

/// A first page of a file that is not watched: its name or its directory may be, and then the
/// daemon should look at it.
#[inline(always)]
fn unknown(inode: *const u8, file: FileKey, hook: Hook) {
    let (dentry, seen) = name_of(inode, file);
    let met = SEEN_NAMES.get_ptr(seen).map(|at| unsafe { *at });
    if met == Some(0) {
        return;
    }
    let may_be_copy = met.is_some_and(|at| seconds().wrapping_sub(at) < CLEAN_SECONDS);
    if !may_be_copy {
        if !is_watched(dentry, file.dev) {
            let _ = SEEN_NAMES.insert(seen, 0u32, 0);
            return;
        }
        if is_clean(&seen) {
            return;
        }
    }
    let info = task::current_info();
    if info.is_null() {
        failed(hook);
        return;
    }
    let info = unsafe { &*info };
    if info.pid == offset!(own_pid) {
        return;
    }
    emit::<NamedFileRecord>(hook, kind::FILE_NAMED, Wake::Now, |record| {
        let record = unsafe { &mut *record };
        record.task = *info;
        record.seen = seen;
        path::of_inode(inode, &mut record.path);
    });
}

/// The dentry by which an inode is known, and what tells this name at this inode from any other.
#[inline(always)]
pub fn name_of(inode: *const u8, file: FileKey) -> (*const u8, SeenName) {
    let alias = follow(inode, offset!(inode_aliases));
    let dentry = alias.wrapping_sub(offset!(dentry_alias) as usize);
    let seen = SeenName {
        file,
        hash_len: read(dentry, offset!(dentry_hash_len)),
        generation: WATCH_GENERATION.get(0).copied().unwrap_or(0),
    };
    (dentry, seen)
}

/// Whether the daemon has looked at this file a short while ago and found nothing. Its content may
/// have changed since, so that does not hold for ever.
#[inline(always)]
pub fn is_clean(seen: &SeenName) -> bool {
    let Some(at) = CLEAN_FILES.get_ptr(seen) else {
        return false;
    };
    seconds().wrapping_sub(unsafe { *at }) < CLEAN_SECONDS
}

/// Seconds of CLOCK_BOOTTIME; never 0, which stands for "never".
#[inline(always)]
pub fn seconds() -> u32 {
    ((unsafe { bpf_ktime_get_boot_ns() } / 1_000_000_000) as u32).max(1)
}

/// Whether a name, or the directory that holds it, is watched.
#[inline(always)]
fn is_watched(dentry: *const u8, dev: u64) -> bool {
    let mut basename = [0u8; NAME_BYTES];
    let name = follow(dentry, offset!(dentry_name));
    // A name of more than 31 bytes is cut, ends in a zero all the same, and matches none.
    let named = unsafe { bpf_probe_read_kernel_str_bytes(name, &mut basename) }.is_ok()
        && WATCHED_NAMES.get_ptr(basename).is_some();
    if named {
        return true;
    }
    let parent = follow(
        follow(dentry, offset!(dentry_parent)),
        offset!(dentry_inode),
    );
    let ino = read(parent, offset!(inode_number));
    WATCHED_DIRECTORIES.get_ptr(FileKey { dev, ino }).is_some()
}
