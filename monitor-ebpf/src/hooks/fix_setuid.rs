//! `security_task_fix_setuid(struct cred *new, const struct cred *old, int flags)`: a task takes
//! other uids, by whatever call, foreign ones or its own.

use aya_ebpf::macros::{fentry, kprobe, lsm};
use aya_ebpf::programs::{FEntryContext, LsmContext, ProbeContext};

use super::capability::takes;
use crate::kernel::{Memory, Probed, Typed, offset};

/// Uids change.
#[fentry(function = "security_task_fix_setuid")]
pub fn identity_change_fentry(context: FEntryContext) -> i32 {
    changes::<Typed>(context.arg(0));
    0
}

/// Uids change.
#[lsm(hook = "task_fix_setuid")]
pub fn identity_change_lsm(context: LsmContext) -> i32 {
    changes::<Typed>(context.arg(0));
    0
}

/// Uids change.
#[kprobe]
pub fn identity_change_kprobe(context: ProbeContext) -> u32 {
    if let Some(new) = context.arg(0) {
        changes::<Probed>(new);
    }
    0
}

#[inline(always)]
fn changes<M: Memory>(new: *const u8) {
    // Which system call it was does not matter here.
    takes(M::read(new, offset!(cred_uid)), 0);
}
