//! `sched_process_fork(struct task_struct *parent, struct task_struct *child)`

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use monitor_common::{Hook, TaskRecord, kind};

use crate::emit::{Wake, emit, failed};
use crate::kernel::{offset, read};
use crate::maps::TASKS;
use crate::task;

/// A task was made: it inherits its parent's identity. Threads too have an entry, and no event.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_fork(context: BtfTracePointContext) -> i32 {
    let child: *const u8 = context.arg(1);
    let parent = task::current_info();
    let info = unsafe { TASKS.of_task(child, true) };
    if parent.is_null() || info.is_null() {
        failed(Hook::ProcessFork);
        return 0;
    }
    let info = unsafe { &mut *info };
    *info = unsafe { *parent };
    let pid: u32 = read(child, offset!(task_pid));
    let process: u32 = read(child, offset!(task_tgid));
    if pid != process {
        return 0;
    }
    task::capture_process(child, info);
    emit::<TaskRecord>(Hook::ProcessFork, kind::FORK, Wake::Later, |record| {
        unsafe { (*record).task = *info };
    });
    0
}
