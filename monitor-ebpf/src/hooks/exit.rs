//! `sched_process_exit(struct task_struct *p, bool group_dead)`; before 6.16 without `group_dead`.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use monitor_common::{Hook, TaskRecord, kind};

use crate::emit::{To, emit, end_rate};
use crate::file::tell_folded;
use crate::kernel::{Memory, Own, offset};
use crate::maps::TASKS;
use crate::task;

/// A task ended. Its memory is gone by now, so all comes from what was kept with it.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit_tp(_context: BtfTracePointContext) -> i32 {
    let task = task::current();
    let state = unsafe { TASKS.of_task(task, false) };
    if state.is_null() {
        // It ran before the hooks were there and was not walked yet: nobody knows it, so its end
        // is no news and no loss. Storage that could not be had was counted at its fork.
        return 0;
    }
    let state = unsafe { &mut *state };
    // A thread's own counts end with it.
    tell_folded(state, Hook::ProcessExit);
    end_rate(&state.info);
    let pid: u32 = Own::read(task, offset!(task_pid));
    let process: u32 = Own::read(task, offset!(task_tgid));
    if pid == process {
        emit::<TaskRecord>(Hook::ProcessExit, kind::EXIT, To::EventsLater, |record| {
            unsafe { (*record).task = state.info };
        });
    }
    TASKS.forget_task(task);
    0
}
