//! `mm_filemap_add_to_page_cache(struct folio *folio)`: a file gets new pages. After a process has
//! read a credential, the files that it writes may hold a copy of it, and the daemon should look.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use monitor_common::{Hook, NamedFileRecord, kind};

use super::file_read::{file_of, is_clean, name_of, seconds};
use crate::emit::{Wake, emit};
use crate::kernel::{direct, offset};
use crate::maps::{SEEN_NAMES, TASKS, WATCHED_FILES};
use crate::{path, task};

/// How long after a read of a credential the reader's own writes are of interest, in seconds.
const COPY_WINDOW: u32 = 10;

/// New pages by a task that has just read a credential, or was forked by one that had.
#[btf_tracepoint(function = "mm_filemap_add_to_page_cache")]
pub fn file_write(context: BtfTracePointContext) -> i32 {
    let info = unsafe { TASKS.of_task(task::current(), false) };
    if info.is_null() {
        return 0;
    }
    let info = unsafe { &*info };
    if info.read_at == 0 || info.pid == offset!(own_pid) {
        return 0;
    }
    let now = seconds();
    if now.wrapping_sub(info.read_at) > COPY_WINDOW {
        return 0;
    }
    let folio: *const u8 = context.arg(0);
    let mapping: *const u8 = unsafe { direct(folio, offset!(folio_mapping)) };
    if mapping.is_null() {
        return 0;
    }
    let inode: *const u8 = unsafe { direct(mapping, offset!(mapping_host)) };
    if inode.is_null() {
        return 0;
    }
    let file = file_of(inode);
    let (_, seen) = name_of(inode, file);
    if WATCHED_FILES.get_ptr(file).is_some() {
        return 0;
    }
    // Before the daemon has had a look: somebody may read the copy at once.
    let _ = SEEN_NAMES.insert(seen, now, 0);
    if is_clean(&seen) {
        return 0;
    }
    emit::<NamedFileRecord>(Hook::FileWrite, kind::FILE_WRITE, Wake::Now, |record| {
        let record = unsafe { &mut *record };
        record.task = *info;
        record.seen = seen;
        path::of_inode(inode, &mut record.path);
    });
    0
}
