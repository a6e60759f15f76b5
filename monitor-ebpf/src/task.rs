//! Who acts. Captured from the task at exec and kept with it, copied to children at fork; what can
//! change in between (uids, cgroup, login) is read anew with every event.

#[cfg(not(feature = "local-storage"))]
use aya_ebpf::helpers::generated::bpf_get_current_task;
#[cfg(feature = "local-storage")]
use aya_ebpf::helpers::generated::bpf_get_current_task_btf;
use monitor_common::{TaskInfo, TaskState};

use crate::kernel::{ABSENT, Memory, Own, Probed, offset};
use crate::maps::TASKS;

/// The current task, as the verifier trusts it.
#[cfg(feature = "local-storage")]
#[inline(always)]
pub fn current() -> *const u8 {
    unsafe { bpf_get_current_task_btf() }
        .cast::<u8>()
        .cast_const()
}

/// The current task.
#[cfg(not(feature = "local-storage"))]
#[inline(always)]
pub fn current() -> *const u8 {
    core::ptr::with_exposed_provenance(unsafe { bpf_get_current_task() } as usize)
}

/// What is kept with the current task, brought up to date; null only when memory is short.
#[inline(always)]
pub fn current_state() -> *mut TaskState {
    let task = current();
    let state = unsafe { TASKS.of_task(task, true) };
    if !state.is_null() {
        let info = unsafe { &mut (*state).info };
        if info.pid == 0 {
            capture::<Own>(task, info);
        } else {
            refresh::<Own>(task, info);
        }
    }
    state
}

/// Whether this is the daemon, whose acts are no events.
#[inline(always)]
pub fn is_daemon(info: &TaskInfo) -> bool {
    info.pid == offset!(own_pid)
}

/// Fills an entry from nothing.
#[inline(always)]
pub fn capture<M: Memory>(task: *const u8, info: &mut TaskInfo) {
    capture_process::<M>(task, info);
    capture_executable::<M>(task, info);
    refresh::<M>(task, info);
}

/// The process itself: pid, start, parent.
#[inline(always)]
pub fn capture_process<M: Memory>(task: *const u8, info: &mut TaskInfo) {
    info.pid = M::read(task, offset!(task_tgid));
    let leader = M::follow(task, offset!(task_leader));
    info.start = M::read(leader, offset!(task_start));
    let parent = M::follow(leader, offset!(task_parent));
    info.ppid = M::read(parent, offset!(task_tgid));
    info.parent_start = M::read(M::follow(parent, offset!(task_leader)), offset!(task_start));
}

/// The executable's inode; zeros for a kernel thread.
#[inline(always)]
pub fn capture_executable<M: Memory>(task: *const u8, info: &mut TaskInfo) {
    let file = executable::<M>(task);
    // The one read whose pointer the verifier takes for null where it knows its kind.
    if file.is_null() {
        info.exe_ino = 0;
        info.exe_dev = 0;
        return;
    }
    let inode = M::follow(file, offset!(file_inode));
    info.exe_ino = M::read(inode, offset!(inode_number));
    info.exe_dev = device::<M>(inode);
}

/// The executable's `struct file`; null for a kernel thread.
#[inline(always)]
pub fn executable<M: Memory>(task: *const u8) -> *const u8 {
    let memory = M::follow(task, offset!(task_mm));
    if memory.is_null() {
        return memory;
    }
    M::follow(memory, offset!(mm_exe_file))
}

/// The device of an inode, in the kernel's encoding.
#[inline(always)]
pub fn device<M: Memory>(inode: *const u8) -> u64 {
    let superblock = M::follow(inode, offset!(inode_superblock));
    u64::from(M::read::<u32>(superblock, offset!(superblock_dev)))
}

/// The capabilities that a task has, in use or not. Zeros where its credentials are not there.
#[inline(always)]
pub fn permitted<M: Memory>(task: *const u8) -> u64 {
    let cred = M::follow(task, offset!(task_cred));
    if cred.is_null() {
        return 0;
    }
    M::read(cred, offset!(cred_permitted))
}

/// What may have changed since the entry was written.
#[inline(always)]
pub fn refresh<M: Memory>(task: *const u8, info: &mut TaskInfo) {
    let cred = M::follow(task, offset!(task_cred));
    if !cred.is_null() {
        info.uid = M::read(cred, offset!(cred_uid));
        info.euid = M::read(cred, offset!(cred_euid));
        info.gid = M::read(cred, offset!(cred_gid));
    }
    info.login_uid = optional::<M>(task, offset!(task_login_uid));
    info.session = optional::<M>(task, offset!(task_session));
    let css_set = M::follow(task, offset!(task_cgroups));
    if !css_set.is_null() {
        info.cgroup = cgroup_id::<M>(M::follow(css_set, offset!(css_set_default)));
        let controller = offset!(v1_controller);
        if controller != ABSENT {
            let css = M::follow(css_set, offset!(css_set_subsys) + controller * 8);
            info.cgroup_v1 = cgroup_id::<M>(M::follow(css, offset!(css_cgroup)));
        }
    }
    let tty = M::follow(M::follow(task, offset!(task_signal)), offset!(signal_tty));
    // The name is 64 bytes long and zero terminated; sixteen hold every usual one. Not typed: that
    // would be sixteen loads.
    info.tty = Probed::read(tty, offset!(tty_name));
}

#[inline(always)]
fn optional<M: Memory>(task: *const u8, offset: u32) -> u32 {
    if offset == ABSENT {
        u32::MAX
    } else {
        M::read(task, offset)
    }
}

#[inline(always)]
fn cgroup_id<M: Memory>(cgroup: *const u8) -> u64 {
    M::read(M::follow(cgroup, offset!(cgroup_kn)), offset!(kn_id))
}
