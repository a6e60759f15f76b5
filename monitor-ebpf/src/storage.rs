//! What is kept with a task and with a socket: in storage that lives and dies with it where the
//! kernel has that (5.11 for tasks), else in a table by number.

use monitor_common::{SocketInfo, TaskState};

#[cfg(not(feature = "local-storage"))]
pub use by_number::{SOCKETS, TASKS};
#[cfg(feature = "local-storage")]
pub use local::{SOCKETS, TASKS};

/// What is kept with a task.
pub type OfTask = TaskState;
/// What is kept with a socket.
pub type OfSocket = SocketInfo;

#[cfg(feature = "local-storage")]
mod local {
    use core::ffi::c_void;
    use core::marker::PhantomData;

    use aya_ebpf::bindings::bpf_map_type::{BPF_MAP_TYPE_SK_STORAGE, BPF_MAP_TYPE_TASK_STORAGE};
    use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE};
    use aya_ebpf::helpers::{bpf_sk_storage_get, bpf_task_storage_get};

    use super::{OfSocket, OfTask};

    const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

    /// Who each task is.
    #[unsafe(link_section = ".maps")]
    #[unsafe(export_name = "TASKS")]
    pub static TASKS: LocalStorage<OfTask, { BPF_MAP_TYPE_TASK_STORAGE as usize }> =
        LocalStorage::new();

    /// Who connected each socket, and where to.
    #[unsafe(link_section = ".maps")]
    #[unsafe(export_name = "SOCKETS")]
    pub static SOCKETS: LocalStorage<OfSocket, { BPF_MAP_TYPE_SK_STORAGE as usize }> =
        LocalStorage::new();

    /// Storage that lives with a kernel object. aya 0.14 has no task storage, and its socket
    /// storage only takes a socket address context; the layout of the definition is the one that
    /// BTF maps have.
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

    #[inline(always)]
    fn flags(create: bool) -> u64 {
        if create {
            u64::from(BPF_LOCAL_STORAGE_GET_F_CREATE)
        } else {
            0
        }
    }

    impl<T> LocalStorage<T, { BPF_MAP_TYPE_TASK_STORAGE as usize }> {
        /// The task's entry; made, all zero, when `create` and there is none.
        ///
        /// # Safety
        /// `task` is a task that the verifier trusts.
        #[inline(always)]
        pub unsafe fn of_task(&self, task: *const u8, create: bool) -> *mut T {
            let task = task.cast_mut().cast();
            unsafe {
                bpf_task_storage_get(self.as_ptr(), task, core::ptr::null_mut(), flags(create))
            }
            .cast()
        }

        /// Nothing to do: the kernel frees it with the task.
        #[inline(always)]
        pub fn forget_task(&self, _task: *const u8) {}
    }

    impl<T> LocalStorage<T, { BPF_MAP_TYPE_SK_STORAGE as usize }> {
        /// The socket's entry; made, all zero, when `create` and there is none.
        ///
        /// # Safety
        /// `sk` is a socket that the verifier trusts.
        #[inline(always)]
        pub unsafe fn of_socket(&self, sk: *const u8, create: bool) -> *mut T {
            let sk = sk.cast_mut().cast();
            unsafe { bpf_sk_storage_get(self.as_ptr(), sk, core::ptr::null_mut(), flags(create)) }
                .cast()
        }

        /// Nothing to do: the kernel frees it with the socket.
        #[inline(always)]
        pub fn forget_socket(&self, _sk: *const u8) {}
    }
}

#[cfg(not(feature = "local-storage"))]
mod by_number {
    use core::ptr::null_mut;

    use aya_ebpf::btf_maps::LruHashMap;
    use aya_ebpf::macros::btf_map;

    use super::{OfSocket, OfTask};
    use crate::kernel::{Memory, Probed, offset};

    #[btf_map(name = "TASKS")]
    static TASK_TABLE: LruHashMap<u32, OfTask, 65_536> = LruHashMap::new();
    #[btf_map(name = "SOCKETS")]
    static SOCKET_TABLE: LruHashMap<u64, Numbered, 65_536> = LruHashMap::new();

    /// Who each task is, by its number. One that was driven out is captured anew when it acts.
    pub static TASKS: Tasks = Tasks;
    /// Who connected each socket, by its address.
    pub static SOCKETS: Sockets = Sockets;

    static NO_TASK: OfTask = unsafe { core::mem::zeroed() };
    static NO_SOCKET: Numbered = unsafe { core::mem::zeroed() };

    /// A socket's entry, and which of the sockets that were at this address it is of: nothing tells
    /// of the end of one that is not TCP, and the next at its address must not pass for it.
    #[repr(C)]
    struct Numbered {
        /// The number of the socket's inode, of which no two are the same for long. 0 where there
        /// is none.
        inode: u64,
        kept: OfSocket,
    }

    pub struct Tasks;
    pub struct Sockets;

    #[expect(
        clippy::needless_borrows_for_generic_args,
        reason = "a copy would not fit on the stack beside the rest"
    )]
    impl Tasks {
        /// The task's entry; made, all zero, when `create` and there is none.
        ///
        /// # Safety
        /// `task` is a task.
        #[inline(always)]
        pub unsafe fn of_task(&self, task: *const u8, create: bool) -> *mut OfTask {
            let key: u32 = Probed::read(task, offset!(task_pid));
            let found = TASK_TABLE.get_ptr_mut(key);
            if found.is_none() && create {
                let _ = TASK_TABLE.insert(key, &NO_TASK, 0);
                return TASK_TABLE.get_ptr_mut(key).unwrap_or(null_mut());
            }
            found.unwrap_or(null_mut())
        }

        /// Forgets a task that ends: its number is given out again.
        #[inline(always)]
        pub fn forget_task(&self, task: *const u8) {
            let key: u32 = Probed::read(task, offset!(task_pid));
            let _ = TASK_TABLE.remove(key);
        }
    }

    #[expect(
        clippy::needless_borrows_for_generic_args,
        reason = "a copy would not fit on the stack beside the rest"
    )]
    impl Sockets {
        /// The socket's entry; made, all zero, when `create` and there is none.
        ///
        /// # Safety
        /// `sk` is a socket.
        #[inline(always)]
        pub unsafe fn of_socket(&self, sk: *const u8, create: bool) -> *mut OfSocket {
            let key = sk.addr() as u64;
            let mut found = SOCKET_TABLE.get_ptr_mut(key);
            if found.is_none() {
                if !create {
                    return null_mut();
                }
                let _ = SOCKET_TABLE.insert(key, &NO_SOCKET, 0);
                found = SOCKET_TABLE.get_ptr_mut(key);
            }
            let Some(entry) = found else {
                return null_mut();
            };
            let entry = unsafe { &mut *entry };
            let inode = inode_of(&key);
            // One that ends has left its inode already.
            if inode != 0 && inode != entry.inode {
                entry.inode = inode;
                entry.kept = unsafe { core::mem::zeroed() };
            }
            &raw mut entry.kept
        }

        /// Forgets a socket that ends: its address is given out again.
        #[inline(always)]
        pub fn forget_socket(&self, sk: *const u8) {
            let _ = SOCKET_TABLE.remove(sk.addr() as u64);
        }
    }

    /// The number of the inode of the socket at an address, which lies behind it. 0 for none.
    #[inline(always)]
    fn inode_of(address: &u64) -> u64 {
        // Copied by a helper, so that it is a number to the verifier, which forbids arithmetic on
        // the sockets that programs at a cgroup get.
        let sk = Probed::follow(core::ptr::from_ref(address).cast(), 0);
        let socket = Probed::follow(sk, offset!(sock_socket));
        if socket.is_null() {
            return 0;
        }
        Probed::read(socket, offset!(socket_inode) + offset!(inode_number))
    }
}
