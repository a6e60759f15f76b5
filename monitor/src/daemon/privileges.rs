//! Least privilege: what root has and the daemon does not need is dropped before it starts.

use caps::{CapSet, Capability, CapsHashSet};

/// What is needed, measured on Linux 6.18 by taking each away in turn:
/// - `CAP_SYS_ADMIN`: fanotify permission marks, and programs and maps of the kernel half (it
///   implies `CAP_BPF`, `CAP_PERFMON` and, for cgroup programs, `CAP_NET_ADMIN`);
/// - `CAP_DAC_READ_SEARCH`: to look into files of any owner;
/// - `CAP_SETUID`: the self-test's child takes another uid, to see that the hook fires;
/// - `CAP_CHOWN`: to give the control socket to the configured group.
const NEEDED: [Capability; 4] = [
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_SETUID,
    Capability::CAP_CHOWN,
];

/// Drops every other capability of this thread and of what it starts. Call it before the first
/// thread: each has its own.
pub(super) fn drop_unneeded() {
    if let Err(error) = try_drop() {
        tracing::warn!(%error, "capabilities that are not needed could not be dropped");
    }
    keep_memory_private();
}

fn try_drop() -> Result<(), caps::errors::CapsError> {
    // Bounding first: taking from it needs CAP_SETPCAP, which goes with the others.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        for capability in caps::runtime::thread_all_supported() {
            if !NEEDED.contains(&capability) {
                caps::drop(None, CapSet::Bounding, capability)?;
            }
        }
    }
    let permitted = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = permitted.intersection(&NEEDED.into()).copied().collect();
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)
}

/// Files are fingerprinted in this process: no core dump, and no debugger of an ordinary user.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "core dumps stay possible");
    }
}
