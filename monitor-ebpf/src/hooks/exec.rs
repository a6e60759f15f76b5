//! `sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::warn;
use monitor_common::{Hook, ProcessRecord, kind};

use crate::emit::{To, emit_capped, failed};
use crate::file::tell_folded;
use crate::kernel::{Memory, Own, Typed, offset};
use crate::{path, task};

/// A program was replaced: the identity is captured anew and kept with the task.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec_tp(context: BtfTracePointContext) -> i32 {
    let binprm: *const u8 = context.arg(2);
    let state = task::current_state();
    if state.is_null() {
        failed(Hook::ProcessExec);
        warn!(
            &context,
            "nothing can be kept with a new program: out of memory"
        );
        return 0;
    }
    let state = unsafe { &mut *state };
    // Another program: what it does is news, and what the last one did is told under its name.
    tell_folded(state, Hook::ProcessExec);
    state.touched_at = 0;
    state.used = 0;
    let task = task::current();
    task::capture_process::<Own>(task, &mut state.info);
    task::capture_executable::<Own>(task, &mut state.info);
    let file = Typed::follow(binprm, offset!(binprm_file));
    let (hook, to) = (Hook::ProcessExec, To::EventsLater);
    let info = &state.info;
    emit_capped::<ProcessRecord>(info, hook, kind::EXEC, to, |record| {
        let record = unsafe { &mut *record };
        record.task = *info;
        record.permitted = task::permitted::<Own>(task);
        path::of_file(file, &mut record.path);
    });
    0
}
