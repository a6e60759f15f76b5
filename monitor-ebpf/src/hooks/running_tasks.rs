//! `iter/task`: `(struct bpf_iter_meta *meta, struct task_struct *task)`

use monitor_common::{Hook, ProcessRecord, kind};

use crate::emit::{Wake, emit, failed};
use crate::kernel::{offset, read};
use crate::maps::TASKS;
use crate::{path, task};

/// The context of a task iterator.
#[repr(C)]
pub struct TaskIterator {
    meta: *const u8,
    task: *const u8,
}

/// Fills the storage of a task that was there before the hooks, and tells the daemon of it. The
/// daemon attaches the hooks first and then reads this iterator to its end.
///
/// # Safety
/// Called by the kernel with its iterator context.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub unsafe extern "C" fn running_tasks(context: *const TaskIterator) -> i32 {
    let task = unsafe { (*context).task };
    if task.is_null() {
        return 0;
    }
    let info = unsafe { TASKS.of_task(task, true) };
    if info.is_null() {
        failed(Hook::RunningTasks);
        return 0;
    }
    let info = unsafe { &mut *info };
    task::capture(task, info);
    let pid: u32 = read(task, offset!(task_pid));
    if pid != info.pid {
        return 0;
    }
    emit::<ProcessRecord>(Hook::RunningTasks, kind::RUNNING, Wake::Later, |record| {
        let record = unsafe { &mut *record };
        record.task = *info;
        path::of_file(task::executable(task), &mut record.path);
    });
    0
}
