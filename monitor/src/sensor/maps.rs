//! The maps that the daemon writes, and the counters that it reads.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use monitor_common::{Hook, HookCounters, NAME_BYTES, SeenName, TaskInfo, TaskState};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::load::LoadError;
use super::ring::Rings;
use crate::model::FileId;

type Files = HashMap<MapData, [u64; 2], u32>;

/// What the kernel half looks for.
pub(super) struct Watches {
    files: Files,
    directories: Files,
    sockets: Files,
    clean: HashMap<MapData, [u64; 4], u32>,
    names: HashMap<MapData, [u8; NAME_BYTES], u32>,
    /// What was seen before something was added is to be compared again.
    generation: Array<MapData, u64>,
    additions: u64,
}

pub(super) fn take<T: TryFrom<Map>>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, LoadError>
where
    T::Error: std::fmt::Display,
{
    let map = ebpf.take_map(name).ok_or_else(|| LoadError::Map {
        name,
        reason: "is not there".to_owned(),
    })?;
    T::try_from(map).map_err(|error| LoadError::Map {
        name,
        reason: error.to_string(),
    })
}

/// From the encoding of stat(2) to the kernel's.
pub(super) fn kernel_key(file: FileId) -> [u64; 2] {
    let (major, minor) = (rustix::fs::major(file.dev), rustix::fs::minor(file.dev));
    [u64::from(major) << 20 | u64::from(minor), file.ino]
}

impl Watches {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        Ok(Self {
            files: take(ebpf, "WATCHED_FILES")?,
            directories: take(ebpf, "WATCHED_DIRECTORIES")?,
            sockets: take(ebpf, "WATCHED_SOCKETS")?,
            clean: take(ebpf, "CLEAN_FILES")?,
            names: take(ebpf, "WATCHED_NAMES")?,
            generation: take(ebpf, "WATCH_GENERATION")?,
            additions: 0,
        })
    }

    pub(super) fn add_file(&mut self, file: FileId) -> Result<(), aya::maps::MapError> {
        let key = kernel_key(file);
        self.files.insert(key, 1, 0)
    }

    pub(super) fn remove_file(&mut self, file: FileId) {
        // Not there is as good as removed.
        let _ = self.files.remove(&kernel_key(file));
    }

    pub(super) fn add_directory(&mut self, directory: FileId) -> Result<(), aya::maps::MapError> {
        self.directories.insert(kernel_key(directory), 1, 0)?;
        self.added()
    }

    fn added(&mut self) -> Result<(), aya::maps::MapError> {
        self.additions += 1;
        self.generation.set(0, self.additions, 0)
    }

    pub(super) fn add_socket(&mut self, socket: FileId) -> Result<(), aya::maps::MapError> {
        self.sockets.insert(kernel_key(socket), 1, 0)
    }

    /// `seen` is as the kernel half named the file, and `now` the second of CLOCK_BOOTTIME.
    pub(super) fn set_clean(&mut self, seen: SeenName, now: u32) {
        // Least recently used entries make room; failing only costs a second look.
        let SeenName {
            file,
            hash_len,
            generation,
        } = seen;
        let key = [file.dev, file.ino, hash_len, generation];
        let _ = self.clean.insert(key, now, 0);
    }

    /// Names longer than the kernel half compares are refused by returning `false`.
    pub(super) fn add_name(&mut self, name: &str) -> bool {
        let mut key = [0; NAME_BYTES];
        let Some(room) = key
            .get_mut(..name.len())
            .filter(|_| name.len() < NAME_BYTES)
        else {
            return false;
        };
        room.copy_from_slice(name.as_bytes());
        self.names.insert(key, 1, 0).is_ok() && self.added().is_ok()
    }
}

/// The counters of every hook on every CPU.
pub(super) struct Counters(PerCpuArray<MapData, [u64; 6]>);

impl Counters {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        take(ebpf, "COUNTERS").map(Self)
    }

    /// One entry per CPU.
    pub(super) fn read(&self, hook: Hook) -> Vec<HookCounters> {
        self.0.get(&(hook as u32), 0).map_or_else(
            |_| Vec::new(),
            |per_cpu| {
                per_cpu
                    .iter()
                    .map(
                        |[fired, emitted, lost, errors, folded, capped]| HookCounters {
                            fired: *fired,
                            emitted: *emitted,
                            lost: *lost,
                            errors: *errors,
                            folded: *folded,
                            capped: *capped,
                        },
                    )
                    .collect()
            },
        )
    }
}

pub(super) fn take_rings(ebpf: &mut Ebpf) -> Result<Rings, LoadError> {
    Ok(Rings {
        credentials: take(ebpf, "CREDENTIALS")?,
        events: take(ebpf, "EVENTS")?,
    })
}

/// What the kernel half keeps with tasks, read from user space.
pub(super) enum TaskStorage {
    /// By pidfd: it lives with the task.
    Local(MapData),
    /// By the number of the process's first thread.
    ByNumber(HashMap<MapData, u32, [u64; TASK_WORDS]>),
}

const TASK_WORDS: usize = size_of::<TaskState>() / size_of::<u64>();

impl TaskStorage {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        match ebpf.take_map("TASKS") {
            Some(Map::Unsupported(data)) => Ok(Self::Local(data)),
            Some(map) => {
                HashMap::try_from(map)
                    .map(Self::ByNumber)
                    .map_err(|error| LoadError::Map {
                        name: "TASKS",
                        reason: error.to_string(),
                    })
            }
            None => Err(LoadError::Map {
                name: "TASKS",
                reason: "is not there".to_owned(),
            }),
        }
    }

    /// What the kernel half knows of a process.
    pub(super) fn get(&self, pid: u32, pidfd: BorrowedFd<'_>) -> Option<TaskInfo> {
        let state = match self {
            Self::Local(data) => of_pidfd(data, pidfd)?,
            Self::ByNumber(table) => {
                let words = table.get(&pid, 0).ok()?;
                TaskState::read_from_bytes(words.as_bytes()).ok()?
            }
        };
        (state.info.pid != 0).then_some(state.info)
    }
}

fn of_pidfd(storage: &MapData, pidfd: BorrowedFd<'_>) -> Option<TaskState> {
    /// The part of `union bpf_attr` that element commands take.
    #[repr(C)]
    struct Element {
        map: u32,
        padding: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;

    let key: i32 = pidfd.as_raw_fd();
    let mut state = TaskState::new_zeroed();
    let element = Element {
        map: u32::try_from(storage.fd().as_fd().as_raw_fd()).ok()?,
        padding: 0,
        key: (&raw const key).addr() as u64,
        value: state.as_mut_bytes().as_mut_ptr().expose_provenance() as u64,
        flags: 0,
    };
    // SAFETY: `element` is laid out as the kernel expects for this command and lives through the
    // call; `key` is an int and `state` has the map's value size, which both halves take from the
    // same type.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_LOOKUP_ELEM,
            &raw const element,
            size_of::<Element>(),
        )
    };
    (result == 0).then_some(state)
}
