//! `sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::warn;
use monitor_common::{Hook, ProcessRecord, kind};

use crate::emit::{Wake, emit, failed};
use crate::kernel::{follow, offset};
use crate::{path, task};

/// A program was replaced: the identity is captured anew and kept in task storage.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(context: BtfTracePointContext) -> i32 {
    let binprm: *const u8 = context.arg(2);
    let info = task::current_info();
    if info.is_null() {
        failed(Hook::ProcessExec);
        warn!(&context, "no task storage for a new program: out of memory");
        return 0;
    }
    let info = unsafe { &mut *info };
    let task = task::current();
    task::capture_process(task, info);
    task::capture_executable(task, info);
    let file = follow(binprm, offset!(binprm_file));
    emit::<ProcessRecord>(Hook::ProcessExec, kind::EXEC, Wake::Later, |record| {
        let record = unsafe { &mut *record };
        record.task = *info;
        path::of_file(file, &mut record.path);
    });
    0
}
