//! What is done to files: told where the file is watched, or where its name, its directory or its
//! writer make it worth a look. The same for every hook that sees it.

use aya_ebpf::helpers::bpf_probe_read_kernel_str_bytes;
use monitor_common::{
    FileKey, FileRecord, Hook, NAME_BYTES, NamedFileRecord, SeenName, TaskState, kind,
};

use crate::emit::{Count, To, count, emit_capped, emit_several, failed, seconds};
use crate::kernel::{Memory, Probed, offset};
use crate::maps::{
    CLEAN_FILES, SEEN_NAMES, TASKS, WATCH_GENERATION, WATCHED_DIRECTORIES, WATCHED_FILES,
    WATCHED_NAMES, WRITTEN_FILES,
};
use crate::{path, task};

/// How long a look at a file that found nothing holds, and the suspicion that one is a copy, in
/// seconds.
const CLEAN_SECONDS: u32 = 60;
/// How long after a read of a credential the reader's own writes are of interest, in seconds.
const COPY_WINDOW: u32 = 10;
/// In what a task did at last: a twin has told of it.
const TWIN: u32 = 1 << 16;

/// An inode's key. Three loads: these hooks run on every read.
#[inline(always)]
pub fn key_of<M: Memory>(inode: *const u8) -> FileKey {
    FileKey {
        dev: task::device::<M>(inode),
        ino: M::read(inode, offset!(inode_number)),
    }
}

/// Whether a file holds a credential.
#[inline(always)]
pub fn is_watched(file: FileKey) -> bool {
    WATCHED_FILES.get_ptr(file).is_some()
}

/// Something was done to a watched file: `kind` says what.
///
/// The same by the same task within a second is one record more, at the next or at the task's end,
/// which carries how often: a process that reads one file in a loop must not be able to fill the
/// ring, and each time still counts.
#[inline(always)]
pub fn watched(file: FileKey, hook: Hook, kind: u16) {
    let state = task::current_state();
    if state.is_null() {
        failed(hook);
        return;
    }
    let state = unsafe { &mut *state };
    if task::is_daemon(&state.info) {
        return;
    }
    let now = seconds();
    let same = is_same(state, file, kind);
    if same && state.touched_at == now {
        if state.touched_kind & TWIN != 0 {
            // The twin went first, and has told of this very act.
            state.touched_kind = u32::from(kind);
            return;
        }
        state.folded += 1;
        count(hook, Count::Folded);
        return;
    }
    if !same {
        tell_folded(state, hook);
    }
    let before = state.folded;
    state.folded = 0;
    state.touched = file;
    state.touched_kind = u32::from(kind);
    state.touched_at = now;
    if kind != kind::FILE_DENIED {
        // From now on what it writes may be a copy.
        state.info.read_at = now;
        state.info.read_ino = file.ino;
    }
    emit_several::<FileRecord>(hook, kind, To::Credentials, 1, before, |record| {
        fill(record, state, file, 1 + before);
    });
}

/// The same at a twin: a second program at the same function, for acts at which the kernel passed over
/// the first one (see the daemon's `sensor::missed`). What that one has told is not told again.
#[inline(always)]
pub fn watched_twin(file: FileKey, hook: Hook, kind: u16) {
    let state = task::current_state();
    if state.is_null() {
        return;
    }
    let known = unsafe { &*state };
    if is_same(known, file, kind) && known.touched_at == seconds() {
        return;
    }
    watched(file, hook, kind);
    unsafe { (*state).touched_kind |= TWIN };
}

/// Whether a task did the same at last.
#[inline(always)]
fn is_same(state: &TaskState, file: FileKey, kind: u16) -> bool {
    state.touched.ino == file.ino
        && state.touched.dev == file.dev
        && state.touched_kind & !TWIN == u32::from(kind)
}

/// Tells what was folded and not told yet.
#[inline(always)]
pub fn tell_folded(state: &mut TaskState, hook: Hook) {
    let before = state.folded;
    if before == 0 {
        return;
    }
    state.folded = 0;
    let (file, kind) = (state.touched, state.touched_kind as u16);
    emit_several::<FileRecord>(hook, kind, To::Credentials, 0, before, |record| {
        fill(record, state, file, before);
    });
}

#[inline(always)]
fn fill(record: *mut FileRecord, state: &TaskState, file: FileKey, count: u64) {
    let record = unsafe { &mut *record };
    record.task = state.info;
    record.file = file;
    record.count = count;
}

/// A file that is not watched is read: its name or its directory may be, or it may be a copy that
/// was written a moment ago, and then the daemon should look at it.
#[inline(always)]
pub fn unknown<M: Memory>(dentry: *const u8, file: FileKey, hook: Hook) {
    let seen = name_of::<M>(dentry, file);
    if !may_be_copy(file) {
        if SEEN_NAMES.get_ptr(seen).is_some() {
            return;
        }
        if !is_worth_a_look::<M>(dentry, file.dev) {
            let _ = SEEN_NAMES.insert(seen, 0u32, 0);
            return;
        }
        if is_clean(&seen) {
            return;
        }
    }
    let state = task::current_state();
    if state.is_null() {
        failed(hook);
        return;
    }
    look(unsafe { &*state }, dentry, seen, hook, kind::FILE_NAMED);
}

/// A file that is not watched is written, by a task that has just read a credential or was forked
/// by one that had: it may become a copy.
#[inline(always)]
pub fn written<M: Memory>(dentry: *const u8, file: FileKey, hook: Hook) {
    let state = unsafe { TASKS.of_task(task::current(), false) };
    if state.is_null() {
        return;
    }
    let state = unsafe { &*state };
    let now = seconds();
    if state.info.read_at == 0 || now.wrapping_sub(state.info.read_at) > COPY_WINDOW {
        return;
    }
    let seen = name_of::<M>(dentry, file);
    // Every page that comes to a file is an event, and the daemon looks again when the writer is likely
    // done: told once a second by each name, a large file hides nothing and crowds out no other. A file
    // without a name, as overlayfs makes them, is looked for once it has one.
    let written = seen.hash_len << 32 | u64::from(now);
    if WRITTEN_FILES
        .get_ptr(file)
        .is_some_and(|before| unsafe { *before } == written)
    {
        return;
    }
    // Before the daemon has had a look: somebody may read the copy at once.
    let _ = WRITTEN_FILES.insert(file, written, 0);
    if !is_clean(&seen) {
        look(state, dentry, seen, hook, kind::FILE_WRITE);
    }
}

/// Whether the current task has read a credential a moment ago.
#[inline(always)]
pub fn may_copy() -> bool {
    let state = unsafe { TASKS.of_task(task::current(), false) };
    if state.is_null() {
        return false;
    }
    let info = unsafe { &(*state).info };
    info.read_at != 0 && seconds().wrapping_sub(info.read_at) <= COPY_WINDOW
}

#[inline(always)]
fn look(state: &TaskState, dentry: *const u8, seen: SeenName, hook: Hook, kind: u16) {
    if task::is_daemon(&state.info) {
        return;
    }
    emit_capped::<NamedFileRecord>(&state.info, hook, kind, To::Events, |record| {
        let record = unsafe { &mut *record };
        record.task = state.info;
        record.seen = seen;
        path::of_dentry(dentry, &mut record.path);
    });
}

/// The dentry by which an inode is known: any of its names.
#[inline(always)]
pub fn dentry_of(inode: *const u8) -> *const u8 {
    Probed::follow(inode, offset!(inode_aliases)).wrapping_sub(offset!(dentry_alias) as usize)
}

/// What tells this name at this inode from any other.
#[inline(always)]
fn name_of<M: Memory>(dentry: *const u8, file: FileKey) -> SeenName {
    let hash: u32 = M::read(dentry, offset!(dentry_hash));
    let len: u32 = M::read(dentry, offset!(dentry_len));
    SeenName {
        file,
        hash_len: u64::from(len) << 32 | u64::from(hash),
        generation: WATCH_GENERATION.get(0).copied().unwrap_or(0),
    }
}

/// Whether somebody wrote this file a short while ago who had just read a credential.
#[inline(always)]
fn may_be_copy(file: FileKey) -> bool {
    let Some(written) = WRITTEN_FILES.get_ptr(file) else {
        return false;
    };
    let at = unsafe { *written } as u32;
    seconds().wrapping_sub(at) < CLEAN_SECONDS
}

/// Whether the daemon has looked at this file a short while ago and found nothing. Its content may
/// have changed since, so that does not hold for ever.
#[inline(always)]
fn is_clean(seen: &SeenName) -> bool {
    let Some(at) = CLEAN_FILES.get_ptr(seen) else {
        return false;
    };
    seconds().wrapping_sub(unsafe { *at }) < CLEAN_SECONDS
}

/// Whether a name, or the directory that holds it, is watched.
#[inline(always)]
fn is_worth_a_look<M: Memory>(dentry: *const u8, dev: u64) -> bool {
    if offset!(kernel_reads) != 0 {
        let mut basename = [0u8; NAME_BYTES];
        let name = Probed::follow(dentry, offset!(dentry_name));
        // A name of more than 31 bytes is cut, ends in a zero all the same, and matches none.
        let named = unsafe { bpf_probe_read_kernel_str_bytes(name, &mut basename) }.is_ok()
            && WATCHED_NAMES.get_ptr(basename).is_some();
        if named {
            return true;
        }
    }
    let parent = M::follow(
        M::follow(dentry, offset!(dentry_parent)),
        offset!(dentry_inode),
    );
    let ino = M::read(parent, offset!(inode_number));
    WATCHED_DIRECTORIES.get_ptr(FileKey { dev, ino }).is_some()
}
