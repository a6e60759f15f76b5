//! The one place through which every fact goes: enrich, record, detect, store, show.

mod files;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;

use super::digests::Digests;
use super::enrich::Enricher;
use super::followed::Followed;
use super::holders::Holders;
use super::looker::{Looker, Place};
use super::mounts::Mounts;
use crate::config::Config;
use crate::credential::{FingerprintKey, WatchHandle};
use crate::decode::Decoded;
use crate::detection::{Detector, Outcome};
use crate::model::{
    Alert, CredentialKind, CredentialState, Fact, Record, RegistryChange, Relied, Selector, Target,
    Timestamp,
};
use crate::sensor::Sensor;
use crate::telemetry::Delays;

/// Where outcomes go. The daemon stores and shows them; a recording only keeps the facts.
pub(super) trait Output: Send {
    /// A fact, before it is detected upon.
    fn fact(&mut self, record: &Record);
    /// New or ended alerts. They are stored when this returns.
    fn alerts(&mut self, alerts: Vec<Alert>) -> impl Future<Output = ()> + Send;
    /// States that the detector has changed by itself. They are stored when this returns.
    fn changes(
        &mut self,
        time: Timestamp,
        changes: Vec<RegistryChange>,
    ) -> impl Future<Output = ()> + Send;
    /// What may be stored later: alerts that counted a repeat, rows of usage.
    fn later(&mut self, outcome: &Outcome);
    /// What was known before has been taken in; all that follows is new.
    fn restored(&mut self);
    /// An identity acted.
    fn seen(&mut self, selector: &Selector, time: Timestamp);
}

/// The pipeline with what it needs of the host.
pub(super) struct Core<O> {
    pub(super) detector: Detector,
    pub(super) output: O,
    pub(super) sensor: Arc<Sensor>,
    /// `None` only in the moment before it is handed over.
    watch: Option<WatchHandle>,
    holders: Option<Holders>,
    pub(super) key: Arc<FingerprintKey>,
    pub(super) events: u64,
    pub(super) delays: Delays,
    pub(super) raised: u64,
    enricher: Enricher,
    followed: Followed,
    looker: Looker,
    mounts: Mounts,
    /// When it is asked next what the kernel half was not run for.
    missed_due: Instant,
    /// Files to look at again: whoever wrote them may not have been done.
    again: Vec<(Instant, PathBuf)>,
    directories: BTreeSet<PathBuf>,
    /// Paths that somebody has spoken about: what lies there is a credential whatever its shape.
    declared: BTreeSet<PathBuf>,
    /// Own places: what lies there is no credential of anybody.
    pub(super) own: PathBuf,
}

/// How often it is asked what the kernel half was not run for: a small file for each program.
const MISSED: std::time::Duration = std::time::Duration::from_secs(4);

impl<O: Output> Core<O> {
    pub(super) fn new(
        config: &Config,
        output: O,
        sensor: Arc<Sensor>,
        watch: Option<WatchHandle>,
        holders: Option<Holders>,
        key: Arc<FingerprintKey>,
        state_dir: &Path,
    ) -> anyhow::Result<Self> {
        let digests = config.detection.has_digests().then(Digests::start);
        Ok(Self {
            detector: Detector::new(config.detection.clone()),
            output,
            sensor,
            watch,
            enricher: Enricher::new(
                Arc::clone(&key),
                config.sensor.job_environment,
                digests.transpose()?,
            ),
            holders,
            key,
            events: 0,
            delays: Delays::new()?,
            raised: 0,
            followed: Followed::default(),
            looker: Looker::default(),
            mounts: Mounts::new(),
            missed_due: Instant::now() + MISSED,
            again: Vec::new(),
            directories: BTreeSet::new(),
            declared: BTreeSet::new(),
            own: state_dir.to_owned(),
        })
    }

    /// Goes by another configuration from now on; `search` replaces the one that runs.
    pub(super) fn go_by(&mut self, config: &Config, search: Option<WatchHandle>) {
        self.detector.go_by(config.detection.clone());
        if config.detection.has_digests() {
            let processes = &self.detector.state.processes;
            let living = processes.living().map(|(process, _)| process);
            let living = living.filter_map(|of| Some((&of.task, of.exe()?)));
            if let Err(error) = self.enricher.take_digests(living) {
                tracing::error!(%error, "digests of programs cannot be taken, and allow nothing");
            }
        }
        let Some(search) = search else { return };
        for directory in &self.directories {
            search.add_directory(directory.clone());
        }
        let credentials = self.detector.state.registry.credentials();
        for entry in credentials.filter(|of| of.credential.kind == CredentialKind::Opaque) {
            search.want(entry.credential.fingerprint.clone());
        }
        if let Some(former) = self.watch.replace(search) {
            // Its threads may be waiting for room that only this task makes.
            tokio::task::spawn_blocking(move || drop(former));
        }
    }

    /// Something that the daemon relies on is not as it was.
    pub(super) async fn tampered(&mut self, what: Relied, path: PathBuf, detail: String) {
        self.fact(Fact::Tampered { what, path, detail }).await;
    }

    /// Takes in one fact of this moment.
    pub(super) async fn fact(&mut self, fact: Fact) {
        let time = self.sensor.now();
        self.take(Record { time, fact }).await;
    }

    /// Takes in one fact, after what has to be known for it.
    pub(super) async fn take(&mut self, record: Record) {
        for before in self.enricher.before(&record) {
            self.step(&before).await;
        }
        self.step(&record).await;
    }

    async fn step(&mut self, record: &Record) {
        self.output.fact(record);
        if let Fact::Registry(change) = &record.fact
            && let Target::Path(path) = &change.target
        {
            if change.state == CredentialState::Active {
                self.declared.remove(path);
            } else {
                self.declared.insert(path.clone());
            }
        }
        self.look_into(record);
        let outcome = self.detector.step(record);
        if matches!(record.fact, Fact::Registry(_)) || !outcome.changes.is_empty() {
            self.sensor.forget_repeats();
        }
        self.output.later(&outcome);
        if !outcome.changes.is_empty() {
            self.output.changes(record.time, outcome.changes).await;
        }
        if let Some(selector) = &outcome.seen {
            self.output.seen(selector, record.time);
        }
        if !outcome.alerts.is_empty() {
            self.raised += outcome.alerts.len() as u64;
            self.output.alerts(outcome.alerts).await;
        }
    }

    /// Has it looked at what a program was given.
    fn look_into(&self, record: &Record) {
        let Some(holders) = &self.holders else {
            return;
        };
        if let Fact::Exec { task, .. } | Fact::Running { task, .. } = &record.fact
            && task.pid != std::process::id()
        {
            let ago = self.sensor.now().since(task.start);
            match &record.fact {
                Fact::Exec { .. } => holders.started(task, ago),
                _ => holders.running(task, ago),
            }
        }
    }

    /// Takes in a batch of the sensor.
    pub(super) async fn batch(&mut self, batch: Vec<Decoded>) {
        self.events += batch.len() as u64;
        let now = self.sensor.now();
        for decoded in &batch {
            self.delays.note(now.since(decoded.time()));
        }
        for decoded in batch {
            match decoded {
                Decoded::Fact(Record {
                    time,
                    fact: Fact::Located(located),
                }) => self.located(time, located).await,
                Decoded::Fact(record) => {
                    if !self.is_of_another_file(&record.fact) {
                        self.take(record).await;
                    }
                }
                Decoded::Look(look) => self.look(*look).await,
                // The sensor resolves these before it delivers.
                Decoded::UnixSocket { .. } | Decoded::Dns(_) | Decoded::Flow(_) => {}
            }
        }
    }

    /// Follows secrets that no content leads to, looks again at files that were being written, and
    /// lets time pass.
    pub(super) async fn tick(&mut self) {
        for left in self.followed.moved_opaque() {
            let time = self.sensor.now();
            self.gone(time, left.file, left.path).await;
        }
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.again)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.again = later;
        for (_, path) in due {
            let (place, there) = (Place::Path(path.clone()), path.clone());
            let found = self.contents(place, move || Some(there)).await;
            let time = self.sensor.now();
            if let Some((_, Some(located))) = found {
                self.located(time, located).await;
            } else if let Some(file) = self.detector.state.registry.file_at(&path)
                && !super::look::is(&path, file)
            {
                self.gone(time, file, path).await;
            }
        }
        if now >= self.missed_due {
            self.missed_due = now + MISSED;
            self.missed().await;
        }
        for directory in self.mounts.new_ones() {
            self.watch_directory(&directory);
        }
        self.look_at_declared().await;
        self.fact(Fact::Tick).await;
    }

    /// Tells for what the kernel half was not run.
    async fn missed(&mut self) {
        for (hook, count) in self.sensor.missed() {
            self.fact(Fact::Lost {
                hook: hook.to_owned(),
                cpu: None,
                count,
            })
            .await;
        }
    }

    /// Sums what is open, at the end.
    pub(super) async fn finish(&mut self) {
        self.missed().await;
        let alerts = self.detector.finish();
        if !alerts.is_empty() {
            self.output.alerts(alerts).await;
        }
    }
}
