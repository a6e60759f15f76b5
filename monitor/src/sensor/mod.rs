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
mod footing;
mod gateway;
pub mod handle;
mod hooks;
mod ladder;
mod load;
mod maps;
mod marks;
mod missed;
mod netlink;
mod offsets;
mod repeats;
mod ring;
pub mod self_test;
mod shared;
mod state;
mod thread;
mod watching;

use std::sync::{Arc, Mutex};
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

use crate::decode::Decoded;
use crate::model::{Backend, Timestamp};
use control_sockets::ControlSockets;
use follower::Follower;
use footing::{Footing, ground};
use gateway::{Flows, Gateway, Table};
use ladder::Ladder;
use load::{Loaded, Settings};
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
        let mut gateway = Gateway::new(&options.gateway.interfaces, options.backend);
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

    /// Watches interfaces of the gateway that have come, and those from which somebody has taken the
    /// classifiers, and says how each is.
    pub fn look_at_gateway(&self) -> Vec<InterfaceState> {
        let mut footing = self.footing();
        let Footing {
            loaded, gateway, ..
        } = &mut *footing;
        gateway.look(loaded.ebpf())
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
