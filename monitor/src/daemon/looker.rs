//! Looks at files beside the pipeline. A file system whose server is away answers nobody, and the
//! daemon must not wait with whoever asks it: it waits a moment, goes on, and says so.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::look::file_id;
use crate::model::FileId;

/// How long a look may take. A busy disk takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What may not answer. While one look at it waits, nobody else is sent there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Device(u64),
    Path(PathBuf),
}

/// Sends threads to look.
#[derive(Default)]
pub(super) struct Looker {
    /// Where somebody waits.
    waiting: Arc<Mutex<HashSet<Place>>>,
}

/// Somebody waits at a place until this is dropped.
struct Waits(Arc<Mutex<HashSet<Place>>>, Place);

impl Waits {
    /// `None` where somebody does already.
    fn at(waiting: &Arc<Mutex<HashSet<Place>>>, place: Place) -> Option<Self> {
        let is_first = lock(waiting).insert(place.clone());
        is_first.then(|| Self(Arc::clone(waiting), place))
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        lock(&self.0).remove(&self.1);
    }
}

/// A lock that a panicking thread held is still good here: every change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Looker {
    /// What `look` says; `None` when it has not come back in time, or the one before it has not yet.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        place: Place,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let waits = Waits::at(&self.waiting, place.clone())?;
        let looks = spawn_blocking(move || {
            let _waits = waits;
            look()
        });
        match timeout(PATIENCE, looks).await {
            Ok(Ok(said)) => Some(said),
            Ok(Err(error)) => {
                tracing::error!(%error, ?place, "a look at a file ended badly");
                None
            }
            Err(_) => {
                tracing::warn!(?place, "a file system does not answer");
                None
            }
        }
    }

    /// The files that lie at some paths, and whether all were asked that could be. One that does not
    /// answer costs the others this time, and is left out from then on until it does.
    pub(super) async fn files(&self, paths: Vec<PathBuf>) -> (Vec<(PathBuf, FileId)>, bool) {
        let (to, found) = mpsc::channel();
        let waiting = Arc::clone(&self.waiting);
        let looks = spawn_blocking(move || {
            for path in paths {
                let Some(waits) = Waits::at(&waiting, Place::Path(path.clone())) else {
                    continue;
                };
                let file = file_id(&path);
                drop(waits);
                // Nobody listens any more: it came too late.
                if to.send((path, file)).is_err() {
                    return;
                }
            }
        });
        let is_all = timeout(PATIENCE, looks).await.is_ok();
        if !is_all {
            let places = lock(&self.waiting).clone();
            tracing::warn!(?places, "a file system does not answer");
        }
        let found = found.try_iter();
        let found = found.filter_map(|(path, file)| Some((path, file?)));
        (found.collect(), is_all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_answer_is_left_alone_until_it_does() {
        let looker = Looker::default();
        let (go_on, waits) = mpsc::channel::<()>();
        let hangs = looker.look(Place::Device(1), move || waits.recv().is_err());
        assert_eq!(hangs.await, None);
        let again = || looker.look(Place::Device(1), || 1);
        assert_eq!(again().await, None);
        assert_eq!(looker.look(Place::Device(2), || 2).await, Some(2));
        drop(go_on);
        while !lock(&looker.waiting).is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(again().await, Some(1));
    }

    #[tokio::test]
    async fn files_are_found_and_those_that_are_missing_are_no_error() {
        let here = PathBuf::from("/etc/passwd");
        let missing = PathBuf::from("/etc/no-such-file");
        let looker = Looker::default();
        let (found, is_all) = looker.files(vec![missing, here.clone()]).await;
        assert_eq!(found, [(here.clone(), file_id(&here).unwrap())]);
        assert!(is_all && lock(&looker.waiting).is_empty());
    }
}
