//! Keys of the kernel's keyrings:
//! `security_key_permission(key_ref_t key_ref, const struct cred *cred, enum key_need_perm need)`,
//! and, where functions cannot be hooked, `sys_enter(struct pt_regs *regs, long id)`, which taxes
//! every system call of the host and is loaded by the operator's choice only.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use aya_ebpf::macros::{btf_tracepoint, fentry, kprobe, lsm};
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext, LsmContext, ProbeContext};
use monitor_common::{DESCRIPTION_BYTES, Hook, KeyRecord, kind};

use crate::emit::{To, emit_capped, failed};
use crate::kernel::{Memory, Probed, offset};
use crate::task;

/// `KEY_NEED_READ` of `enum key_need_perm`.
const NEED_READ: u32 = 2;
/// keyctl(2) on x86_64, and its operation that reads.
const KEYCTL: i64 = 250;
const KEYCTL_READ: u64 = 11;

/// A key may be read.
#[fentry(function = "security_key_permission")]
pub fn key_read_fentry(context: FEntryContext) -> i32 {
    permitted(context.arg(0), context.arg(2));
    0
}

/// A key may be read.
#[lsm(hook = "key_permission")]
pub fn key_read_lsm(context: LsmContext) -> i32 {
    permitted(context.arg(0), context.arg(2));
    0
}

/// A key may be read.
#[kprobe]
pub fn key_read_kprobe(context: ProbeContext) -> u32 {
    if let (Some(key), Some(need)) = (context.arg(0), context.arg(2)) {
        permitted(key, need);
    }
    0
}

#[inline(always)]
fn permitted(reference: u64, need: u32) {
    if need != NEED_READ {
        return;
    }
    // The lowest bit says whether the caller possesses the key.
    let key = core::ptr::with_exposed_provenance((reference & !1) as usize);
    tell(Probed::read(key, offset!(key_serial)), key);
}

/// keyctl(2) is called to read a key.
#[btf_tracepoint(function = "sys_enter")]
pub fn key_read_syscall(context: BtfTracePointContext) -> i32 {
    let number: i64 = context.arg(1);
    if number != KEYCTL {
        return 0;
    }
    let registers: *const u8 = context.arg(0);
    let operation: u64 = Probed::read(registers, offset!(regs_first));
    if operation & 0xffff_ffff != KEYCTL_READ {
        return 0;
    }
    let serial = Probed::read::<u64>(registers, offset!(regs_second)) as u32;
    tell(serial, core::ptr::null());
    0
}

#[inline(always)]
fn tell(serial: u32, key: *const u8) {
    let hook = Hook::KeyRead;
    let state = task::current_state();
    if state.is_null() {
        failed(hook);
        return;
    }
    let info = unsafe { &(*state).info };
    if task::is_daemon(info) {
        return;
    }
    emit_capped::<KeyRecord>(info, hook, kind::KEY, To::Events, |record| {
        let record = unsafe { &mut *record };
        record.task = *info;
        record.serial = serial;
        record.owner = if key.is_null() {
            u32::MAX
        } else {
            Probed::read(key, offset!(key_owner))
        };
        record.description = [0; DESCRIPTION_BYTES];
        if offset!(kernel_reads) != 0 && !key.is_null() {
            unsafe {
                bpf_probe_read_kernel_str(
                    record.description.as_mut_ptr().cast(),
                    DESCRIPTION_BYTES as u32,
                    Probed::follow(key, offset!(key_description)).cast(),
                );
            }
        }
    });
}
