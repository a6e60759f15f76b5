//! `iter/task`: `(struct bpf_iter_meta *meta, struct task_struct *task)`

use monitor_common::{Hook, ProcessRecord, kind};

use crate::emit::{To, emit, failed};
use crate::kernel::{Memory, Typed, offset};
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
    let state = unsafe { TASKS.of_task(task, true) };
    if state.is_null() {
        failed(Hook::RunningTasks);
        return 0;
    }
    let info = unsafe { &mut (*state).info };
    task::capture::<Typed>(task, info);
    let pid: u32 = Typed::read(task, offset!(task_pid));
    if pid != info.pid {
        return 0;
    }
    let file = task::executable::<Typed>(task);
    let (hook, to) = (Hook::RunningTasks, To::EventsLater);
    emit::<ProcessRecord>(hook, kind::RUNNING, to, |record| {
        let record = unsafe { &mut *record };
        record.task = *info;
        record.permitted = task::permitted::<Typed>(task);
        path::of_file(file, &mut record.path);
    });
    0
}
