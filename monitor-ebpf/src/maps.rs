//! All maps, and the wrappers that aya has none of.

use core::ffi::c_void;
use core::marker::PhantomData;

use aya_ebpf::bindings::{
    BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE,
    bpf_map_type::{BPF_MAP_TYPE_SK_STORAGE, BPF_MAP_TYPE_TASK_STORAGE},
};
use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap, PerCpuArray};
use aya_ebpf::helpers::{bpf_sk_storage_get, bpf_task_storage_get};
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::RingBuf;
use monitor_common::{FileKey, Hook, HookCounters, NAME_BYTES, SeenName, SocketInfo, TaskInfo};

const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

/// Everything that goes to the daemon. The daemon sets the real size at load.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// Counters per hook and CPU.
#[btf_map]
pub static COUNTERS: PerCpuArray<HookCounters, { Hook::COUNT as usize }> = PerCpuArray::new();

/// Files that hold credentials. Written by the daemon.
#[btf_map]
pub static WATCHED_FILES: HashMap<FileKey, u32, 65_536, NO_PREALLOC> = HashMap::new();

/// Directories in which an unknown file is worth a look. Written by the daemon.
#[btf_map]
pub static WATCHED_DIRECTORIES: HashMap<FileKey, u32, 16_384, NO_PREALLOC> = HashMap::new();

/// Basenames that make an unknown file worth a look, zero padded. Written by the daemon.
#[btf_map]
pub static WATCHED_NAMES: HashMap<[u8; NAME_BYTES], u32, 256, NO_PREALLOC> = HashMap::new();

/// Files that were looked at and hold nothing, with the second of CLOCK_BOOTTIME when that was, so
/// that each is reported once in a while. By name too, because an inode number is given out again.
/// Written by the daemon.
#[btf_map]
pub static CLEAN_FILES: LruHashMap<SeenName, u32, 16_384> = LruHashMap::new();

/// Names at inodes that were met before. 0: compared with the watched names and directories and
/// none of them, so that a file that is read again costs a lookup and no walk. Else the second of
/// CLOCK_BOOTTIME at which a process wrote it that had just read a credential: whoever reads it may
/// be reading a copy, and the daemon is told even if it has not looked into it yet.
#[btf_map]
pub static SEEN_NAMES: LruHashMap<SeenName, u32, 32_768> = LruHashMap::new();

/// One entry that counts how often names or directories were added: what was seen before that is
/// to be compared again. Written by the daemon.
#[btf_map]
pub static WATCH_GENERATION: Array<u64, 1> = Array::new();

/// Unix sockets that guard credentials. Written by the daemon.
#[btf_map]
pub static WATCHED_SOCKETS: HashMap<FileKey, u32, 1_024, NO_PREALLOC> = HashMap::new();

/// Who each task is.
#[unsafe(link_section = ".maps")]
#[unsafe(export_name = "TASKS")]
pub static TASKS: LocalStorage<TaskInfo, { BPF_MAP_TYPE_TASK_STORAGE as usize }> =
    LocalStorage::new();

/// Who connected each socket, and where to.
#[unsafe(link_section = ".maps")]
#[unsafe(export_name = "SOCKETS")]
pub static SOCKETS: LocalStorage<SocketInfo, { BPF_MAP_TYPE_SK_STORAGE as usize }> =
    LocalStorage::new();

/// Storage that lives with a kernel object. aya 0.14 has no task storage, and its socket storage
/// only takes a socket address context; the layout of the definition is the one that BTF maps have.
#[repr(C)]
pub struct LocalStorage<T, const TYPE: usize> {
    r#type: *const [i32; TYPE],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; NO_PREALLOC],
    marker: PhantomData<T>,
}

// SAFETY: the pointers are a description for the loader and are never followed.
unsafe impl<T, const TYPE: usize> Sync for LocalStorage<T, TYPE> {}

impl<T, const TYPE: usize> LocalStorage<T, TYPE> {
    const fn new() -> Self {
        use core::ptr::null;
        Self {
            r#type: null(),
            key: null(),
            value: null(),
            max_entries: null(),
            map_flags: null(),
            marker: PhantomData,
        }
    }

    const fn as_ptr(&self) -> *mut c_void {
        core::ptr::from_ref(self).cast_mut().cast()
    }
}

impl<T> LocalStorage<T, { BPF_MAP_TYPE_TASK_STORAGE as usize }> {
    /// The task's entry; made, all zero, when `create` and there is none.
    ///
    /// # Safety
    /// `task` is a task that the verifier trusts.
    #[inline(always)]
    pub unsafe fn of_task(&self, task: *const u8, create: bool) -> *mut T {
        let flags = if create {
            u64::from(BPF_LOCAL_STORAGE_GET_F_CREATE)
        } else {
            0
        };
        unsafe {
            bpf_task_storage_get(
                self.as_ptr(),
                task.cast_mut().cast(),
                core::ptr::null_mut(),
                flags,
            )
        }
        .cast()
    }
}

impl<T> LocalStorage<T, { BPF_MAP_TYPE_SK_STORAGE as usize }> {
    /// The socket's entry; made, all zero, when `create` and there is none.
    ///
    /// # Safety
    /// `sk` is a socket that the verifier trusts.
    #[inline(always)]
    pub unsafe fn of_socket(&self, sk: *const u8, create: bool) -> *mut T {
        let flags = if create {
            u64::from(BPF_LOCAL_STORAGE_GET_F_CREATE)
        } else {
            0
        };
        unsafe {
            bpf_sk_storage_get(
                self.as_ptr(),
                sk.cast_mut().cast(),
                core::ptr::null_mut(),
                flags,
            )
        }
        .cast()
    }
}
