//! `cap_capable(const struct cred *cred, struct user_namespace *targ_ns,
//! const struct user_namespace *capable_ns, int cap, int ret)`: a change to a foreign uid needs
//! CAP_SETUID, so the question for that capability tells of it without a hook on any system call.
//! The uid asked for stands in the registers that the system call saved at entry, which no thread
//! can rewrite.

use aya_ebpf::helpers::bpf_task_pt_regs;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use monitor_common::{Hook, IdentityRecord, kind};

use crate::emit::{Wake, emit, failed};
use crate::kernel::{offset, read};
use crate::task;

const CAP_SETUID: i32 = 7;
/// "Leave this one as it is" in the calls that set several.
const UNCHANGED: u32 = u32::MAX;

/// Numbers of x86_64.
mod syscall {
    pub const SETUID: u64 = 105;
    pub const SETREUID: u64 = 113;
    pub const SETRESUID: u64 = 117;
}

/// A task takes another uid and may.
#[btf_tracepoint(function = "cap_capable")]
pub fn identity_change(context: BtfTracePointContext) -> i32 {
    let capability: i32 = context.arg(3);
    let granted: i32 = context.arg(4);
    if capability != CAP_SETUID || granted != 0 {
        return 0;
    }
    let registers: *const u8 =
        unsafe { bpf_task_pt_regs(task::current().cast_mut().cast()) } as *const u8;
    if registers.is_null() {
        failed(Hook::IdentityChange);
        return 0;
    }
    let number: u64 = read(registers, offset!(regs_syscall));
    let first = read::<u64>(registers, offset!(regs_first)) as u32;
    let second = read::<u64>(registers, offset!(regs_second)) as u32;
    let uid = match number {
        syscall::SETUID => first,
        // The real uid names the actor; where only the effective one changes, that does.
        syscall::SETREUID | syscall::SETRESUID if first != UNCHANGED => first,
        syscall::SETREUID | syscall::SETRESUID => second,
        _ => return 0,
    };
    let info = task::current_info();
    if info.is_null() || uid == UNCHANGED {
        return 0;
    }
    let info = unsafe { &*info };
    if uid == info.uid {
        return 0;
    }
    emit::<IdentityRecord>(
        Hook::IdentityChange,
        kind::IDENTITY,
        Wake::Later,
        |record| {
            let record = unsafe { &mut *record };
            record.task = *info;
            record.uid = uid;
            record.syscall = number as u32;
        },
    );
    0
}
