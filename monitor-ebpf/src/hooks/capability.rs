//! `cap_capable`: the kernel asks whether a task has a capability. The question alone tells of
//! opens that are refused, of reaching into other users' processes, and of changes of uid, without
//! a hook on any system call. And it tells which capabilities a process really uses.
//!
//! Tracepoint (6.13): `(const struct cred *cred, struct user_namespace *targ_ns,
//! const struct user_namespace *capable_ns, int cap, int ret)`. Function:
//! `(const struct cred *cred, struct user_namespace *targ_ns, int cap, unsigned int opts)`.

use aya_ebpf::macros::{btf_tracepoint, fexit, kprobe};
use aya_ebpf::programs::{BtfTracePointContext, FExitContext, ProbeContext};
use monitor_common::{CapabilityRecord, Hook, IdentityRecord, kind};

use super::memory::{self, lookup};
use crate::emit::{To, emit, emit_capped, failed};
use crate::file::{is_watched, key_of, watched};
use crate::kernel::{Memory, Own, Probed, offset};
use crate::maps::TASKS;
use crate::task;

const CAP_DAC_OVERRIDE: i32 = 1;
const CAP_SETUID: i32 = 7;
const CAP_SYS_PTRACE: i32 = 19;
/// Asked for whenever a process asks for memory, to know how much the kernel may promise it.
const CAP_SYS_ADMIN: i32 = 21;
/// The kernel asks for its own purposes: no act depends on the answer (`CAP_OPT_NOAUDIT`).
const NO_AUDIT: u32 = 1 << 1;
/// "Leave this one as it is" in the calls that set several.
const UNCHANGED: u32 = u32::MAX;

/// Numbers of x86_64.
mod syscall {
    pub const SETUID: u64 = 105;
    pub const SETREUID: u64 = 113;
    pub const SETRESUID: u64 = 117;
}

/// The one program for kernels whose tracepoint tells all of it.
#[btf_tracepoint(function = "cap_capable")]
pub fn capability_tp(context: BtfTracePointContext) -> i32 {
    let cred: *const u8 = context.arg(0);
    let capability: i32 = context.arg(3);
    let granted = context.arg::<i32>(4) == 0;
    // The tracepoint does not say what the kernel asks for, and this one it asks all the time.
    if granted && capability != CAP_SYS_ADMIN {
        used::<Own>(cred, capability, 0);
    }
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
    let cred: *const u8 = context.arg(0);
    let capability: i32 = context.arg(2);
    let options: u32 = context.arg(3);
    let granted = context.arg::<i32>(4) == 0;
    if granted && options & NO_AUDIT == 0 {
        used::<Own>(cred, capability, 1);
    }
    refused(capability, granted);
    0
}

/// The same where the answer is not known: by what the task has.
#[kprobe]
pub fn capability_kprobe(context: ProbeContext) -> u32 {
    if let (Some(cred), Some(capability), Some(options)) = (
        context.arg::<*const u8>(0),
        context.arg::<i32>(2),
        context.arg::<u32>(3),
    ) {
        let effective: u64 = Probed::read(cred, offset!(cred_effective));
        let granted = effective & (1 << (capability & 63)) != 0;
        if granted && options & NO_AUDIT == 0 {
            used::<Probed>(cred, capability, 1);
        }
        refused(capability, granted);
    }
    0
}

/// A task uses a capability that it has: told once for its program and uid.
#[inline(always)]
fn used<M: Memory>(cred: *const u8, capability: i32, exact: u32) {
    let task = task::current();
    // Else the question is about another task, or about rights that were taken on for a moment:
    // access(2) asks what a process might do, overlayfs does what its mounter may.
    if cred.addr() != Own::follow(task, offset!(task_real_cred)).addr() {
        return;
    }
    let uid: u32 = M::read(cred, offset!(cred_uid));
    let bit = 1u64 << (capability & 63);
    let state = unsafe { TASKS.of_task(task, false) };
    if !state.is_null() {
        let state = unsafe { &*state };
        if state.used & bit != 0 && state.used_as == uid {
            return;
        }
    }
    let state = task::current_state();
    if state.is_null() {
        failed(Hook::CapabilityUse);
        return;
    }
    let state = unsafe { &mut *state };
    if state.used_as != uid {
        state.used_as = uid;
        state.used = 0;
    }
    state.used |= bit;
    let info = &state.info;
    // Threads of the kernel run no program, and have every right.
    if info.exe_ino == 0 || task::is_daemon(info) {
        return;
    }
    // Not capped: there are as many as capabilities, for each program that is started.
    let (hook, to) = (Hook::CapabilityUse, To::EventsLater);
    emit::<CapabilityRecord>(hook, kind::CAPABILITY, to, |record| {
        let record = unsafe { &mut *record };
        record.task = *info;
        record.capability = capability as u32;
        record.exact = exact;
    });
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
