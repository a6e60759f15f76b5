//! `credwatch record`: the daemon's pipeline with a file in the place of database and sinks.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::core::Core;
use super::guard::{ClockWatch, Noticed, Signals};
use super::output::{Recorded, say};
use super::parts::Parts;
use super::privileges;
use super::startup;
use crate::cli::{CommandError, CommandResult, RecordArgs};
use crate::config::Config;
use crate::model::{Backend, Fact};
use crate::recording::Writer;
use crate::sensor;
use crate::sinks::Sinks;
use crate::storage::{FoundBaseline, Mode, Snapshot, Store};

/// Records until `args.duration` is over or a signal comes.
///
/// # Errors
/// When nothing can be watched, or the file cannot be written.
pub fn record(args: &RecordArgs) -> CommandResult {
    let config = startup::load_config(args.config.as_deref())?;
    privileges::keep_what_is_needed(
        None,
        config.sensor.job_environment || config.detection.has_digests(),
        config.sensor.backend,
    );
    startup::runtime()?.block_on(recording(args, config))
}

async fn recording(args: &RecordArgs, mut config: Config) -> CommandResult {
    if config.sensor.backend.is_none() && !sensor::runs_lsm_programs() {
        // Programs at security hooks would be attached and never run; a recording, unlike a daemon,
        // does nothing by itself that would show it.
        config.sensor.backend = Some(Backend::Fentry);
    }
    let state_dir = args.state_dir.as_path();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state_dir)
        .with_context(|| format!("cannot make {}", state_dir.display()))?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.file)
        .with_context(|| format!("cannot make the recording {}", args.file.display()))?;
    let output = Recorded {
        writer: Writer::new(file, &startup::kernel()).context("cannot write the recording")?,
        sinks: Sinks::open(&startup::sinks(&config, args.output)).map_err(anyhow::Error::from)?,
        error: None,
    };
    let before = match Store::open(state_dir, Mode::ReadOnly) {
        Ok(store) => (store.load()?, store.baselines()?),
        Err(_) => (Snapshot::default(), Vec::new()),
    };
    run(args, &config, state_dir, output, before).await
}

async fn run(
    args: &RecordArgs,
    config: &Config,
    state_dir: &Path,
    output: Recorded<std::fs::File>,
    (snapshot, baselines): (Snapshot, Vec<FoundBaseline>),
) -> CommandResult {
    let mut parts = Parts::start(config, state_dir, false)?;
    let mut core: Core<_> = parts.core(config, output, state_dir)?;
    startup::restore(&mut core, config, &snapshot, baselines).await?;
    say(&format!(
        "recording to {}{}; Ctrl-C ends it",
        args.file.display(),
        args.duration
            .map_or_else(String::new, |time| format!(" for {} s", time.as_secs()))
    ));
    let end = tokio::time::sleep(args.duration.unwrap_or(Duration::MAX / 4));
    tokio::pin!(end);
    let mut signals = Signals::take().context("cannot wait for signals")?;
    let (sender, mut gaps) = mpsc::channel(8);
    let _clock = ClockWatch::start(sender).context("cannot watch the clock")?;
    let mut tick = startup::ticks();
    while core.output.error.is_none() {
        tokio::select! {
            Some(batch) = parts.batches.recv() => core.batch(batch).await,
            Some(found) = parts.found.recv() => core.found(found).await,
            Some(fact) = parts.held.recv() => core.fact(fact).await,
            _ = tick.tick() => {
                core.tick().await;
                let flushed = core.output.writer.flush();
                core.output.error = core.output.error.take().or(flushed.err());
            }
            Some(Noticed::Fact(gap)) = gaps.recv() => core.fact(*gap).await,
            () = &mut end => break,
            _ = signals.end() => break,
        }
    }
    parts.sensor.stop();
    while let Some(batch) = parts.batches.recv().await {
        core.batch(batch).await;
    }
    core.fact(Fact::Tick).await;
    core.finish().await;
    let flushed = core.output.writer.flush();
    let error = core.output.error.take().or(flushed.err());
    let records = core.output.writer.records();
    core.output.sinks.shutdown(Duration::from_secs(5)).await;
    match error {
        None => {
            say(&format!("{records} facts recorded"));
            Ok(())
        }
        Some(error) => Err(CommandError::Runtime(
            anyhow::Error::from(error)
                .context(format!("the recording {} ends early", args.file.display())),
        )),
    }
}
