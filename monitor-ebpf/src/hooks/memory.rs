//! Ways into another process: its memory, its environment, its descriptors.
//!
//! `security_ptrace_access_check(struct task_struct *child, unsigned int mode)`: asked of every
//! such way that the rules about uids let pass.
//! `mmap_lock_acquire_returned(struct mm_struct *mm, bool write, bool success)`: somebody holds the
//! memory map of a process; of another than its own where memory is read from outside.

#[cfg(feature = "local-storage")]
use aya_ebpf::helpers::bpf_task_pt_regs;
use aya_ebpf::macros::{btf_tracepoint, fentry, kprobe, lsm};
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext, LsmContext, ProbeContext};
use monitor_common::{Hook, MemoryRecord, TaskInfo, kind, way};

use crate::emit::{To, emit_capped, failed};
use crate::kernel::{Memory, Own, Probed, Typed, offset};
use crate::task;

const MODE_ATTACH: u32 = 2;

/// Numbers of x86_64.
mod syscall {
    pub const READ: u64 = 0;
    pub const PREAD64: u64 = 17;
    pub const READV: u64 = 19;
    pub const PTRACE: u64 = 101;
    pub const PREADV: u64 = 295;
    pub const PROCESS_VM_READV: u64 = 310;
    pub const PROCESS_VM_WRITEV: u64 = 311;
    pub const PREADV2: u64 = 327;
    pub const PIDFD_GETFD: u64 = 438;
}

/// A way into a process is asked for and the uids are right.
#[fentry(function = "security_ptrace_access_check")]
pub fn memory_access_fentry(context: FEntryContext) -> i32 {
    checked::<Typed>(context.arg(0), context.arg(1));
    0
}

/// A way into a process is asked for and the uids are right.
#[lsm(hook = "ptrace_access_check")]
pub fn memory_access_lsm(context: LsmContext) -> i32 {
    checked::<Typed>(context.arg(0), context.arg(1));
    0
}

/// A way into a process is asked for and the uids are right.
#[kprobe]
pub fn memory_access_kprobe(context: ProbeContext) -> u32 {
    if let (Some(child), Some(mode)) = (context.arg(0), context.arg(1)) {
        checked::<Probed>(child, mode);
    }
    0
}

#[inline(always)]
fn checked<M: Memory>(child: *const u8, mode: u32) {
    let way = by_lookup(lookup());
    let way = if way != way::OTHER {
        way
    } else if mode & MODE_ATTACH != 0 {
        by_call(registers())
    } else {
        // Looks that tell nothing of what is in memory: states, names, namespaces.
        return;
    };
    let process: u32 = M::read(child, offset!(task_tgid));
    if is_own(process) {
        return;
    }
    let mut target = TaskInfo::default();
    task::capture::<M>(child, &mut target);
    tell(&target, way, true);
}

/// The capability to reach into foreign processes was asked for: by a lookup of a file in /proc, or
/// by a call that names the process by its number.
#[inline(always)]
pub fn asked(granted: bool) {
    let lookup = lookup();
    let mut target = TaskInfo::default();
    let way = if lookup.is_null() {
        let registers = registers();
        let way = by_call(registers);
        target.pid = match way {
            way::PTRACE => Own::read::<u64>(registers, offset!(regs_second)) as u32,
            way::PROCESS_VM => Own::read::<u64>(registers, offset!(regs_first)) as u32,
            // Of pidfd_getfd only the descriptor is known.
            way::DESCRIPTOR => 0,
            _ => return,
        };
        way
    } else {
        let way = by_lookup(lookup);
        if way == way::OTHER {
            return;
        }
        let task = process_of(lookup);
        task::capture::<Probed>(task, &mut target);
        way
    };
    tell(&target, way, granted);
}

/// Somebody reads the memory of a process that is not its own, whatever uids they have.
#[btf_tracepoint(function = "mmap_lock_acquire_returned")]
pub fn foreign_memory_tp(context: BtfTracePointContext) -> i32 {
    let memory: *const u8 = context.arg(0);
    let write: u32 = context.arg(1);
    let own = Own::follow(task::current(), offset!(task_mm));
    // A kernel thread has none; most of all this is a process at its own memory.
    if own.is_null() || memory.addr() == own.addr() || write & 1 != 0 {
        return 0;
    }
    let registers = registers();
    let way = match by_call(registers) {
        way::OTHER => by_descriptor(registers),
        // Asked for by the capability, or told by the process connector.
        way::DESCRIPTOR => return 0,
        way => way,
    };
    if way == way::OTHER {
        return 0;
    }
    let owner = Typed::follow(memory, offset!(mm_owner));
    if owner.is_null() {
        return 0;
    }
    let process: u32 = Typed::read(owner, offset!(task_tgid));
    if is_own(process) {
        return 0;
    }
    let mut target = TaskInfo::default();
    task::capture::<Typed>(owner, &mut target);
    tell(&target, way, true);
    0
}

#[inline(always)]
fn is_own(process: u32) -> bool {
    let own: u32 = Own::read(task::current(), offset!(task_tgid));
    process == own
}

#[inline(always)]
fn tell(target: &TaskInfo, way: u32, granted: bool) {
    let hook = Hook::MemoryAccess;
    let state = task::current_state();
    if state.is_null() {
        failed(hook);
        return;
    }
    let info = unsafe { &(*state).info };
    if task::is_daemon(info) || info.pid == target.pid {
        return;
    }
    emit_capped::<MemoryRecord>(info, hook, kind::MEMORY, To::Events, |record| {
        let record = unsafe { &mut *record };
        record.task = *info;
        record.target = *target;
        record.way = way;
        record.granted = u32::from(granted);
    });
}

/// The path lookup that the current task is in the middle of; null for none.
#[inline(always)]
pub fn lookup() -> *const u8 {
    Own::follow(task::current(), offset!(task_nameidata))
}

/// The registers that the current system call saved at entry.
#[cfg(not(feature = "local-storage"))]
#[inline(always)]
pub fn registers() -> *const u8 {
    // They lie at the top of the task's stack: x86_64, without KASAN.
    const STACK: usize = 16_384;
    const REGISTERS: usize = 168;
    Own::follow(task::current(), offset!(task_stack)).wrapping_add(STACK - REGISTERS)
}

/// The registers that the current system call saved at entry.
#[cfg(feature = "local-storage")]
#[inline(always)]
pub fn registers() -> *const u8 {
    let task = task::current().cast_mut().cast();
    core::ptr::with_exposed_provenance(unsafe { bpf_task_pt_regs(task) } as usize)
}

/// By the file of /proc that is being looked up.
#[inline(always)]
fn by_lookup(lookup: *const u8) -> u32 {
    if lookup.is_null() {
        return way::OTHER;
    }
    by_name(Probed::follow(
        lookup,
        offset!(nameidata_path) + offset!(path_dentry),
    ))
}

/// By the system call.
#[inline(always)]
fn by_call(registers: *const u8) -> u32 {
    match Own::read::<u64>(registers, offset!(regs_syscall)) {
        syscall::PTRACE => way::PTRACE,
        syscall::PROCESS_VM_READV | syscall::PROCESS_VM_WRITEV => way::PROCESS_VM,
        syscall::PIDFD_GETFD => way::DESCRIPTOR,
        _ => way::OTHER,
    }
}

/// By the file of /proc that a call reads from.
#[inline(always)]
fn by_descriptor(registers: *const u8) -> u32 {
    match Own::read::<u64>(registers, offset!(regs_syscall)) {
        syscall::READ | syscall::PREAD64 | syscall::READV | syscall::PREADV | syscall::PREADV2 => {}
        _ => return way::OTHER,
    }
    let number = Own::read::<u64>(registers, offset!(regs_first)) as u32;
    let files = Own::follow(task::current(), offset!(task_files));
    let table = Probed::follow(files, offset!(files_table));
    let descriptors = Probed::follow(table, offset!(table_descriptors));
    let file = Probed::follow(descriptors, number.wrapping_mul(8));
    by_name(Probed::follow(
        file,
        offset!(file_path) + offset!(path_dentry),
    ))
}

/// By the name of a file in /proc/PID.
#[inline(always)]
fn by_name(dentry: *const u8) -> u32 {
    let name: u64 = Probed::read(Probed::follow(dentry, offset!(dentry_name)), 0);
    // The first eight bytes of the name, with the zero that ends a shorter one.
    const MEM: u64 = u64::from_le_bytes(*b"mem\0\0\0\0\0");
    const MAPS: u64 = u64::from_le_bytes(*b"maps\0\0\0\0");
    const SMAPS: u64 = u64::from_le_bytes(*b"smaps\0\0\0");
    const ENVIRON: u64 = u64::from_le_bytes(*b"environ\0");
    const FOUR: u64 = 0xffff_ffff;
    const FIVE: u64 = 0xff_ffff_ffff;
    const SIX: u64 = 0xffff_ffff_ffff;
    if name & FOUR == MEM {
        way::MEM
    } else if name & FIVE == MAPS || name & SIX == SMAPS {
        way::MAPS
    } else if name == ENVIRON {
        way::ENVIRON
    } else {
        way::OTHER
    }
}

/// The process that a file of /proc/PID is about.
#[inline(always)]
fn process_of(lookup: *const u8) -> *const u8 {
    let inode = Probed::follow(lookup, offset!(nameidata_inode));
    let outer = inode.wrapping_sub(offset!(proc_inode_inode) as usize);
    let pid = Probed::follow(outer, offset!(proc_inode_pid));
    let link = Probed::follow(pid, offset!(pid_tasks));
    link.wrapping_sub(offset!(task_pid_links) as usize)
}
