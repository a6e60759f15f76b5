//! The sensor: the only module that knows aya, fanotify and the kernel half.
//!
//! Two threads. One drains the ring, on a timer or when enough has gathered, and puts its events
//! and the opens that fanotify saw in order of time. The other answers fanotify.

mod actor;
#[cfg_attr(not(test), expect(dead_code, reason = "no ladder takes this rung yet"))]
pub mod connector;
mod control_sockets;
mod family;
mod follower;
mod gateway;
pub mod handle;
mod hooks;
mod ladder;
mod load;
mod maps;
mod marks;
mod missed;
mod offsets;
mod repeats;
mod ring;
pub mod self_test;
mod shared;
mod state;
mod thread;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use aya::Ebpf;
use monitor_common::{Hook, HookCounters};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

pub use gateway::{GatewayOptions, InterfaceState};
pub use ladder::Tried;
pub use load::{LoadError, needs_net_admin, reads_paths_from_proc, runs_lsm_programs};
pub use marks::Inspect;
pub use state::HookState;

use crate::decode::{Decoded, Look};
use crate::model::{Backend, FileId, Timestamp};
use control_sockets::ControlSockets;
use follower::Follower;
use gateway::{Flows, Gateway, Table};
use hooks::Attach;
use ladder::{Ground, Ladder};
use load::{Kernel, Loaded, Settings};
use maps::{Counters, TaskStorage, Watches};
use marks::Marks;
use missed::Missed;
use ring::{Devices, Drain};
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
    /// The kind of backend that is tried first wherever a hook has it.
    pub backend: Option<Backend>,
    /// Whether a hook on every system call may be used where nothing else sees an act.
    pub system_call_hook: bool,
    /// Most events of one thread in a second, of those that concern no credential.
    pub rate_cap: u32,
    /// Whether to read what resolvers answer.
    pub dns: bool,
    /// Looks into files that appear in credential directories.
    pub inspect: Inspect,
    /// Interfaces behind which devices are.
    pub gateway: GatewayOptions,
}

/// A running sensor. Dropping it detaches everything.
pub struct Sensor {
    shared: Arc<Shared>,
    watches: Mutex<Watches>,
    counters: Arc<Counters>,
    marks: Result<Arc<Marks>, String>,
    follower: Follower,
    sockets: Arc<ControlSockets>,
    threads: Vec<JoinHandle<()>>,
    /// The programs with their links, and which of them are in use.
    footing: Mutex<Footing>,
}

/// What the cheapest system call takes, in nanoseconds, at the least of several rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SystemCallPrice {
    /// Without a hook on it.
    pub without_ns: f64,
    /// With one.
    pub with_ns: f64,
}

/// What the hooks stand on.
struct Footing {
    loaded: Loaded,
    ladder: Ladder,
    kernel: Kernel,
    gateway: Gateway,
    missed: Missed,
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
            rate_cap: options.rate_cap,
            flows: if options.gateway.interfaces.is_empty() {
                1
            } else {
                gateway::CAPACITY
            },
        };
        let (mut loaded, kernel) = Loaded::load(settings)?;
        bridge_kernel_log(loaded.ebpf());
        let rings = maps::take_rings(loaded.ebpf())?;
        let counters = Arc::new(Counters::take(loaded.ebpf())?);
        let watches = Mutex::new(Watches::take(loaded.ebpf())?);
        let tasks = TaskStorage::take(loaded.ebpf())?;
        let shared = Arc::new(Shared::new(tasks).map_err(|error| LoadError::Map {
            name: "eventfd",
            reason: error.to_string(),
        })?);
        let sockets = Arc::new(ControlSockets::default());
        let marks = if options.permission_events {
            Marks::new()
                .map(Arc::new)
                .map_err(|error| format!("fanotify_init: {error}"))
        } else {
            Err("switched off by `sensor.permission_events`".to_owned())
        };
        let follower = Follower::new(&shared);
        let mut ground = ground(&mut loaded, kernel, &marks, &follower);
        let left_out = (!options.dns).then_some(Hook::Dns);
        let ladder = Ladder::climb(
            options.backend,
            options.system_call_hook,
            left_out,
            &mut ground,
        );
        let mut gateway = Gateway::new(&options.gateway.interfaces);
        let devices = if gateway.is_configured() {
            let table = Table::take(loaded.ebpf())?;
            gateway.look(loaded.ebpf());
            Some(Devices {
                table,
                flows: Flows::new(options.gateway.networks, options.gateway.interval),
                interval: options.gateway.interval,
            })
        } else {
            None
        };
        let (sender, receiver) = mpsc::channel(BATCHES);
        let drain = Drain {
            rings,
            shared: Arc::clone(&shared),
            counters: Arc::clone(&counters),
            sockets: Arc::clone(&sockets),
            interval: options.wakeup_interval,
            sender,
            gateway: devices,
        };
        let mut threads =
            vec![thread::spawn("sensor-ring", move || drain.run()).map_err(no_thread)?];
        if let Ok(marks) = &marks {
            let (marks, shared) = (Arc::clone(marks), Arc::clone(&shared));
            let inspect = options.inspect;
            let serve = move || marks.serve(&shared, &inspect);
            threads.push(thread::spawn("sensor-marks", serve).map_err(no_thread)?);
        }
        let sensor = Self {
            shared,
            watches,
            counters,
            marks,
            follower,
            sockets,
            threads,
            footing: Mutex::new(Footing {
                loaded,
                ladder,
                kernel,
                gateway,
                missed: Missed::new(),
            }),
        };
        sensor.follow();
        // The ring is being drained by now: a host may run more tasks than the ring holds.
        sensor.walk_running_tasks();
        sensor.settle();
        Ok((sensor, receiver))
    }

    fn walk_running_tasks(&self) {
        let mut footing = self.footing();
        let by_kernel = footing
            .ladder
            .stands_on(Hook::RunningTasks, Attach::TaskIterator);
        // All that is said of a process must name it alike.
        if by_kernel && self.shared.processes().is_none() {
            match footing.loaded.walk_running_tasks() {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(error, "the running tasks could not be walked in the kernel");
                    let Footing {
                        loaded,
                        ladder,
                        kernel,
                        ..
                    } = &mut *footing;
                    let mut ground = ground(loaded, *kernel, &self.marks, &self.follower);
                    ladder.fall(Hook::RunningTasks, &mut ground);
                }
            }
        }
        drop(footing);
        self.follower.tell_running();
    }

    /// Brings the process connector to what stands on it.
    fn follow(&self) {
        if let Err(error) = self.follower.follow(&self.footing().ladder) {
            tracing::error!(error, "the process connector does not follow");
        }
    }

    fn footing(&self) -> MutexGuard<'_, Footing> {
        self.footing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A hook that is in place did not fire when it had to: takes the next of its backends. `true`
    /// when there is one.
    pub(crate) fn fall(&self, hook: &str) -> bool {
        self.change_footing(hook, Ladder::fall)
    }

    /// A hook that had fired fell silent: attaches it anew.
    pub(crate) fn revive(&self, hook: &str) -> bool {
        self.change_footing(hook, Ladder::revive)
    }

    fn change_footing(
        &self,
        hook: &str,
        change: impl FnOnce(&mut Ladder, Hook, &mut Ground<'_>) -> bool,
    ) -> bool {
        let Some(hook) = Hook::ALL.iter().find(|known| known.name() == hook) else {
            return false;
        };
        let mut footing = self.footing();
        let Footing {
            loaded,
            ladder,
            kernel,
            ..
        } = &mut *footing;
        let mut ground = ground(loaded, *kernel, &self.marks, &self.follower);
        let found = change(ladder, *hook, &mut ground);
        drop(footing);
        self.follow();
        found
    }

    /// What the cheapest system call costs without and with the hook on all of them, which is there
    /// only meanwhile; `None` where it does not load, or is there for good.
    pub(crate) fn system_call_price(&self) -> Option<SystemCallPrice> {
        let program = hooks::SYSTEM_CALL;
        let mut footing = self.footing();
        let without_ns = self_test::system_call_ns();
        footing.loaded.attach(&program).ok()?;
        let with_ns = self_test::system_call_ns();
        footing.loaded.detach(&program);
        Some(SystemCallPrice {
            without_ns,
            with_ns,
        })
    }

    /// Gives back the memory that only attaching needs.
    pub(crate) fn settle(&self) {
        self.footing().loaded.settle();
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
            Ok(marks) if self.marks_files() || marks::has_own_devices(path) => {
                marks.add_file(path).map_err(|error| error.to_string())
            }
            _ => Ok(()),
        };
        inode
            .and(mark)
            .map_err(|error| format!("{} is not fully watched: {error}", path.display()))
    }

    /// Whether opens of credential files are seen by marks: where a hook in the kernel sees them,
    /// nobody needs to wait.
    fn marks_files(&self) -> bool {
        self.footing()
            .ladder
            .stands_on(Hook::FileOpen, Attach::Marks)
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
        self.shared.tell_repeats(true);
    }

    /// How many files are watched.
    pub fn watched_files(&self) -> usize {
        self.shared.watched_files()
    }

    /// This moment by the sensor's clock, which its events use.
    pub fn now(&self) -> Timestamp {
        self.shared.now().1
    }

    /// Acts for which the kernel did not run the programs of a hook, since it was last asked.
    pub fn missed(&self) -> Vec<(&'static str, u64)> {
        let mut footing = self.footing();
        let Footing {
            loaded,
            ladder,
            missed,
            ..
        } = &mut *footing;
        let missed = missed.count(loaded, ladder).into_iter();
        missed.map(|(hook, count)| (hook.name(), count)).collect()
    }

    /// Every hook with its counters.
    pub fn hooks(&self) -> Vec<HookState> {
        let footing = self.footing();
        let standings = footing.ladder.standings();
        let gateway = &footing.gateway;
        let gateway = gateway.is_configured().then(|| self.gateway_state(gateway));
        standings
            .map(|standing| self.hook_state(standing, footing.missed.of(standing.spec.hook)))
            .chain(gateway)
            .collect()
    }

    fn gateway_state(&self, gateway: &Gateway) -> HookState {
        let counters = self.counters.read(Hook::GatewayFlow);
        let sum = |count: fn(&HookCounters) -> u64| counters.iter().map(count).sum::<u64>();
        HookState {
            fired: sum(|of| of.fired),
            lost: sum(|of| of.lost + of.errors) + self.shared.flow_losses(),
            ..gateway.hook()
        }
    }

    /// Watches interfaces of the gateway that have come, and says how each is.
    pub fn look_at_gateway(&self) -> Vec<InterfaceState> {
        let mut footing = self.footing();
        let Footing {
            loaded, gateway, ..
        } = &mut *footing;
        gateway.look(loaded.ebpf());
        gateway.states()
    }

    fn hook_state(&self, standing: &ladder::Standing, passed_over: u64) -> HookState {
        let hook = standing.spec.hook;
        let rung = standing.rung();
        let counters = self.counters.read(hook);
        let sum = |count: fn(&HookCounters) -> u64| counters.iter().map(count).sum::<u64>();
        let (mut fired, mut lost) = (sum(|of| of.fired), sum(|of| of.lost + of.errors));
        let mut folded = sum(|of| of.folded);
        let (told, missed) = self.follower.counts(hook);
        fired += told;
        lost += missed + passed_over;
        if hook == Hook::FileOpen {
            let marks = self.shared.mark_counts();
            fired += marks.events;
            folded += marks.folded;
            lost += marks.lost;
        }
        HookState {
            name: hook.name(),
            capability: standing.spec.capability,
            backend: rung.map(ToString::to_string).unwrap_or_default(),
            kind: rung.map(hooks::Rung::kind),
            attached: rung.is_some(),
            fired,
            heard: self.shared.heard(hook),
            lost,
            folded,
            capped: sum(|of| of.capped),
            tried: standing.tried.clone(),
            blind_to: standing.spec.blind_to,
            fix: standing.spec.fix,
            remark: (hook == Hook::Dns)
                .then(|| self.shared.garbled())
                .filter(|count| *count > 0)
                .map(|count| format!("{count} messages from port 53 were garbled")),
            by_choice: rung.is_none() && standing.spec.rungs.iter().any(|rung| rung.by_choice),
        }
    }

    /// Stops the threads; what is in the ring by then is still delivered.
    pub fn stop(&self) {
        self.shared.stop();
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

fn no_thread(error: std::io::Error) -> LoadError {
    LoadError::Map {
        name: "thread",
        reason: error.to_string(),
    }
}

/// What there is to stand on.
fn ground<'a>(
    loaded: &'a mut Loaded,
    kernel: Kernel,
    marks: &Result<Arc<Marks>, String>,
    follower: &Follower,
) -> Ground<'a> {
    Ground {
        loaded,
        programs: if kernel.task_storage || kernel.reads {
            Ok(())
        } else {
            Err(
                "under lockdown=confidentiality no program of this kernel can tell who acts"
                    .to_owned(),
            )
        },
        marks: marks.as_ref().map(|_| ()).map_err(Clone::clone),
        connector: follower.available.clone(),
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
