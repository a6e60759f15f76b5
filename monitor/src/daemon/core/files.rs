//! What the pipeline does about files: which are credentials, where they lie, and what is watched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;

use super::{Core, Output};
use crate::credential::{Found, inspect, inspect_any, places};
use crate::daemon::exposure;
use crate::daemon::followed::is_opaque;
use crate::daemon::look;
use crate::daemon::looker::Place;
use crate::decode::{Look, LookReason};
use crate::model::{
    Access, CredentialKind, Fact, FileId, LocatedFile, Record, SystemFile, Timestamp,
};
use crate::sensor::handle::Whereabouts;

/// When a file that was being written is looked at again, in milliseconds.
const AGAIN: [u64; 2] = [250, 2_000];

impl<O: Output> Core<O> {
    /// Whether this is a read of another file, which has got the inode number of a deleted one
    /// before anybody has heard that it is gone. The page-cache hooks know files by their number
    /// only. An open, which has its path, came by a mark: that went with its inode.
    pub(super) fn is_of_another_file(&self, fact: &Fact) -> bool {
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
    pub(in crate::daemon) async fn found(&mut self, found: Found) {
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
    pub(in crate::daemon) async fn located(&mut self, time: Timestamp, located: LocatedFile) {
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
        if self.has_left(&located) {
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
        self.leave_others(time, file, &path).await;
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

    /// Whether a file is no longer where it was found, and it is known where it went, or that it is deleted:
    /// a look that took its time must not bring back the path that the file has left meanwhile.
    fn has_left(&self, located: &LocatedFile) -> bool {
        let (file, path) = (located.file, &located.path);
        if look::is(path, file) {
            return false;
        }
        !self.other_paths(file, path).is_empty() || self.followed.is_past(located)
    }

    /// Where else a file with credentials is known to lie.
    fn other_paths(&self, file: FileId, path: &Path) -> BTreeSet<PathBuf> {
        let registry = &self.detector.state.registry;
        let held = registry.credentials_at(file).iter();
        let entries = held.filter_map(|of| registry.credential(of));
        let places = entries.flat_map(|entry| entry.locations.iter());
        let others = places.filter(|(other, at)| *at == file && other != path);
        others.map(|(other, _)| other.clone()).collect()
    }

    /// A file lies at a path, or nowhere any more: where else it was known to lie it is asked for.
    async fn leave_others(&mut self, time: Timestamp, file: FileId, path: &Path) {
        for path in self.other_paths(file, path) {
            if !look::is(&path, file) {
                let fact = Fact::Unlocated { file, path };
                self.take(Record { time, fact }).await;
            }
        }
    }

    /// Looks at a file that held credentials when a former daemon looked.
    pub(in crate::daemon) async fn look_again(&mut self, stored: &LocatedFile) {
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
    pub(in crate::daemon) async fn look_at_declared(&mut self) {
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
    pub(in crate::daemon) fn watch_directory(&mut self, directory: &Path) {
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
    pub(super) async fn gone(&mut self, time: Timestamp, file: FileId, path: PathBuf) {
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
        // Its number may be another file's soon.
        self.leave_others(time, file, &path).await;
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
    pub(super) async fn look(&mut self, look: Look) {
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
                self.look_there_again(&path);
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
                    self.look_there_again(&path);
                }
            }
        }
    }

    /// Whoever writes a file may not be done, or may rename it at once: then nobody else tells that it has
    /// left the path.
    fn look_there_again(&mut self, path: &Path) {
        let now = Instant::now();
        let times = AGAIN.map(|ms| now + std::time::Duration::from_millis(ms));
        self.again.extend(times.map(|at| (at, path.to_owned())));
    }

    /// What a file holds, and where it lies: a known shape, or the very bytes of a credential without
    /// one that somebody has spoken about.
    pub(super) async fn contents(
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
}
