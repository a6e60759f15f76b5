//! Least privilege: what root has and the daemon does not need is dropped before it starts, and
//! what would let others reach its memory is closed.

use anyhow::Context as _;
use caps::{CapSet, Capability, CapsHashSet};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::model::Backend;
use crate::sensor;

/// What is needed as long as the daemon runs, because hooks may have to be put in place and proven
/// anew at any time. Measured on Linux 6.18 by taking each away in turn (`tests/src/live/privileges.rs`):
/// - `CAP_SYS_ADMIN`: fanotify permission marks, and programs and maps of the kernel half (it
///   implies `CAP_BPF`, `CAP_PERFMON` and, from Linux 6.9 on, `CAP_NET_ADMIN` for programs at a
///   cgroup);
/// - `CAP_DAC_READ_SEARCH`: to look into files of any owner, and to follow them by handle;
/// - `CAP_SETUID`: the self-test's child takes another uid, to see that the hook fires.
const NEEDED: [Capability; 3] = [
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_SETUID,
];
/// To give the control socket to a group, where one is configured.
const FOR_THE_GROUP: Capability = Capability::CAP_CHOWN;
/// To attach the program that sees packets at a cgroup before Linux 6.9, and to listen to the process
/// connector before 6.6. For filters of a qdisc on any kernel, where these are to be tried first.
const FOR_NETWORKS: Capability = Capability::CAP_NET_ADMIN;
/// To read in /proc which program a process runs that has more rights than this one: under
/// lockdown=confidentiality, where no program of the kernel half may read its path. And to read the
/// environment of processes of others, or the very file that they run, where that is configured.
const FOR_PROC: Capability = Capability::CAP_SYS_PTRACE;
/// The kernel ends others first when memory runs out, and this daemon before it ends nothing: from
/// -1000 (never) to 1000. The daemon's own tables are bounded.
const OOM_SCORE: &str = "-900";

/// Drops every other capability of this thread and of what it starts, and gives up what it could
/// gain. Call it before the first thread: each has its own. What cannot be done is a line in the
/// log, for the daemon works all the same.
pub(super) fn keep_what_is_needed(
    group: Option<&str>,
    reads_processes: bool,
    prefer: Option<Backend>,
) {
    // Before the capability that this needs is gone. Where even root has it not, the unit sets it.
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE) {
        tracing::info!(%error, "the kernel may end this daemon when memory runs out");
    }
    raise_limits();
    let mut needed = CapsHashSet::from(NEEDED);
    needed.extend(group.map(|_| FOR_THE_GROUP));
    needed.extend(sensor::needs_net_admin(prefer).then_some(FOR_NETWORKS));
    let from_proc = reads_processes || sensor::reads_paths_from_proc();
    needed.extend(from_proc.then_some(FOR_PROC));
    let steps = [
        (
            "drop capabilities that are not needed",
            drop_all_but(&needed),
        ),
        ("give up new privileges", no_new_privileges()),
        ("keep memory private", keep_memory_private()),
    ];
    for (step, done) in steps {
        if let Err(error) = done {
            tracing::warn!(error = format!("{error:#}"), "could not {step}");
        }
    }
}

/// Limits that stand in for a capability, and need one to be raised. Both matter to some hosts only:
/// maps of the kernel half are charged to the first before Linux 5.11; the second lets the process
/// connector's thread read /proc before a short-lived program is gone.
fn raise_limits() {
    for (resource, to) in [(Resource::Memlock, None), (Resource::Rtprio, Some(1))] {
        let limit = Rlimit {
            current: to,
            maximum: to,
        };
        if let Err(error) = setrlimit(resource, limit) {
            tracing::debug!(?resource, %error, "this limit stays as it is");
        }
    }
}

fn drop_all_but(needed: &CapsHashSet) -> anyhow::Result<()> {
    // Bounding first: taking from it needs CAP_SETPCAP, which goes with the others.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        for capability in caps::runtime::thread_all_supported() {
            if !needed.contains(&capability) {
                caps::drop(None, CapSet::Bounding, capability)?;
            }
        }
    }
    // What a program that this one starts would get beside its own.
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)?;
    let permitted = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = permitted.intersection(needed).copied().collect();
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    Ok(())
}

/// No program that this one starts gains anything by set-uid bits or file capabilities.
fn no_new_privileges() -> anyhow::Result<()> {
    rustix::thread::set_no_new_privs(true).context("PR_SET_NO_NEW_PRIVS")
}

/// Files are fingerprinted in this process: no core dump, and no debugger of an ordinary user.
fn keep_memory_private() -> anyhow::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("PR_SET_DUMPABLE")?;
    // A limit of 0 holds for what this process starts as well.
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).context("RLIMIT_CORE")
}
