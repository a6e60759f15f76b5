//! What watches: the sensor and discovery, with their queues.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::core::{Core, Output};
use super::holders::{Holders, Options};
use super::look;
use crate::cli::CommandError;
use crate::config::Config;
use crate::credential::{
    DirectoryWatch, FingerprintKey, Found, Scan, WatchConfig, WatchError, WatchHandle,
    inspect_open, places,
};
use crate::decode::Decoded;
use crate::model::Fact;
use crate::sensor::{self, GatewayOptions, LoadError, Sensor};

/// Files found by discovery that may wait.
const FOUND: usize = 1_024;

/// The sensor and discovery, started.
pub(super) struct Parts {
    /// Dropped before the sensor, which waits for a thread of its own to end: that one may be
    /// waiting for room in here, and until then nobody answers who opens a marked file.
    pub(super) batches: mpsc::Receiver<Vec<Decoded>>,
    pub(super) sensor: Arc<Sensor>,
    pub(super) found: mpsc::Receiver<Found>,
    finds: mpsc::Sender<Found>,
    /// Credentials that lie in no file.
    pub(super) held: mpsc::Receiver<Fact>,
    holders: Option<Holders>,
    watch: Option<WatchHandle>,
    key: Arc<FingerprintKey>,
    state_dir: PathBuf,
}

impl Parts {
    /// Starts them. Environments are read only where the daemon has kept the right to it.
    pub(super) fn start(
        config: &Config,
        state_dir: &Path,
        environments: bool,
    ) -> Result<Self, CommandError> {
        let key = FingerprintKey::load_or_create(state_dir).map_err(anyhow::Error::from)?;
        let key = Arc::new(key);
        let for_sensor = Arc::clone(&key);
        let (sensor, batches) = Sensor::start(sensor::Options {
            ring_bytes: config.sensor.ring_bytes,
            wakeup_interval: config.sensor.wakeup_interval,
            permission_events: config.sensor.permission_events,
            backend: config.sensor.backend,
            system_call_hook: config.sensor.system_call_hook,
            rate_cap: config.sensor.rate_cap,
            dns: config.sensor.dns,
            gateway: gateway(config),
            inspect: Arc::new(move |file, path| {
                inspect_open(file, path, &for_sensor).ok().flatten()
            }),
        })
        .map_err(|error: LoadError| anyhow::Error::from(error))?;
        for name in places::watched_basenames() {
            if !sensor.watch_name(name) {
                tracing::warn!(name, "this name cannot be watched in the kernel");
            }
        }
        sensor.watch_control_sockets();
        hold_shared_memory(&sensor);
        let (finds, found) = mpsc::channel(FOUND);
        let watch = search(config, state_dir, &key, finds.clone()).map_err(anyhow::Error::from)?;
        let options = Options {
            environments,
            logs: config.discovery.logs.clone(),
        };
        let (holders, held) =
            Holders::start(options, Arc::clone(&key)).map_err(anyhow::Error::from)?;
        Ok(Self {
            sensor: Arc::new(sensor),
            batches,
            found,
            finds,
            held,
            holders: Some(holders),
            watch: Some(watch),
            key,
            state_dir: state_dir.to_owned(),
        })
    }

    /// Starts to search the directories of another configuration. What it finds comes where the
    /// former search's finds come.
    ///
    /// # Errors
    /// When inotify is not to be had or no thread can be started.
    pub(super) fn search(&self, config: &Config) -> Result<WatchHandle, WatchError> {
        search(config, &self.state_dir, &self.key, self.finds.clone())
    }

    pub(super) fn core<O: Output>(
        &mut self,
        config: &Config,
        output: O,
        state_dir: &Path,
    ) -> anyhow::Result<Core<O>> {
        // Taken once: each run has one core.
        let watch = self.watch.take();
        Core::new(
            config,
            output,
            Arc::clone(&self.sensor),
            watch,
            self.holders.take(),
            Arc::clone(&self.key),
            state_dir,
        )
    }
}

fn search(
    config: &Config,
    state_dir: &Path,
    key: &Arc<FingerprintKey>,
    finds: mpsc::Sender<Found>,
) -> Result<WatchHandle, WatchError> {
    let mut exclude = config.discovery.exclude.clone();
    exclude.push(state_dir.to_owned());
    let watch = WatchConfig {
        scan: Scan {
            roots: config.discovery.roots.clone(),
            exclude,
            max_files: config.discovery.max_files,
            ..Scan::default()
        },
        ..WatchConfig::default()
    };
    DirectoryWatch::start(watch, Arc::clone(key), move |found| {
        // Waits for room: discovery may be slow, and must not lose anything.
        let _ = finds.blocking_send(found);
    })
}

/// What the configuration says of the gateway, for the sensor.
pub(super) fn gateway(config: &Config) -> GatewayOptions {
    let of = &config.gateway;
    GatewayOptions {
        interfaces: of.interfaces.clone(),
        networks: of.networks.clone(),
        interval: of.interval,
    }
}

/// Where copies are made in memory: no page-cache hook sees reads there, and a file may be read
/// before discovery has heard of it. Few programs open files there, so that all of them may wait for
/// a look; in /tmp that would be a tax on every compiler.
fn hold_shared_memory(sensor: &Sensor) {
    let path = Path::new("/dev/shm");
    if let Some(id) = look::directory_id(path)
        && let Err(error) = sensor.watch_directory(id, path, true)
    {
        tracing::warn!(error, "copies in shared memory may be read unseen at first");
    }
}
