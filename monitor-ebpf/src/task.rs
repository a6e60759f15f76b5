//! Who acts. Captured from the task at exec and kept in task storage, copied to children at fork;
//! what can change in between (uids, cgroup, login) is read anew with every event.

use aya_ebpf::helpers::bpf_get_current_task_btf;
use monitor_common::TaskInfo;

use crate::kernel::{ABSENT, follow, offset, read};
use crate::maps::TASKS;

/// The current task, as the verifier trusts it.
#[inline(always)]
pub fn current() -> *const u8 {
    unsafe { bpf_get_current_task_btf() }
        .cast::<u8>()
        .cast_const()
}

/// The current task's entry in storage, brought up to date; null only when memory is short.
#[inline(always)]
pub fn current_info() -> *mut TaskInfo {
    let task = current();
    let info = unsafe { TASKS.of_task(task, true) };
    if !info.is_null() {
        let info = unsafe { &mut *info };
        if info.pid == 0 {
            capture(task, info);
        } else {
            refresh(task, info);
        }
    }
    info
}

/// Fills an entry from nothing.
#[inline(always)]
pub fn capture(task: *const u8, info: &mut TaskInfo) {
    capture_process(task, info);
    capture_executable(task, info);
    refresh(task, info);
}

/// The process itself: pid, start, parent.
#[inline(always)]
pub fn capture_process(task: *const u8, info: &mut TaskInfo) {
    info.pid = read(task, offset!(task_tgid));
    let leader = follow(task, offset!(task_leader));
    info.start = read(leader, offset!(task_start));
    let parent = follow(leader, offset!(task_parent));
    info.ppid = read(parent, offset!(task_tgid));
    info.parent_start = read(follow(parent, offset!(task_leader)), offset!(task_start));
}

/// The executable's inode; zeros for a kernel thread.
#[inline(always)]
pub fn capture_executable(task: *const u8, info: &mut TaskInfo) {
    let inode = follow(executable(task), offset!(file_inode));
    info.exe_ino = read(inode, offset!(inode_number));
    info.exe_dev = device(inode);
}

/// The executable's `struct file`; null for a kernel thread.
#[inline(always)]
pub fn executable(task: *const u8) -> *const u8 {
    follow(follow(task, offset!(task_mm)), offset!(mm_exe_file))
}

/// The device of an inode, in the kernel's encoding.
#[inline(always)]
pub fn device(inode: *const u8) -> u64 {
    let superblock = follow(inode, offset!(inode_superblock));
    u64::from(read::<u32>(superblock, offset!(superblock_dev)))
}

/// What may have changed since the entry was written.
#[inline(always)]
pub fn refresh(task: *const u8, info: &mut TaskInfo) {
    let cred = follow(task, offset!(task_cred));
    info.uid = read(cred, offset!(cred_uid));
    info.euid = read(cred, offset!(cred_euid));
    info.gid = read(cred, offset!(cred_gid));
    info.login_uid = optional(task, offset!(task_login_uid));
    info.session = optional(task, offset!(task_session));
    let css_set = follow(task, offset!(task_cgroups));
    info.cgroup = cgroup_id(follow(css_set, offset!(css_set_default)));
    let controller = offset!(v1_controller);
    if controller != ABSENT {
        let css = follow(css_set, offset!(css_set_subsys) + controller * 8);
        info.cgroup_v1 = cgroup_id(follow(css, offset!(css_cgroup)));
    }
    let tty = follow(follow(task, offset!(task_signal)), offset!(signal_tty));
    // The name is 64 bytes long and zero terminated; sixteen hold every usual one.
    info.tty = read(tty, offset!(tty_name));
}

#[inline(always)]
fn optional(task: *const u8, offset: u32) -> u32 {
    if offset == ABSENT {
        u32::MAX
    } else {
        read(task, offset)
    }
}

#[inline(always)]
fn cgroup_id(cgroup: *const u8) -> u64 {
    read(follow(cgroup, offset!(cgroup_kn)), offset!(kn_id))
}
