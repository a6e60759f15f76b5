//! `sched_process_exit(struct task_struct *p, bool group_dead)`; before 6.16 without `group_dead`.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use monitor_common::{Hook, TaskRecord, kind};

use crate::emit::{Wake, emit};
use crate::kernel::{offset, read};
use crate::maps::TASKS;
use crate::task;

/// A process ended. Its memory is gone by now, so all comes from task storage.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(_context: BtfTracePointContext) -> i32 {
    let task = task::current();
    let pid: u32 = read(task, offset!(task_pid));
    let process: u32 = read(task, offset!(task_tgid));
    if pid != process {
        return 0;
    }
    let info = unsafe { TASKS.of_task(task, false) };
    if info.is_null() {
        // It ran before the hooks were there and was not walked yet: nobody knows it, so its end
        // is no news and no loss. Storage that could not be had was counted at its fork.
        return 0;
    }
    emit::<TaskRecord>(Hook::ProcessExit, kind::EXIT, Wake::Later, |record| {
        unsafe { (*record).task = *info };
    });
    0
}
