//! All maps.

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap, PerCpuArray};
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::RingBuf;
use monitor_common::{
    FileKey, FlowCounts, FlowKey, Hook, HookCounters, NAME_BYTES, Rate, SeenName,
};

pub use crate::storage::{SOCKETS, TASKS};

const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

/// What happens to watched credentials, and nothing else: no flood of other events can fill it. The
/// daemon sets the real size at load.
#[map]
pub static CREDENTIALS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Everything else that goes to the daemon. The daemon sets the real size at load.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// Counters per hook and CPU.
#[btf_map]
pub static COUNTERS: PerCpuArray<HookCounters, { Hook::COUNT as usize }> = PerCpuArray::new();

/// Files that hold credentials. Written by the daemon.
#[btf_map]
pub static WATCHED_FILES: HashMap<FileKey, u32, 65_536, NO_PREALLOC> = HashMap::new();

/// Directories in which an unknown file is worth a look. Written by the daemon.
#[btf_map]
pub static WATCHED_DIRECTORIES: HashMap<FileKey, u32, 16_384, NO_PREALLOC> = HashMap::new();

/// Basenames that make an unknown file worth a look, zero padded. Written by the daemon.
#[btf_map]
pub static WATCHED_NAMES: HashMap<[u8; NAME_BYTES], u32, 256, NO_PREALLOC> = HashMap::new();

/// Files that were looked at and hold nothing, with the second of CLOCK_BOOTTIME when that was, so
/// that each is reported once in a while. By name too, because an inode number is given out again.
/// Written by the daemon.
#[btf_map]
pub static CLEAN_FILES: LruHashMap<SeenName, u32, 16_384> = LruHashMap::new();

/// Names at inodes that were compared with the watched names and directories and are none of them,
/// so that a file that is read again costs lookups and no walk.
#[btf_map]
pub static SEEN_NAMES: LruHashMap<SeenName, u32, 32_768> = LruHashMap::new();

/// Files that a process wrote that had just read a credential, with the second of CLOCK_BOOTTIME in the
/// lower half and the hash of the name at which it wrote in the upper: whoever reads one may be reading
/// a copy, and the daemon is told even if it has not looked into it
/// yet. By inode, because a copy may get its name when it is whole.
#[btf_map]
pub static WRITTEN_FILES: LruHashMap<FileKey, u64, 8_192> = LruHashMap::new();

/// One entry that counts how often names or directories were added: what was seen before that is
/// to be compared again. Written by the daemon.
#[btf_map]
pub static WATCH_GENERATION: Array<u64, 1> = Array::new();

/// Unix sockets that guard credentials. Written by the daemon.
#[btf_map]
pub static WATCHED_SOCKETS: HashMap<FileKey, u32, 1_024, NO_PREALLOC> = HashMap::new();

/// How many events each thread makes, by its number. One that is driven out begins anew; what was
/// capped is in the counters.
#[btf_map]
pub static RATES: LruHashMap<u32, Rate, 16_384> = LruHashMap::new();

/// How many answers of resolvers are told on each CPU. They come to sockets, not from threads.
#[btf_map]
pub static ANSWER_RATES: PerCpuArray<Rate, 1> = PerCpuArray::new();

/// Flows of devices behind the interfaces of a gateway. The daemon reads what has come together, takes
/// out what has ended, and sets the real size at load. What is driven out is what fired less what was taken out and
/// what is there.
#[btf_map]
pub static FLOWS: LruHashMap<FlowKey, FlowCounts, 32_768> = LruHashMap::new();

/// How many flows of each device are told at once, by its hardware address. The daemon sets the real size at
/// load.
#[btf_map]
pub static DEVICE_RATES: LruHashMap<u64, Rate, 4_096> = LruHashMap::new();

/// The same on each CPU, for who makes up devices. Packets come from devices, not from threads.
#[btf_map]
pub static FLOW_RATES: PerCpuArray<Rate, 1> = PerCpuArray::new();
