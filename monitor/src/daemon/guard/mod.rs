//! The daemon watches itself: who stops it, when it did not run, what is changed under it. Each is
//! a fact; what is said of it is the detector's. What an operator declares is taken in anew.

mod clock;
mod declared;
mod files;
mod program;
mod run_mark;
mod signals;
mod stamp;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

pub(super) use clock::ClockWatch;
pub(super) use run_mark::RunMark;
pub(super) use signals::{Received, Signals, Wish};
pub(super) use stamp::Stamp;

use super::reload::InForce;
use crate::model::{Fact, Relied};
use crate::storage::{FILE_NAME, StorageHandle};
use declared::Declared;
use files::OwnFiles;
use program::Program;

/// How often files are looked at: a stat for each.
const FILES: Duration = Duration::from_secs(5);
/// Facts that may wait for the loop. None is lost: who notices more waits.
const FACTS: usize = 64;

/// What watches beside the loop. Dropping it ends the watching.
pub(super) struct Guard {
    /// What was noticed.
    pub(super) facts: mpsc::Receiver<Noticed>,
    places: watch::Sender<Arc<Places>>,
    files: JoinHandle<()>,
    _clock: ClockWatch,
}

/// What was noticed.
#[derive(Debug)]
pub(super) enum Noticed {
    /// Something to be told.
    Fact(Box<Fact>),
    /// The configuration or a registry file is not as it was.
    Declared,
}

/// Where an operator declares things.
#[derive(Debug)]
struct Places {
    configuration: PathBuf,
    registry: PathBuf,
}

impl Places {
    fn of(in_force: &InForce) -> Arc<Self> {
        Arc::new(Self {
            configuration: in_force.file().to_owned(),
            registry: in_force.config.registry.directory.clone(),
        })
    }
}

impl Guard {
    /// Starts to watch. What lies there now is what is expected from now on.
    pub(super) fn start(
        state_dir: &Path,
        in_force: &InForce,
        storage: StorageHandle,
    ) -> anyhow::Result<Self> {
        let (sender, facts) = mpsc::channel(FACTS);
        let (places, looked_at) = watch::channel(Places::of(in_force));
        let files = Files {
            own: OwnFiles::new(state_dir),
            program: Program::own(),
            declared: Declared::new(),
        };
        let database = state_dir.join(FILE_NAME);
        Ok(Self {
            facts,
            places,
            files: tokio::spawn(files.watch(looked_at, storage, database, sender.clone())),
            _clock: ClockWatch::start(sender)?,
        })
    }

    /// The files were taken in again: they may name other places.
    pub(super) fn goes_by(&self, in_force: &InForce) {
        self.places.send_replace(Places::of(in_force));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.files.abort();
    }
}

/// All files that are looked at.
struct Files {
    own: OwnFiles,
    program: Program,
    declared: Declared,
}

impl Files {
    async fn watch(
        mut self,
        places: watch::Receiver<Arc<Places>>,
        storage: StorageHandle,
        database: PathBuf,
        to: mpsc::Sender<Noticed>,
    ) {
        let mut ticks = interval(FILES);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut version = Version::default();
        loop {
            ticks.tick().await;
            let at = Arc::clone(&places.borrow());
            let looked = tokio::task::spawn_blocking(move || {
                let mut facts = self.own.look();
                facts.extend(self.program.look());
                let declared = self.declared.has_changed(&at.configuration, &at.registry);
                (self, facts, declared)
            });
            let Ok((files, mut facts, declared)) = looked.await else {
                tracing::error!("what credwatch relies on is no longer looked at");
                return;
            };
            self = files;
            let detail = version.look(storage.data_version().await);
            facts.extend(detail.map(|detail| Fact::Tampered {
                what: Relied::Database,
                path: database.clone(),
                detail,
            }));
            let noticed = facts.into_iter().map(Box::new).map(Noticed::Fact);
            for noticed in noticed.chain(declared.then_some(Noticed::Declared)) {
                if to.send(noticed).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// What the database says of writes that are not the daemon's.
#[derive(Default)]
struct Version {
    known: Option<i64>,
    unreadable: bool,
}

impl Version {
    fn look(&mut self, found: crate::storage::Result<i64>) -> Option<String> {
        match found {
            Ok(now) => {
                self.unreadable = false;
                let before = self.known.replace(now);
                before.filter(|before| *before != now)?;
                Some("was written to by another program".to_owned())
            }
            // Another holds it, or the disk is full: the storage says so where it matters.
            Err(error) if error.is_passing() => None,
            Err(error) => {
                let told = std::mem::replace(&mut self.unreadable, true);
                (!told).then(|| format!("can no longer be read: {error}"))
            }
        }
    }
}
