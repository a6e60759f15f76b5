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
    let superblock: *const u8 = unsafe { direct(inode, offset!(inode_superblock)) };
    let dev: u32 = unsafe { direct(superblock, offset!(superblock_dev)) };
    let ino: u64 = unsafe { direct(inode, offset!(inode_number)) };
    let file = FileKey {
        dev: u64::from(dev),
        ino,
    };
    if WATCHED_FILES.get_ptr(file).is_some() {
        watched(file, hook, kind);
    } else if from_start {
        unknown(inode, file, hook);
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
    let now = ((unsafe { bpf_ktime_get_boot_ns() } / 1_000_000_000) as u32).max(1);
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
    });
}

/// A first page of a file that is not watched: its name or its directory may be, and then the
/// daemon should look at it.
#[inline(always)]
fn unknown(inode: *const u8, file: FileKey, hook: Hook) {
    let alias = follow(inode, offset!(inode_aliases));
    let dentry = alias.wrapping_sub(offset!(dentry_alias) as usize);
    let seen = SeenName {
        file,
        hash_len: read(dentry, offset!(dentry_hash_len)),
        generation: WATCH_GENERATION.get(0).copied().unwrap_or(0),
    };
    if SEEN_NAMES.get_ptr(&seen).is_some() {
        return;
    }
    if !is_watched(dentry, file.dev) {
        let _ = SEEN_NAMES.insert(&seen, 1u32, 0);
        return;
    }
    if CLEAN_FILES.get_ptr(file).is_some() {
        return;
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
        record.file = file;
        path::of_inode(inode, &mut record.path);
    });
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
