//! Loads the kernel half, and attaches one program after another, each by trial.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use aya::maps::MapType;
use aya::programs::{
    BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSockAddr, FEntry, FExit,
    Iter, KProbe, Lsm, ProgramError, ProgramType,
};
use aya::sys::{BpfHelper, is_helper_supported, is_map_supported};
use aya::util::KernelVersion;
use aya::{Btf, Ebpf, EbpfLoader};
use monitor_common::Offsets;
use zerocopy::IntoBytes;

use super::hooks::{Attach, Program};
use super::missed;
use super::offsets::{self, OffsetError};
use crate::model::Backend;

/// The kernel half, as this build embeds it. Empty in a host-only build.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/monitor-ebpf"));
/// The same for kernels without task storage.
static OBJECT_BY_NUMBER: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/monitor-ebpf-by-number"));

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
    /// A kernel before 5.8.
    #[error(
        "this kernel ({0}) has no BPF ring buffer, which Credwatch needs to get events out of it: \
         use Linux 5.8 or later"
    )]
    NoRingBuffer(String),
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

/// What constant settings a load has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) own_pid: u32,
    pub(super) ring_bytes: u32,
    pub(super) rate_cap: u32,
    /// Most flows of devices at a time.
    pub(super) flows: u32,
}

/// The kernel half in the kernel.
pub(super) struct Loaded {
    ebpf: Ebpf,
    /// Each program that was tried: in place, or why not.
    programs: HashMap<&'static str, Result<(), String>>,
    /// The kernel's types, while programs are being attached: they take three times the memory of
    /// all the rest.
    btf: Option<Btf>,
}

/// What this kernel has, beyond what its programs tell by being refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    /// What is kept with tasks lives with them, not in a table by number.
    pub(super) task_storage: bool,
    /// Programs may read any kernel memory: not so under lockdown=confidentiality.
    pub(super) reads: bool,
}

impl Kernel {
    /// Asks by trial, never by version.
    fn probe() -> Result<Self, LoadError> {
        // A trial that cannot be made says nothing against what is tried.
        if !is_map_supported(MapType::RingBuf).unwrap_or(true) {
            let name = rustix::system::uname();
            let release = name.release().to_string_lossy().into_owned();
            return Err(LoadError::NoRingBuffer(release));
        }
        let read = BpfHelper::BPF_FUNC_probe_read_kernel;
        Ok(Self {
            task_storage: is_map_supported(MapType::TaskStorage).unwrap_or(true),
            reads: is_helper_supported(ProgramType::RawTracePoint, read).unwrap_or(true),
        })
    }
}

impl Loaded {
    /// Loads the object and makes its maps. Attaches nothing yet.
    pub(super) fn load(settings: Settings) -> Result<(Self, Kernel), LoadError> {
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
        let kernel = Kernel::probe()?;
        let mut offsets: Offsets = offsets::read()?;
        offsets.own_pid = settings.own_pid;
        offsets.kernel_reads = u32::from(kernel.reads);
        offsets.rate_cap = settings.rate_cap;
        offsets.wakeup_bytes = settings.ring_bytes / 8;
        let btf = Btf::from_sys_fs()?;
        let object = if kernel.task_storage {
            OBJECT
        } else {
            OBJECT_BY_NUMBER
        };
        let ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .allow_unsupported_maps()
            .override_global("OFFSETS", offsets.as_bytes(), true)
            .map_max_entries("EVENTS", settings.ring_bytes)
            .map_max_entries("CREDENTIALS", settings.ring_bytes / 4)
            .map_max_entries("FLOWS", settings.flows)
            .map_max_entries("DEVICE_RATES", settings.flows.div_ceil(8))
            .load(object)
            .map_err(|error| LoadError::Object(Box::new(error)))?;
        let loaded = Self {
            ebpf,
            programs: HashMap::new(),
            btf: Some(btf),
        };
        Ok((loaded, kernel))
    }

    /// The object, to take its maps from.
    pub(super) fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Loads and attaches a program, once for all hooks that share it.
    pub(super) fn attach(&mut self, program: &Program) -> Result<(), String> {
        if let Some(known) = self.programs.get(program.name) {
            return known.clone();
        }
        let result = self.try_attach(program);
        self.programs.insert(program.name, result.clone());
        result
    }

    /// Takes a program out of the kernel; the next [`Self::attach`] tries it anew.
    pub(super) fn detach(&mut self, program: &Program) {
        if self.programs.remove(program.name).is_none() {
            return;
        }
        let Some(found) = self.ebpf.program_mut(program.name) else {
            return;
        };
        // One that never got in, or whose link is gone already, is no error.
        let _ = match found {
            aya::programs::Program::FEntry(found) => found.unload(),
            aya::programs::Program::FExit(found) => found.unload(),
            aya::programs::Program::Lsm(found) => found.unload(),
            aya::programs::Program::KProbe(found) => found.unload(),
            aya::programs::Program::BtfTracePoint(found) => found.unload(),
            aya::programs::Program::CgroupSockAddr(found) => found.unload(),
            aya::programs::Program::CgroupSkb(found) => found.unload(),
            aya::programs::Program::Iter(found) => found.unload(),
            _ => Ok(()),
        };
    }

    /// How often the kernel has passed over a program that is in place; `None` where it does not say.
    pub(super) fn missed(&self, program: &Program) -> Option<u64> {
        self.programs.get(program.name)?.as_ref().ok()?;
        let fd = self.ebpf.program(program.name)?.fd().ok()?;
        let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
        missed::read(&std::fs::read_to_string(path).ok()?)
    }

    /// Gives back what only attaching needs.
    pub(super) fn settle(&mut self) {
        self.btf = None;
        release_memory();
    }

    fn try_attach(&mut self, program: &Program) -> Result<(), String> {
        if self.btf.is_none() {
            self.btf = Some(Btf::from_sys_fs().map_err(explain)?);
        }
        let Self { ebpf, btf, .. } = self;
        let btf = btf.as_ref().ok_or("no type information")?;
        let found = ebpf
            .program_mut(program.name)
            .ok_or("the kernel half for this kernel has no such program")?;
        match program.attach {
            Attach::Fentry(function) => {
                let found: &mut FEntry = found.try_into().map_err(explain)?;
                found.load(function, btf).map_err(no_trampoline)?;
                found.attach().map_err(no_trampoline)?;
            }
            Attach::Fexit(function) => {
                let found: &mut FExit = found.try_into().map_err(explain)?;
                found.load(function, btf).map_err(no_trampoline)?;
                found.attach().map_err(no_trampoline)?;
            }
            Attach::Lsm(hook) => {
                let found: &mut Lsm = found.try_into().map_err(explain)?;
                found.load(hook, btf).map_err(no_trampoline)?;
                found.attach().map_err(no_trampoline)?;
            }
            Attach::Kprobe(function) => {
                if !Path::new(KPROBES).exists() {
                    return Err("this kernel was built without CONFIG_KPROBES".to_owned());
                }
                let found: &mut KProbe = found.try_into().map_err(explain)?;
                found.load().map_err(explain)?;
                found.attach(function, 0).map_err(explain)?;
            }
            Attach::Tracepoint(tracepoint) => {
                let found: &mut BtfTracePoint = found.try_into().map_err(explain)?;
                found.load(tracepoint, btf).map_err(explain)?;
                found.attach().map_err(explain)?;
            }
            Attach::CgroupRoot(_) => {
                let root = cgroup2_root().ok_or("no cgroup v2 hierarchy is mounted")?;
                let root =
                    File::open(&root).map_err(|error| format!("{}: {error}", root.display()))?;
                let found: &mut CgroupSockAddr = found.try_into().map_err(explain)?;
                found.load().map_err(explain)?;
                // Links are "multi" by nature; asking for it explicitly is refused.
                found
                    .attach(root, CgroupAttachMode::Single)
                    .map_err(explain)?;
            }
            Attach::CgroupIngress => {
                let root = cgroup2_root().ok_or("no cgroup v2 hierarchy is mounted")?;
                let root =
                    File::open(&root).map_err(|error| format!("{}: {error}", root.display()))?;
                let found: &mut CgroupSkb = found.try_into().map_err(explain)?;
                found.load().map_err(explain)?;
                let (kind, mode) = (CgroupSkbAttachType::Ingress, CgroupAttachMode::Single);
                found.attach(root, kind, mode).map_err(explain)?;
            }
            Attach::TaskIterator => {
                let found: &mut Iter = found.try_into().map_err(explain)?;
                found.load("task", btf).map_err(explain)?;
            }
            Attach::Marks | Attach::Connector | Attach::ProcWalk => {}
        }
        Ok(())
    }

    /// Walks every running task through the iterator, which fills task storage and the ring.
    pub(super) fn walk_running_tasks(&mut self) -> Result<(), String> {
        let program = self
            .ebpf
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
}

/// Whether programs of the kernel half may not read the paths of what processes run, so that these are
/// read from /proc: which tells them only to who may trace the process.
pub fn reads_paths_from_proc() -> bool {
    Kernel::probe().is_ok_and(|kernel| !kernel.reads)
}

/// Whether this kernel says that it runs programs at security hooks: `bpf` is among its active security
/// modules. Where it does not say, it is taken not to.
pub fn runs_lsm_programs() -> bool {
    let modules = std::fs::read_to_string("/sys/kernel/security/lsm");
    modules.is_ok_and(|modules| modules.trim().split(',').any(|module| module == "bpf"))
}

/// Whether attaching, and listening to the process connector, takes `CAP_NET_ADMIN`: from Linux 6.9 on
/// `CAP_SYS_ADMIN` stands for it (bpf_token_capable), but not for filters of a qdisc.
pub fn needs_net_admin(prefer: Option<Backend>) -> bool {
    prefer == Some(Backend::Clsact)
        || KernelVersion::current().is_ok_and(|of| of < KernelVersion::new(6, 9, 0))
}

/// Where the cgroup v2 hierarchy is mounted: `/sys/fs/cgroup`, or a place beside v1 on a hybrid.
pub(super) fn cgroup2_root() -> Option<PathBuf> {
    let mounts = procfs::process::Process::myself().ok()?.mountinfo().ok()?;
    mounts
        .into_iter()
        .find(|mount| mount.fs_type == "cgroup2")
        .map(|mount| mount.mount_point)
}

/// Gives back what parsing the kernel's types took.
fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Where a kernel that has kprobes says so.
const KPROBES: &str = "/sys/bus/event_source/devices/kprobe";

/// Of a program that needs a trampoline: a bare refusal means that the kernel makes none.
fn no_trampoline(error: ProgramError) -> String {
    match &error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } if io_error.kind() == std::io::ErrorKind::PermissionDenied
            && verifier_log.to_string().is_empty() =>
        {
            format!("this kernel refuses trampolines at functions ({io_error})")
        }
        _ => explain(error),
    }
}

/// An error with its causes in one line; of a verifier's log the last lines, which say why.
pub(super) fn explain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    // The verifier says why in the last line before its statistics.
    const STATISTICS: &[&str] = &["verification time", "stack depth", "processed ", ": "];
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .filter(|line| !STATISTICS.iter().any(|start| line.starts_with(start)))
        .collect();
    match lines.as_slice() {
        [] => text,
        [one] => (*one).to_owned(),
        [.., before, last] => format!("the verifier refuses it: {last} (at {before})"),
    }
}
