//! `sched_process_fork(struct task_struct *parent, struct task_struct *child)`

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use monitor_common::{Hook, TaskRecord, TaskState, kind};

use crate::emit::{To, emit_capped, failed};
use crate::kernel::{Memory, Typed, offset};
use crate::maps::TASKS;
use crate::task;

/// A task was made: it inherits its parent's identity. Threads too have an entry, and no event.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_fork_tp(context: BtfTracePointContext) -> i32 {
    let child: *const u8 = context.arg(1);
    let parent = task::current_state();
    let state = unsafe { TASKS.of_task(child, true) };
    if parent.is_null() || state.is_null() {
        failed(Hook::ProcessFork);
        return 0;
    }
    let (state, parent) = unsafe { (&mut *state, &*parent) };
    // What the parent has not told yet stays its own.
    *state = TaskState::default();
    state.info = parent.info;
    let pid: u32 = Typed::read(child, offset!(task_pid));
    let process: u32 = Typed::read(child, offset!(task_tgid));
    if pid != process {
        // A thread is the same process: what that has told is told.
        state.used = parent.used;
        state.used_as = parent.used_as;
        return 0;
    }
    task::capture_process::<Typed>(child, &mut state.info);
    let info = state.info;
    let (hook, to) = (Hook::ProcessFork, To::EventsLater);
    emit_capped::<TaskRecord>(&parent.info, hook, kind::FORK, to, |record| {
        unsafe { (*record).task = info };
    });
    0
}
