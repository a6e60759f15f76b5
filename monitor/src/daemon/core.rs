//! The one place through which every fact goes: enrich, record, detect, store, show.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;

use super::digests::Digests;
use super::enrich::Enricher;
use super::exposure;
use super::followed::{Followed, is_opaque};
use super::holders::Holders;
use super::look;
use super::looker::{Looker, Place};
use super::mounts::Mounts;
use crate::config::Config;
use crate::credential::{FingerprintKey, Found, WatchHandle, inspect, inspect_any, places};
use crate::decode::{Decoded, Look, LookReason};
use crate::detection::{Detector, Outcome};
use crate::model::{
    Access, Alert, CredentialKind, CredentialState, Fact, FileId, LocatedFile, Record,
    RegistryChange, Relied, Selector, SystemFile, Target, Timestamp,
};
use crate::sensor::Sensor;
use crate::sensor::handle::Whereabouts;
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

/// When a file that was being written is looked at again, in milliseconds.
const AGAIN: [u64; 2] = [250, 2_000];

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

    /// Whether this is a read of another file, which has got the inode number of a deleted one
    /// before anybody has heard that it is gone. The page-cache hooks know files by their number
    /// only. An open, which has its path, came by a mark: that went with its inode.
    fn is_of_another_file(&self, fact: &Fact) -> bool {
        let Fact::FileAccess {
            file, path: None, ..
        } = fact
        else {
            return false;
        };
        let registry = &self.detector.state.registry;
        let mut entries = registry
            .credentials_at(*file)
            .iter()
            .filter_map(|fingerprint| registry.credential(fingerprint))
            .peekable();
        let guarded = registry.guarded(*file);
        if entries.peek().is_none() && guarded.is_none() {
            // What lay there has gone.
            return true;
        }
        let lies_there = guarded.is_some_and(|of| look::is(&of.path, *file))
            || entries.any(|entry| {
                let mut locations = entry.locations.iter();
                locations.any(|(path, at)| at == file && look::is(path, *file))
            });
        !lies_there && self.followed.is_deleted(*file)
    }

    /// Takes in what discovery found.
    pub(super) async fn found(&mut self, found: Found) {
        let now = self.sensor.now();
        match found {
            Found::Located(located) => self.located(now, located).await,
            Found::Gone { file, path } => self.gone(now, file, path).await,
            Found::ScanDone(summary) => {
                tracing::info!(
                    files = summary.files_seen,
                    read = summary.files_read,
                    credentials = summary.credentials,
                    errors = summary.errors,
                    truncated = summary.truncated,
                    "looked through the roots for credentials"
                );
                self.fact(Fact::Searched).await;
            }
            Found::Overflow => {
                let hook = "inotify".to_owned();
                self.fact(Fact::Lost {
                    hook,
                    cpu: None,
                    count: 1,
                })
                .await;
            }
        }
    }

    /// A file with credentials: known from now on, and watched.
    pub(super) async fn located(&mut self, time: Timestamp, located: LocatedFile) {
        if located.path.starts_with(&self.own) {
            return;
        }
        let (file, path) = (located.file, located.path.clone());
        if located.credentials.is_empty() && SystemFile::at(&path).is_none() {
            self.take(Record {
                time,
                fact: Fact::Located(located),
            })
            .await;
            self.unwatch_unless_known(file, &path);
            return;
        }
        self.followed.follow(&located);
        self.want(&located);
        let is_exposed = exposure::is_exposed(&located);
        self.take(Record {
            time,
            fact: Fact::Located(located),
        })
        .await;
        if is_exposed {
            let path = path.clone();
            let fact = Fact::Exposed { file, path };
            self.take(Record { time, fact }).await;
        }
        if let Err(error) = self.sensor.watch_file(file, &path) {
            tracing::warn!(error, "a credential file is not fully watched");
        }
        if let Some(directory) = path.parent() {
            self.watch_directory(directory);
        }
    }

    /// Looks at a file that held credentials when a former daemon looked.
    pub(super) async fn look_again(&mut self, stored: &LocatedFile) {
        let time = self.sensor.now();
        let (key, before) = (Arc::clone(&self.key), stored.clone());
        let place = Place::Path(stored.path.clone());
        let found = self.beside(place, move || {
            if is_opaque(&before) {
                // Other bytes without a shape are no successor, but just another file.
                let same = |now: &LocatedFile| now.credentials == before.credentials;
                inspect_any(&before.path, &key).ok().filter(same)
            } else {
                inspect(&before.path, &key).ok().flatten()
            }
        });
        let Some(found) = found.await else { return };
        match found {
            Some(located) => self.located(time, located).await,
            None => self.gone(time, stored.file, stored.path.clone()).await,
        }
    }

    /// Finds what lies at the declared paths: discovery knows only what has a shape. A stat for each,
    /// and a look where another file lies there than before.
    pub(super) async fn look_at_declared(&mut self) {
        let paths = self.declared.iter().cloned().collect();
        let (files, is_all) = self.looker.files(paths).await;
        if !is_all {
            self.not_looked_at().await;
        }
        for (path, file) in files {
            let registry = &self.detector.state.registry;
            if registry.file_at(&path) == Some(file) && !registry.credentials_at(file).is_empty() {
                continue;
            }
            let (key, place) = (Arc::clone(&self.key), Place::Path(path.clone()));
            let found = self.beside(place, move || inspect_any(&path, &key).ok());
            if let Some(Some(located)) = found.await {
                let time = self.sensor.now();
                self.located(time, located).await;
            }
        }
    }

    /// Lets discovery know the content again that has no shape.
    fn want(&self, located: &LocatedFile) {
        if let Some(watch) = &self.watch {
            let held = located.credentials.iter();
            for of in held.filter(|of| of.kind == CredentialKind::Opaque) {
                watch.want(of.fingerprint.clone());
            }
        }
    }

    /// Watches the directory of a credential, so that its successor and copies are found.
    pub(super) fn watch_directory(&mut self, directory: &Path) {
        if !self.directories.insert(directory.to_owned()) {
            return;
        }
        let Some(id) = look::directory_id(directory) else {
            return;
        };
        let dedicated = places::is_credential_directory(directory);
        if let Err(error) = self.sensor.watch_directory(id, directory, dedicated) {
            tracing::warn!(error, "a directory of credentials is not fully watched");
        }
        if let Some(watch) = &self.watch {
            watch.add_directory(directory.to_owned());
        }
    }

    /// A file left a path: for another path, for a place that nobody can name, or for good.
    async fn gone(&mut self, time: Timestamp, file: FileId, path: PathBuf) {
        match self.followed.find(file) {
            // It has come back meanwhile.
            Some((Whereabouts::At(now), _)) if now == path => return,
            Some((Whereabouts::At(now), before)) => {
                // What it holds may have changed on the way, but a secret without a shape is known
                // by its inode only.
                let found = if is_opaque(&before) {
                    Some(LocatedFile {
                        path: now,
                        ..before
                    })
                } else {
                    let (key, place) = (Arc::clone(&self.key), Place::Device(file.dev));
                    let found = self.beside(place, move || inspect(&now, &key).ok().flatten());
                    found.await.flatten()
                };
                if let Some(found) = found {
                    self.located(time, found).await;
                }
            }
            // Its reads still tell of it, under its last path.
            Some(_) => return,
            None => self.followed.forget(file),
        }
        let fact = Fact::Unlocated {
            file,
            path: path.clone(),
        };
        self.take(Record { time, fact }).await;
        self.unwatch_unless_known(file, &path);
    }

    fn unwatch_unless_known(&self, file: FileId, path: &Path) {
        if !self.detector.state.registry.is_watched(file) {
            self.sensor.unwatch_file(file, path);
        }
    }

    /// Looks at a file that the kernel half pointed to, then says what was done with it.
    async fn look(&mut self, look: Look) {
        let (file, below_root, own) = (look.file, look.path.clone(), self.own.clone());
        let found = self.contents(Place::Device(file.dev), move || {
            let path = look::paths(file, &below_root).into_iter().next();
            path.filter(|path| !path.starts_with(&own))
        });
        let Some((path, found)) = found.await else {
            self.sensor.set_clean(&look);
            return;
        };
        match found {
            Some(located) if located.file == look.file => {
                self.located(look.time, located).await;
                if look.reason == LookReason::Named {
                    let fact = Fact::FileAccess {
                        task: look.task,
                        file: look.file,
                        access: Access::Read,
                        path: Some(path.to_string_lossy().into_owned()),
                        count: 1,
                    };
                    self.take(Record {
                        time: look.time,
                        fact,
                    })
                    .await;
                }
            }
            _ => {
                self.sensor.set_clean(&look);
                if look.reason == LookReason::WrittenAfterRead {
                    let now = Instant::now();
                    let times = AGAIN.map(|ms| now + std::time::Duration::from_millis(ms));
                    self.again.extend(times.map(|at| (at, path.clone())));
                }
            }
        }
    }

    /// What a file holds, and where it lies: a known shape, or the very bytes of a credential without
    /// one that somebody has spoken about.
    async fn contents(
        &mut self,
        place: Place,
        path: impl FnOnce() -> Option<PathBuf> + Send + 'static,
    ) -> Option<(PathBuf, Option<LocatedFile>)> {
        let key = Arc::clone(&self.key);
        let has_opaque = self.followed.has_opaque();
        let looks = self.beside(place, move || {
            let path = path()?;
            let shaped = inspect(&path, &key).ok().flatten();
            let any = || inspect_any(&path, &key).ok().filter(|_| has_opaque);
            let located = shaped.or_else(any);
            Some((path, located))
        });
        let (path, located) = looks.await.flatten()?;
        let registry = &self.detector.state.registry;
        let located = located.filter(|located| {
            let all = &located.credentials;
            let is_opaque =
                !all.is_empty() && all.iter().all(|of| of.kind == CredentialKind::Opaque);
            !is_opaque
                || all
                    .iter()
                    .any(|of| registry.credential(&of.fingerprint).is_some())
        });
        Some((path, located))
    }

    /// What a look at files says; `None` where it does not come back.
    async fn beside<T: Send + 'static>(
        &mut self,
        place: Place,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let said = self.looker.look(place, look).await;
        if said.is_none() {
            self.not_looked_at().await;
        }
        said
    }

    /// A file that may hold a credential could not be looked at in time.
    async fn not_looked_at(&mut self) {
        let time = self.sensor.now();
        let fact = Fact::Lost {
            hook: "file_look".to_owned(),
            cpu: None,
            count: 1,
        };
        // Not by way of what is told before a fact: this may have come from there.
        self.step(&Record { time, fact }).await;
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
            let place = Place::Path(path.clone());
            let found = self.contents(place, move || Some(path)).await;
            if let Some((_, Some(located))) = found {
                let time = self.sensor.now();
                self.located(time, located).await;
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
