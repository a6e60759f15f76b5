//! The daemon watches itself: who stops it, when it did not run, what is changed under it. Each is
//! a fact; what is said of it is the detector's.

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

use super::restore::DeclaredIn;
use crate::config::Config;
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
    pub(super) facts: mpsc::Receiver<Fact>,
    in_force: watch::Sender<Arc<DeclaredIn>>,
    files: JoinHandle<()>,
    _clock: ClockWatch,
}

impl Guard {
    /// Starts to watch. What lies there now is what is expected from now on.
    pub(super) fn start(
        state_dir: &Path,
        named: Option<PathBuf>,
        config: &Config,
        declared_in: &DeclaredIn,
        storage: StorageHandle,
    ) -> anyhow::Result<Self> {
        let (sender, facts) = mpsc::channel(FACTS);
        let (in_force, words) = watch::channel(Arc::new(declared_in.clone()));
        let files = Files {
            own: OwnFiles::new(state_dir),
            program: Program::own(),
            declared: Declared::new(config.clone(), named),
        };
        let database = state_dir.join(FILE_NAME);
        Ok(Self {
            facts,
            in_force,
            files: tokio::spawn(files.watch(words, storage, database, sender.clone())),
            _clock: ClockWatch::start(sender)?,
        })
    }

    /// The registry's files were read again.
    pub(super) fn in_force(&self, declared_in: &DeclaredIn) {
        self.in_force.send_replace(Arc::new(declared_in.clone()));
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
        words: watch::Receiver<Arc<DeclaredIn>>,
        storage: StorageHandle,
        database: PathBuf,
        to: mpsc::Sender<Fact>,
    ) {
        let mut ticks = interval(FILES);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut version = Version::default();
        loop {
            ticks.tick().await;
            let in_force = Arc::clone(&words.borrow());
            let looked = tokio::task::spawn_blocking(move || {
                let mut facts = self.own.look();
                facts.extend(self.program.look());
                facts.extend(self.declared.look(&in_force));
                (self, facts)
            });
            let Ok((files, mut facts)) = looked.await else {
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
            for fact in facts {
                if to.send(fact).await.is_err() {
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
