//! The sensor: the only module that knows aya, fanotify and the kernel half.
//!
//! Two threads. One drains the ring, on a timer or when enough has gathered, and puts its events
//! and the opens that fanotify saw in order of time. The other answers fanotify.

mod actor;
mod control_sockets;
pub mod handle;
mod hooks;
mod load;
mod maps;
mod marks;
mod offsets;
mod ring;
pub mod self_test;
mod shared;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use aya::Ebpf;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

pub use load::LoadError;
pub use marks::Inspect;

use crate::decode::{Decoded, Look};
use crate::model::{FileId, Timestamp};
use control_sockets::ControlSockets;
use load::{Attached, Settings};
use maps::{Counters, TaskStorage, Watches};
use marks::Marks;
use ring::Drain;
use shared::Shared;

/// Batches that wait for the pipeline. When they are full the ring fills, and the kernel half
/// counts what finds no room.
const BATCHES: usize = 64;

/// How the sensor is to work.
pub struct Options {
    /// Size of the ring in bytes; a power of two.
    pub ring_bytes: u32,
    /// How long an event may wait in the ring.
    pub wakeup_interval: Duration,
    /// Whether to hold opens of credential files until their opener is noted.
    pub permission_events: bool,
    /// Looks into files that appear in credential directories.
    pub inspect: Inspect,
}

/// One hook, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookState {
    /// What it watches.
    pub name: &'static str,
    /// How.
    pub backend: String,
    /// Whether it is in place.
    pub attached: bool,
    /// How often it has fired.
    pub fired: u64,
    /// How many of its events were lost.
    pub lost: u64,
    /// Why it is not in place.
    pub failure: Option<String>,
    /// What is not seen without it.
    pub blind_to: &'static str,
}

/// A running sensor. Dropping it detaches everything.
pub struct Sensor {
    shared: Arc<Shared>,
    watches: Mutex<Watches>,
    counters: Arc<Counters>,
    attached: Vec<Attached>,
    marks: Result<Arc<Marks>, String>,
    sockets: Arc<ControlSockets>,
    threads: Vec<JoinHandle<()>>,
    /// Holds the programs and their links.
    _ebpf: Ebpf,
}

impl Sensor {
    /// Loads, attaches, walks the running tasks, and starts to deliver batches in order of time.
    ///
    /// # Errors
    /// When nothing at all can be watched: no privileges, no kernel half in this build, no BTF. A
    /// hook that is refused is no error; [`Sensor::hooks`] tells of it.
    pub fn start(options: Options) -> Result<(Self, mpsc::Receiver<Vec<Decoded>>), LoadError> {
        let settings = Settings {
            own_pid: std::process::id(),
            ring_bytes: options.ring_bytes,
        };
        let (mut ebpf, mut attached) = load::load(settings)?;
        bridge_kernel_log(&mut ebpf);
        let ring = maps::take_ring(&mut ebpf)?;
        let counters = Arc::new(Counters::take(&mut ebpf)?);
        let watches = Mutex::new(Watches::take(&mut ebpf)?);
        let shared = Arc::new(Shared::new(TaskStorage::take(&mut ebpf)?).map_err(|error| {
            LoadError::Map {
                name: "eventfd",
                reason: error.to_string(),
            }
        })?);
        let sockets = Arc::new(ControlSockets::default());
        let (sender, receiver) = mpsc::channel(BATCHES);
        let drain = Drain {
            ring,
            shared: Arc::clone(&shared),
            counters: Arc::clone(&counters),
            sockets: Arc::clone(&sockets),
            interval: options.wakeup_interval,
            sender,
        };
        let mut threads = vec![spawn("sensor-ring", move || drain.run())?];
        // The ring is being drained by now: a host may run more tasks than the ring holds.
        if let Err(reason) = load::walk_running_tasks(&mut ebpf)
            && let Some(iterator) = attached
                .iter_mut()
                .find(|hook| hook.spec.name == "running_tasks")
        {
            iterator.failure.get_or_insert(reason);
        }
        release_memory();
        let marks = if options.permission_events {
            Marks::new()
                .map(Arc::new)
                .map_err(|error| format!("fanotify_init: {error}"))
        } else {
            Err("switched off by `sensor.permission_events`".to_owned())
        };
        if let Ok(marks) = &marks {
            let (marks, shared) = (Arc::clone(marks), Arc::clone(&shared));
            let inspect = options.inspect;
            threads.push(spawn("sensor-marks", move || {
                marks.serve(&shared, &inspect)
            })?);
        }
        let sensor = Self {
            shared,
            watches,
            counters,
            attached,
            marks,
            sockets,
            threads,
            _ebpf: ebpf,
        };
        Ok((sensor, receiver))
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a credential file, by every way there is.
    ///
    /// # Errors
    /// One sentence for the log; the file stays watched by the ways that worked.
    pub fn watch_file(&self, file: FileId, path: &Path) -> Result<(), String> {
        self.shared.expect_watched(file);
        let inode = self
            .watches()
            .add_file(file)
            .map_err(|error| error.to_string());
        let mark = match &self.marks {
            Ok(marks) => marks.add_file(path).map_err(|error| error.to_string()),
            Err(_) => Ok(()),
        };
        inode
            .and(mark)
            .map_err(|error| format!("{} is not fully watched: {error}", path.display()))
    }

    /// Stops watching a file that holds no credential any more, or is gone.
    pub fn unwatch_file(&self, file: FileId, path: &Path) {
        self.shared.forget_watched(file);
        self.watches().remove_file(file);
        if let Ok(marks) = &self.marks {
            marks.remove_file(path);
        }
    }

    /// Reports first reads of unknown files in a directory; with `dedicated`, holds opens there
    /// until the file was looked into.
    ///
    /// # Errors
    /// One sentence for the log.
    pub fn watch_directory(
        &self,
        directory: FileId,
        path: &Path,
        dedicated: bool,
    ) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        self.watches()
            .add_directory(directory)
            .map_err(|error| failed(&error))?;
        match &self.marks {
            Ok(marks) if dedicated => marks.add_directory(path).map_err(|error| failed(&error)),
            _ => Ok(()),
        }
    }

    /// Reports first reads of unknown files of this name, anywhere. `false` when it is too long.
    pub fn watch_name(&self, name: &str) -> bool {
        self.watches().add_name(name)
    }

    /// Looks for agents and container runtimes that listen now, and watches their sockets.
    pub fn watch_control_sockets(&self) {
        self.sockets
            .refresh(|socket| self.watches().add_socket(socket));
    }

    /// A file was looked at and holds nothing: its reads and writes are not reported again for a
    /// while.
    pub fn set_clean(&self, look: &Look) {
        let now = u32::try_from(shared::boot_time() / 1_000_000_000).unwrap_or(u32::MAX);
        self.watches().set_clean(look.seen, now);
    }

    /// Somebody has spoken about a credential: whoever has just opened one may do what is an alert
    /// from now on.
    pub fn forget_repeats(&self) {
        self.shared.forget_repeats();
    }

    /// How many files are watched.
    pub fn watched_files(&self) -> usize {
        self.shared.watched_files()
    }

    /// This moment by the sensor's clock, which its events use.
    pub fn now(&self) -> Timestamp {
        self.shared.now().1
    }

    /// Every hook with its counters.
    pub fn hooks(&self) -> Vec<HookState> {
        let mut hooks: Vec<_> = self
            .attached
            .iter()
            .map(|hook| {
                let counters = self.counters.read(hook.spec.hook);
                HookState {
                    name: hook.spec.name,
                    backend: hook.spec.attach.backend(),
                    attached: hook.failure.is_none(),
                    fired: counters.iter().map(|cpu| cpu.fired).sum(),
                    lost: counters.iter().map(|cpu| cpu.lost).sum(),
                    failure: hook.failure.clone(),
                    blind_to: hook.spec.blind_to,
                }
            })
            .collect();
        let (fired, lost) = self.shared.mark_counts();
        hooks.push(HookState {
            name: "file_open",
            backend: "fanotify open_perm".to_owned(),
            attached: self.marks.is_ok(),
            fired,
            lost,
            failure: self.marks.as_ref().err().cloned(),
            blind_to: "opens without a read, and reads on tmpfs and ramfs",
        });
        hooks
    }

    /// Stops the threads; what is in the ring by then is still delivered.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Where the self-test may put its files: a place whose reads go through the page cache.
    pub(crate) fn self_test_directory(state_dir: &Path) -> PathBuf {
        state_dir.join("self-test")
    }

    /// Watches the self-test's own socket.
    pub(crate) fn watch_socket(&self, socket: FileId, path: &Path) -> Result<(), String> {
        self.sockets.add(socket, path);
        self.watches()
            .add_socket(socket)
            .map_err(|error| error.to_string())
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing more to tell.
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LoadError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| LoadError::Map {
            name: "thread",
            reason: error.to_string(),
        })
}

/// Gives back what parsing the kernel's types took: three times what the daemon needs afterwards.
fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lines that the kernel half logs go to the daemon's own log.
fn bridge_kernel_log(ebpf: &mut Ebpf) {
    let logger = match aya_log::EbpfLogger::init(ebpf) {
        Ok(logger) => logger,
        Err(error) => {
            tracing::warn!(%error, "the kernel half's log is not read");
            return;
        }
    };
    // SAFETY: the logger owns its descriptor, never changes it, and moves into the AsyncFd.
    let Ok(mut logger) = (unsafe { AsyncFd::register(logger) }) else {
        return;
    };
    tokio::spawn(async move {
        while let Ok(mut ready) = logger.readable_mut().await {
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    });
}
