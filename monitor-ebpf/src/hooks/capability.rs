//! `cap_capable`: the kernel asks whether a task has a capability. The question alone tells of
//! opens that are refused, of reaching into other users' processes, and of changes of uid, without
//! a hook on any system call.
//!
//! Tracepoint (6.13): `(const struct cred *cred, struct user_namespace *targ_ns,
//! const struct user_namespace *capable_ns, int cap, int ret)`. Function:
//! `(const struct cred *cred, struct user_namespace *targ_ns, int cap, unsigned int opts)`.

use aya_ebpf::macros::{btf_tracepoint, fexit, kprobe};
use aya_ebpf::programs::{BtfTracePointContext, FExitContext, ProbeContext};
use monitor_common::{Hook, IdentityRecord, kind};

use super::memory::{self, lookup};
use crate::emit::{To, emit_capped};
use crate::file::{is_watched, key_of, watched};
use crate::kernel::{Memory, Own, Probed, offset};
use crate::task;

const CAP_DAC_OVERRIDE: i32 = 1;
const CAP_SETUID: i32 = 7;
const CAP_SYS_PTRACE: i32 = 19;
/// "Leave this one as it is" in the calls that set several.
const UNCHANGED: u32 = u32::MAX;

/// Numbers of x86_64.
mod syscall {
    pub const SETUID: u64 = 105;
    pub const SETREUID: u64 = 113;
    pub const SETRESUID: u64 = 117;
}

/// The one program for kernels whose tracepoint tells all three.
#[btf_tracepoint(function = "cap_capable")]
pub fn capability_tp(context: BtfTracePointContext) -> i32 {
    let capability: i32 = context.arg(3);
    let granted = context.arg::<i32>(4) == 0;
    match capability {
        CAP_DAC_OVERRIDE if !granted => denied(),
        CAP_SYS_PTRACE => memory::asked(granted),
        CAP_SETUID if granted => identity_change(),
        _ => {}
    }
    0
}

/// For kernels where the functions that are asked after this one can be hooked: what they never see
/// because it was refused here.
#[fexit(function = "cap_capable")]
pub fn capability_fexit(context: FExitContext) -> i32 {
    let capability: i32 = context.arg(2);
    let granted = context.arg::<i32>(4) == 0;
    refused(capability, granted);
    0
}

/// The same where the answer is not known: by what the task has.
#[kprobe]
pub fn capability_kprobe(context: ProbeContext) -> u32 {
    if let (Some(cred), Some(capability)) = (context.arg::<*const u8>(0), context.arg::<i32>(2)) {
        let effective: u64 = Probed::read(cred, offset!(cred_effective));
        refused(capability, effective & (1 << (capability & 63)) != 0);
    }
    0
}

#[inline(always)]
fn refused(capability: i32, granted: bool) {
    match capability {
        CAP_DAC_OVERRIDE if !granted => denied(),
        CAP_SYS_PTRACE if !granted => memory::asked(granted),
        _ => {}
    }
}

/// A file's mode refuses an open. The kernel asks for CAP_DAC_OVERRIDE last, and has the lookup in
/// progress.
#[inline(always)]
fn denied() {
    let lookup = lookup();
    if lookup.is_null() {
        return;
    }
    let file = key_of::<Own>(Own::follow(lookup, offset!(nameidata_inode)));
    if is_watched(file) {
        watched(file, Hook::FileDenied, kind::FILE_DENIED);
    } else {
        // Files of /proc/PID have modes too, which refuse before anybody asks about processes.
        memory::asked(false);
    }
}

/// A task takes a foreign uid and may. The uid asked for stands in the registers that the system
/// call saved at entry, which no thread can rewrite.
#[inline(always)]
fn identity_change() {
    let registers = memory::registers();
    let number: u64 = Own::read(registers, offset!(regs_syscall));
    let first = Own::read::<u64>(registers, offset!(regs_first)) as u32;
    let second = Own::read::<u64>(registers, offset!(regs_second)) as u32;
    let uid = match number {
        syscall::SETUID => first,
        // The real uid names the actor; where only the effective one changes, that does.
        syscall::SETREUID | syscall::SETRESUID if first != UNCHANGED => first,
        syscall::SETREUID | syscall::SETRESUID => second,
        _ => return,
    };
    if uid != UNCHANGED {
        takes(uid, number as u32);
    }
}

/// The current task takes a uid.
#[inline(always)]
pub fn takes(uid: u32, syscall: u32) {
    let state = task::current_state();
    if state.is_null() {
        return;
    }
    let info = unsafe { &(*state).info };
    if uid == info.uid {
        return;
    }
    let (hook, to) = (Hook::IdentityChange, To::EventsLater);
    emit_capped::<IdentityRecord>(info, hook, kind::IDENTITY, to, |record| {
        let record = unsafe { &mut *record };
        record.task = *info;
        record.uid = uid;
        record.syscall = syscall;
    });
}
