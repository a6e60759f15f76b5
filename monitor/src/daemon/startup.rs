//! The start order, the loop, and the end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::cluster::{Cluster, Reach};
use super::control::{Context, forward};
use super::core::{Core, Output};
use super::guard::{Guard, RunMark, Signals};
use super::kept::HostChanges;
use super::output::{Stored, say};
use super::parts::Parts;
use super::privileges;
use super::reload::InForce;
use super::restore::{self, DeclaredIn};
use super::serve::{Own, serve};
use crate::cli::{CommandError, CommandResult, StreamFormat};
use crate::config::{Colour, Config, ConfigError, SinkConfig, SinkKind};
use crate::control::{DEFAULT_STATE_DIR, Server, socket_path};
use crate::model::{AlertStatus, Fact, RegistryChange, Severity, Timestamp};
use crate::sinks::Sinks;
use crate::storage::{FoundBaseline, Mode, Snapshot, StorageHandle, Store, Write};

/// Where the configuration lies when none is named.
pub(super) const CONFIG: &str = "/etc/credwatch/credwatch.toml";
/// How long sinks and database have at the end.
const END: Duration = Duration::from_secs(5);

/// What the command line says about a run.
pub struct RunOptions {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--state-dir`
    pub state_dir: Option<PathBuf>,
    /// `--output`
    pub output: StreamFormat,
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// When the configuration is wrong, another daemon runs, or nothing can be watched.
pub fn run(options: &RunOptions) -> CommandResult {
    let config = load_config(options.config.as_deref())?;
    privileges::keep_what_is_needed(
        config.control.group.as_deref(),
        config.sensor.job_environment
            || config.discovery.environments
            || config.detection.has_digests(),
        config.sensor.backend,
    );
    let runtime = runtime()?;
    let result = runtime.block_on(daemon(options, &config));
    // A reader that never reads would hold a thread of stdout for ever.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Reads the configuration and the registry's files, and says what a daemon would do with them.
///
/// # Errors
/// Every mistake of every file.
pub fn check(named: Option<&Path>) -> Result<String, CommandError> {
    let config = load_config(named)?;
    let (declared, _) = restore::declared(&config.registry.directory, &[])
        .map_err(|error| CommandError::Configuration(error.into()))?;
    group(&config)?;
    runtime()?.block_on(Reach::by(&config.kubernetes))?;
    let path = named.unwrap_or(Path::new(CONFIG));
    let file = if path.exists() {
        path.display().to_string()
    } else {
        format!("no {CONFIG}, so the defaults")
    };
    let sinks: Vec<_> = config
        .sinks
        .iter()
        .map(|sink| sink.kind.to_string())
        .collect();
    Ok(format!(
        "configuration  {file}\nregistry       {} declared in {}\nsinks          {}\nok\n",
        declared.len(),
        config.registry.directory.display(),
        sinks.join(", ")
    ))
}

/// A runtime for a daemon that mostly waits.
pub(super) fn runtime() -> Result<Runtime, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("credwatch")
        .enable_all()
        .build();
    Ok(runtime.context("cannot start")?)
}

/// The configuration that is named, else the usual one, else the default.
///
/// # Errors
/// Every mistake of the file.
pub fn load_config(named: Option<&Path>) -> Result<Config, CommandError> {
    read_config(named).map_err(|error| CommandError::Configuration(error.into()))
}

/// The same, with the mistakes themselves.
pub(super) fn read_config(named: Option<&Path>) -> Result<Config, ConfigError> {
    let path = named.unwrap_or(Path::new(CONFIG));
    if named.is_none() && !path.exists() {
        return Ok(Config::default());
    }
    Config::load(path)
}

/// The kernel's release.
pub(super) fn kernel() -> String {
    let name = rustix::system::uname();
    name.release().to_string_lossy().into_owned()
}

/// Half a second: the patience of what waits for a process's next act.
pub(super) fn ticks() -> Interval {
    let mut ticks = interval(Duration::from_millis(500));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Brings back what was known, and what the registry's files say. Returns the changes that are
/// new to the database, and where targets are declared.
pub(super) async fn restore<O: Output>(
    core: &mut Core<O>,
    config: &Config,
    snapshot: &Snapshot,
    baselines: Vec<FoundBaseline>,
) -> Result<(Vec<RegistryChange>, DeclaredIn), CommandError> {
    let (changes, declared_in) = restore::declared(&config.registry.directory, &snapshot.changes)
        .map_err(|error| CommandError::Configuration(error.into()))?;
    for record in restore::facts(snapshot) {
        core.take(record).await;
    }
    core.output.restored();
    core.restore_baselines(baselines, &snapshot.words).await;
    if let Some(last) = &snapshot.last_run {
        let from = last.ended.unwrap_or(last.last_seen);
        let to = core.sensor.now();
        core.fact(Fact::Unwatched { from, to }).await;
    }
    core.fact(Fact::Restored).await;
    // Nobody watched meanwhile: what is stored says where to look, and not what is there.
    for (_, stored) in &snapshot.files {
        core.look_again(stored).await;
    }
    for change in &changes {
        core.fact(Fact::Registry(change.clone())).await;
    }
    core.look_at_declared().await;
    Ok((changes, declared_in))
}

async fn daemon(options: &RunOptions, config: &Config) -> CommandResult {
    let state_dir = options.state_dir.clone();
    let state_dir = state_dir.unwrap_or_else(|| PathBuf::from(DEFAULT_STATE_DIR));
    raise_file_limit();
    let reach = Reach::by(&config.kubernetes).await?;
    let mut store = Store::open(&state_dir, Mode::ReadWrite)?;
    let socket = socket_path(&state_dir);
    let server = Server::bind(&socket, group(config)?)?;
    let snapshot = store.load()?;
    let baselines = store.baselines()?;
    end_open_alerts(&mut store, &snapshot)?;
    let sinks = Sinks::open(&sinks(config, options.output)).map_err(anyhow::Error::from)?;
    let storage = StorageHandle::start(store)?;
    let mut parts = Parts::start(config, &state_dir, config.discovery.environments)?;
    let mut core = parts.core(config, Stored::new(storage.clone(), sinks), &state_dir)?;
    let (changes, declared_in) = restore(&mut core, config, &snapshot, baselines).await?;
    let now = Timestamp::now();
    let writes = changes.into_iter().map(|change| Write::Change(now, change));
    storage.commit(writes.collect()).await?;
    let failed = "the daemon cannot watch itself";
    let mut signals = Signals::take().context(failed)?;
    let (mut mark, gap) = RunMark::begin(snapshot.last_run.as_ref()).context(failed)?;
    core.fact(mark.watching(snapshot.last_run.as_ref())).await;
    let mut host = HostChanges::start(&snapshot);
    let mut cluster = Cluster::start(reach, &snapshot);
    if let Some(gap) = gap {
        core.fact(Fact::Gap { gap }).await;
    }
    core.output.store(vec![mark.write()]).await;
    let in_force = InForce::new(
        options.config.clone(),
        options.output,
        config.clone(),
        declared_in,
    );
    let mut guard = Guard::start(&state_dir, &in_force, storage.clone()).context(failed)?;

    let (asks, asked) = mpsc::channel(32);
    let server =
        tokio::spawn(server.run(move |request, peer| forward(request, peer, asks.clone())));
    let context = Context {
        started: Timestamp::now(),
        ready: false,
        kernel: kernel(),
        state_dir: state_dir.clone(),
        in_force,
        kubernetes: None,
    };
    say(&format!(
        "credwatch {} watches this host (pid {}); state in {}, control socket {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        state_dir.display(),
        socket.display()
    ));
    let own = Own {
        signals: &mut signals,
        mark: &mut mark,
        guard: &mut guard,
        host: &mut host,
        cluster: &mut cluster,
    };
    serve(&mut core, &mut parts, own, asked, context).await;
    drop(guard);
    drop(host);
    server.abort();
    let _ = server.await;
    parts.sensor.stop();
    while let Some(batch) = parts.batches.recv().await {
        core.batch(batch).await;
    }
    core.finish().await;
    core.output.store_seen(None);
    core.keep();
    core.store_baselines().await;
    let Stored { sinks, .. } = core.output;
    sinks.shutdown(END).await;
    storage.try_enqueue(vec![mark.end()]);
    storage.shutdown().await?;
    say("credwatch has stopped; what it knows is stored");
    Ok(())
}

/// Alerts that were counting repeats when the former daemon ended: their causes begin anew.
fn end_open_alerts(store: &mut Store, snapshot: &Snapshot) -> Result<(), CommandError> {
    let ended = snapshot.open_alerts.iter().cloned().map(|mut alert| {
        alert.status = AlertStatus::Ended;
        Write::Alert(Box::new(alert))
    });
    Ok(store.write(&ended.collect::<Vec<_>>())?)
}

/// The sinks of the configuration, with stdout in the form that was asked for.
pub(super) fn sinks(config: &Config, output: StreamFormat) -> Vec<SinkConfig> {
    let is_stdout = |kind: &SinkKind| {
        matches!(
            kind,
            SinkKind::Terminal { .. } | SinkKind::Json { path: None }
        )
    };
    let mut sinks = config.sinks.clone();
    if output == StreamFormat::Json {
        sinks.retain(|sink| !is_stdout(&sink.kind));
        sinks.push(SinkConfig {
            kind: SinkKind::Json { path: None },
            min_severity: Severity::Low,
        });
    }
    if sinks.is_empty() {
        sinks.push(SinkConfig {
            kind: SinkKind::Terminal {
                colour: Colour::Auto,
            },
            min_severity: Severity::Low,
        });
    }
    sinks
}

fn group(config: &Config) -> Result<Option<u32>, CommandError> {
    let Some(name) = &config.control.group else {
        return Ok(None);
    };
    match uzers::get_group_by_name(name) {
        Some(group) => Ok(Some(group.gid())),
        None => Err(CommandError::Configuration(anyhow!(
            "there is no group `{name}` on this host (control.group): make it with `groupadd \
             --system {name}`, or leave the key out for root only"
        ))),
    }
}

/// Every held open takes a descriptor, and one that cannot be had denies the open.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
