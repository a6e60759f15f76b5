//! Reads, mappings and writes through the page cache, whoever makes them and by whatever call:
//! `mm_filemap_get_pages(struct address_space *mapping, pgoff_t index, pgoff_t last_index)`,
//! `mm_filemap_map_pages(struct address_space *mapping, pgoff_t start, pgoff_t end)`,
//! `mm_filemap_fault(struct address_space *mapping, pgoff_t index)`,
//! `mm_filemap_add_to_page_cache(struct folio *folio)`,
//! `writeback_dirty_folio(struct folio *folio, struct address_space *mapping)`; and past it:
//! `iomap_dio_rw_begin(struct kiocb *iocb, …)`.
//!
//! For kernels that refuse trampolines and kprobes. These fire below overlayfs, on the inode that
//! really holds the bytes, and in the reader's own context. They miss reads of tmpfs and ramfs, which
//! the daemon covers by fanotify marks.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use monitor_common::{Hook, kind};

use crate::file::{dentry_of, is_watched, key_of, may_copy, unknown, watched, written};
use crate::kernel::{Memory, Probed, Typed, offset};

/// Content was read.
#[btf_tracepoint(function = "mm_filemap_get_pages")]
pub fn file_read_tp(context: BtfTracePointContext) -> i32 {
    let index: u64 = context.arg(1);
    accessed(context.arg(0), index == 0, Hook::FileRead, kind::FILE_READ);
    0
}

/// Content is read or written past the page cache.
#[btf_tracepoint(function = "iomap_dio_rw_begin")]
pub fn file_direct_tp(context: BtfTracePointContext) -> i32 {
    let file = Typed::follow(context.arg(0), offset!(request_file));
    if file.is_null() {
        return 0;
    }
    let file = key_of::<Typed>(Typed::follow(file, offset!(file_inode)));
    if is_watched(file) {
        watched(file, Hook::FileDirect, kind::FILE_READ);
    }
    0
}

/// Mapped pages were brought in around a fault.
#[btf_tracepoint(function = "mm_filemap_map_pages")]
pub fn file_map_tp(context: BtfTracePointContext) -> i32 {
    accessed(context.arg(0), false, Hook::FileMap, kind::FILE_MAP);
    0
}

/// A mapped page had to be read.
#[btf_tracepoint(function = "mm_filemap_fault")]
pub fn file_fault_tp(context: BtfTracePointContext) -> i32 {
    accessed(context.arg(0), false, Hook::FileFault, kind::FILE_MAP);
    0
}

#[inline(always)]
fn accessed(mapping: *const u8, from_start: bool, hook: Hook, kind: u16) {
    let inode = Typed::follow(mapping, offset!(mapping_host));
    if inode.is_null() {
        return;
    }
    let file = key_of::<Typed>(inode);
    if is_watched(file) {
        watched(file, hook, kind);
    } else if from_start {
        unknown::<Probed>(dentry_of(inode), file, hook);
    }
}

/// New pages by a task that has just read a credential, or was forked by one that had.
#[btf_tracepoint(function = "mm_filemap_add_to_page_cache")]
pub fn file_write_tp(context: BtfTracePointContext) -> i32 {
    if !may_copy() {
        return 0;
    }
    let mapping = Typed::follow(context.arg(0), offset!(folio_mapping));
    if mapping.is_null() {
        return 0;
    }
    let inode = Typed::follow(mapping, offset!(mapping_host));
    if inode.is_null() {
        return 0;
    }
    let file = key_of::<Typed>(inode);
    if !is_watched(file) {
        written::<Probed>(dentry_of(inode), file, Hook::FileWrite);
    }
    0
}

/// A page got content that the disk does not have yet: its first change since it was written back.
#[btf_tracepoint(function = "writeback_dirty_folio")]
pub fn file_change_tp(context: BtfTracePointContext) -> i32 {
    let mapping: *const u8 = context.arg(1);
    if mapping.is_null() {
        return 0;
    }
    let inode = Typed::follow(mapping, offset!(mapping_host));
    if inode.is_null() {
        return 0;
    }
    let file = key_of::<Typed>(inode);
    if is_watched(file) {
        watched(file, Hook::FileChange, kind::FILE_CHANGE);
    }
    0
}
