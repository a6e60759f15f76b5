//! Loads the kernel half, each program by trial, and attaches what loads.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use aya::programs::{BtfTracePoint, CgroupAttachMode, CgroupSockAddr, Iter};
use aya::{Btf, Ebpf, EbpfLoader};
use monitor_common::Offsets;
use zerocopy::IntoBytes;

use super::hooks::{Attach, HOOKS, HookSpec};
use super::offsets::{self, OffsetError};

/// The kernel half, as this build embeds it. Empty in a host-only build.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/monitor-ebpf"));

/// Why the sensor cannot start at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A build without the kernel half.
    #[error(
        "this credwatch was built without its kernel half (no BPF toolchain was found): run \
         `cargo xtask setup`, then build again. `credwatch replay` works without it"
    )]
    HostOnly,
    /// No privileges.
    #[error("watching the kernel needs CAP_SYS_ADMIN: start this as root, for example with sudo")]
    NotPermitted,
    /// No layout of the kernel.
    #[error(transparent)]
    Offsets(#[from] OffsetError),
    /// The kernel's types could not be read by the loader.
    #[error("cannot read the kernel's type information: {0}")]
    Btf(#[from] aya::BtfError),
    /// The object or its maps were refused.
    #[error("the kernel refused the kernel half's maps: {0}")]
    Object(#[source] Box<aya::EbpfError>),
    /// A map is not there or not of the kind that this daemon expects.
    #[error("map {name} of the kernel half: {reason}")]
    Map {
        /// Which.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// A hook after the attempt.
#[derive(Debug, Clone)]
pub(super) struct Attached {
    pub(super) spec: &'static HookSpec,
    /// `None` when it is in place, else why not.
    pub(super) failure: Option<String>,
}

/// What constant settings a load has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) own_pid: u32,
    pub(super) ring_bytes: u32,
}

/// Loads and attaches everything that the kernel takes. A refused hook is no error here: its
/// [`Attached`] says so and the daemon raises the alert.
pub(super) fn load(settings: Settings) -> Result<(Ebpf, Vec<Attached>), LoadError> {
    if OBJECT.is_empty() {
        return Err(LoadError::HostOnly);
    }
    if !caps::has_cap(
        None,
        caps::CapSet::Effective,
        caps::Capability::CAP_SYS_ADMIN,
    )
    .unwrap_or(false)
    {
        return Err(LoadError::NotPermitted);
    }
    let mut offsets: Offsets = offsets::read()?;
    offsets.own_pid = settings.own_pid;
    offsets.wakeup_bytes = settings.ring_bytes / 8;
    let btf = Btf::from_sys_fs()?;
    let mut ebpf = EbpfLoader::new()
        .btf(Some(&btf))
        .allow_unsupported_maps()
        .override_global("OFFSETS", offsets.as_bytes(), true)
        .map_max_entries("EVENTS", settings.ring_bytes)
        .load(OBJECT)
        .map_err(|error| LoadError::Object(Box::new(error)))?;
    let attached = HOOKS
        .iter()
        .map(|spec| {
            let failure = attach(&mut ebpf, spec, &btf).err();
            if let Some(reason) = &failure {
                tracing::warn!(
                    hook = spec.name,
                    backend = spec.attach.backend(),
                    reason,
                    "hook not attached"
                );
            }
            Attached { spec, failure }
        })
        .collect();
    Ok((ebpf, attached))
}

fn attach(ebpf: &mut Ebpf, spec: &HookSpec, btf: &Btf) -> Result<(), String> {
    let program = ebpf
        .program_mut(spec.name)
        .ok_or("the kernel half has no such program")?;
    match spec.attach {
        Attach::Tracepoint(tracepoint) => {
            let program: &mut BtfTracePoint = program.try_into().map_err(explain)?;
            program.load(tracepoint, btf).map_err(explain)?;
            program.attach().map_err(explain)?;
        }
        Attach::CgroupRoot(_) => {
            let root = cgroup2_root().ok_or("no cgroup v2 hierarchy is mounted")?;
            let root = File::open(&root).map_err(|error| format!("{}: {error}", root.display()))?;
            let program: &mut CgroupSockAddr = program.try_into().map_err(explain)?;
            program.load().map_err(explain)?;
            // Links are "multi" by nature; asking for it explicitly is refused.
            program
                .attach(root, CgroupAttachMode::Single)
                .map_err(explain)?;
        }
        Attach::TaskIterator => {
            let program: &mut Iter = program.try_into().map_err(explain)?;
            program.load("task", btf).map_err(explain)?;
        }
    }
    Ok(())
}

/// Walks every running task through the iterator, which fills task storage and the ring.
pub(super) fn walk_running_tasks(ebpf: &mut Ebpf) -> Result<(), String> {
    let program = ebpf
        .program_mut("running_tasks")
        .ok_or("no iterator in the kernel half")?;
    let program: &mut Iter = program.try_into().map_err(explain)?;
    let link = program.attach().map_err(explain)?;
    let link = program.take_link(link).map_err(explain)?;
    let mut file = link.into_file().map_err(explain)?;
    // The program writes to the ring, not to this file; reading it to its end drives the walk.
    file.read_to_end(&mut Vec::new()).map_err(explain)?;
    Ok(())
}

/// Where the cgroup v2 hierarchy is mounted: `/sys/fs/cgroup`, or a place beside v1 on a hybrid.
pub(super) fn cgroup2_root() -> Option<PathBuf> {
    let mounts = procfs::process::Process::myself().ok()?.mountinfo().ok()?;
    mounts
        .into_iter()
        .find(|mount| mount.fs_type == "cgroup2")
        .map(|mount| mount.mount_point)
}

/// An error with its causes in one line; of a verifier's log the last lines, which say why.
fn explain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    let lines: Vec<_> = text.lines().collect();
    match lines.as_slice() {
        [] | [_] => text,
        [first, rest @ ..] => {
            let tail = rest
                .iter()
                .rev()
                .filter(|line| !line.trim().is_empty())
                .take(4);
            let tail: Vec<_> = tail
                .copied()
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect();
            format!("{first} … {}", tail.join(" | "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hook_loads() {
        let (mut ebpf, attached) = load(Settings {
            own_pid: std::process::id(),
            ring_bytes: 4 << 20,
        })
        .unwrap();
        for hook in &attached {
            println!(
                "{} {} {:?}",
                hook.spec.name,
                hook.spec.attach.backend(),
                hook.failure
            );
        }
        walk_running_tasks(&mut ebpf).unwrap();
        assert!(attached.iter().all(|hook| hook.failure.is_none()));
    }
}
