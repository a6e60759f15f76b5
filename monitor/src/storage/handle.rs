//! The database on a thread of its own, behind a bounded queue.
//!
//! Two ways in: [`StorageHandle::commit`] waits until its transaction is done, which an alert needs
//! before any sink shows it; [`StorageHandle::try_enqueue`] never waits, and gathers writes into
//! few transactions. Both keep the order in which they came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::pending::Pending;
use super::{Result, StorageError, Store, Write};

/// Messages that may wait for the thread.
const QUEUE_MESSAGES: usize = 1024;
/// Writes in those messages, from `try_enqueue`; one message may hold many.
const QUEUE_WRITES: usize = 16 * 1024;
/// So many gathered writes are stored at once,
const BATCH_WRITES: usize = 1024;
/// and fewer after this time.
const BATCH_WAIT: Duration = Duration::from_millis(200);
/// Gathered writes that are kept while the database cannot take them.
const PENDING_WRITES: usize = 8 * 1024;
/// The first wait after a failure; doubles up to `RETRY_MAX`.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What has gone through a [`StorageHandle`] since it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageStats {
    /// Writes that are in the database; rows that were merged count once.
    pub written: u64,
    /// Writes that were given up: the queue was full, or the database cannot hold them.
    pub dropped: u64,
    /// Transactions that failed, retries included.
    pub failures: u64,
    /// What the latest of them said; `None` again after a success.
    pub error: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    queued: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
    error: Mutex<Option<String>>,
}

enum Message {
    Commit(Vec<Write>, oneshot::Sender<Result<()>>),
    Enqueue(Vec<Write>),
    Flush(oneshot::Sender<Result<()>>),
    DataVersion(oneshot::Sender<Result<i64>>),
    Shutdown(oneshot::Sender<Result<()>>),
}

/// Reaches the thread that owns the database. Cheap to copy; the thread stores what it has and
/// ends after [`StorageHandle::shutdown`] or when the last copy is dropped.
#[derive(Debug, Clone)]
pub struct StorageHandle {
    queue: mpsc::Sender<Message>,
    shared: Arc<Shared>,
}

impl StorageHandle {
    /// Moves an open database to a thread of its own.
    ///
    /// # Errors
    /// When the system gives no thread or timer.
    pub fn start(store: Store) -> Result<Self> {
        let path = store.path.clone();
        let failed = |source| StorageError::Io {
            doing: "start a thread for",
            path,
            source,
        };
        let (queue, messages) = mpsc::channel(QUEUE_MESSAGES);
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            store,
            pending: Pending::default(),
            due: None,
            retry: None,
            shared: Arc::clone(&shared),
        };
        let started = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .and_then(|runtime| {
                std::thread::Builder::new()
                    .name("storage".to_owned())
                    .spawn(move || runtime.block_on(worker.run(messages)))
            });
        started.map_err(failed)?;
        Ok(Self { queue, shared })
    }

    /// Stores `writes` in one transaction and returns when that is done. On an error none of them
    /// is stored, and none is tried again: that is for the caller to decide.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<()> {
        self.ask(|reply| Message::Commit(writes, reply)).await
    }

    /// Leaves `writes` to be stored within 200 ms, or when a failing database takes them again.
    /// Never waits: says false, and counts them as dropped, when the queue is full. A row of the
    /// usage map that was dropped is made good by the next one of its key.
    pub fn try_enqueue(&self, writes: Vec<Write>) -> bool {
        let number = writes.len();
        let queued = self.shared.queued.fetch_add(number, Ordering::Relaxed);
        let sent = queued.saturating_add(number) <= QUEUE_WRITES
            && self.queue.try_send(Message::Enqueue(writes)).is_ok();
        if !sent {
            self.shared.queued.fetch_sub(number, Ordering::Relaxed);
            self.shared
                .dropped
                .fetch_add(number as u64, Ordering::Relaxed);
        }
        sent
    }

    /// Stores all that was enqueued before. On an error it stays and is tried again.
    pub async fn flush(&self) -> Result<()> {
        self.ask(Message::Flush).await
    }

    /// A number that changes when another connection has changed the database, by this process or
    /// any other, and not when this handle has (SQLite's `PRAGMA data_version`).
    pub async fn data_version(&self) -> Result<i64> {
        self.ask(Message::DataVersion).await
    }

    /// Stores all that was enqueued before, closes the database and ends the thread. The error is
    /// that of the last try; what could not be stored then is lost.
    pub async fn shutdown(&self) -> Result<()> {
        self.ask(Message::Shutdown).await
    }

    /// Counters since the start.
    pub fn stats(&self) -> StorageStats {
        let Shared {
            written,
            dropped,
            failures,
            error,
            ..
        } = self.shared.as_ref();
        StorageStats {
            written: written.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
            failures: failures.load(Ordering::Relaxed),
            error: error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T>>) -> Message,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .send(message(reply))
            .await
            .map_err(|_| StorageError::Closed)?;
        answer.await.map_err(|_| StorageError::Closed)?
    }
}

struct Worker {
    store: Store,
    pending: Pending,
    /// When `pending` is to be stored.
    due: Option<Instant>,
    /// How long the latest failure makes it wait; `None` while the database takes writes.
    retry: Option<Duration>,
    shared: Arc<Shared>,
}

impl Worker {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        loop {
            let message = match self.due {
                None => messages.recv().await,
                Some(due) if due <= Instant::now() => {
                    // The error is counted; what failed stays and becomes due again.
                    let _ = self.store_pending();
                    continue;
                }
                Some(due) => match timeout_at(due, messages.recv()).await {
                    Ok(message) => message,
                    Err(_) => continue,
                },
            };
            // An asker that has gone away needs no answer.
            match message {
                Some(Message::Commit(writes, reply)) => {
                    let _ = reply.send(self.commit(&writes));
                }
                Some(Message::Enqueue(writes)) => self.enqueue(writes),
                Some(Message::Flush(reply)) => {
                    let _ = reply.send(self.store_pending());
                }
                Some(Message::DataVersion(reply)) => {
                    let _ = reply.send(self.store.data_version());
                }
                Some(Message::Shutdown(reply)) => {
                    let stored = self.store_pending();
                    let closed = self.store.close();
                    let _ = reply.send(stored.and(closed));
                    return;
                }
                None => {
                    let _ = self.store_pending();
                    return;
                }
            }
        }
    }

    /// What waits is stored first, which keeps the order; unless it waits for a retry, for then
    /// the commit's own try shows soonest whether the database takes writes again.
    fn commit(&mut self, writes: &[Write]) -> Result<()> {
        if self.retry.is_none() {
            // The error is counted, and what failed stays; the commit must not suffer from it.
            let _ = self.store_pending();
        }
        match self.store.write(writes) {
            Ok(()) => self.succeeded(writes.len()),
            Err(error) => {
                self.failed(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    fn enqueue(&mut self, writes: Vec<Write>) {
        self.shared
            .queued
            .fetch_sub(writes.len(), Ordering::Relaxed);
        let mut dropped = 0;
        for write in writes {
            if !self.pending.add(write, PENDING_WRITES) {
                dropped += 1;
            }
        }
        self.drop_writes(dropped);
        if self.retry.is_none() && self.pending.len() >= BATCH_WRITES {
            let _ = self.store_pending();
        } else if self.due.is_none() && !self.pending.is_empty() {
            self.due = Some(Instant::now() + BATCH_WAIT);
        }
    }

    fn store_pending(&mut self) -> Result<()> {
        self.due = None;
        if self.pending.is_empty() {
            return Ok(());
        }
        match self.store.write(self.pending.writes()) {
            Ok(()) => {
                let stored = self.pending.take().len();
                self.succeeded(stored);
                Ok(())
            }
            Err(error) if error.is_passing() => {
                self.failed(&error);
                let wait = self
                    .retry
                    .map_or(RETRY_MIN, |wait| (wait * 2).min(RETRY_MAX));
                self.retry = Some(wait);
                self.due = Some(Instant::now() + wait);
                Err(error)
            }
            Err(error) => {
                self.failed(&error);
                self.store_one_by_one();
                Err(error)
            }
        }
    }

    /// One write among many cannot be stored: find it, so that the others are.
    fn store_one_by_one(&mut self) {
        for write in self.pending.take() {
            match self.store.write(std::slice::from_ref(&write)) {
                Ok(()) => self.succeeded(1),
                Err(error) if error.is_passing() => {
                    self.failed(&error);
                    self.pending.add(write, PENDING_WRITES);
                    self.retry = Some(RETRY_MIN);
                    self.due = Some(Instant::now() + RETRY_MIN);
                }
                Err(error) => {
                    self.failed(&error);
                    self.drop_writes(1);
                }
            }
        }
    }

    fn drop_writes(&self, number: u64) {
        if number > 0 {
            self.shared.dropped.fetch_add(number, Ordering::Relaxed);
        }
    }

    fn succeeded(&mut self, writes: usize) {
        self.shared
            .written
            .fetch_add(writes as u64, Ordering::Relaxed);
        if self.retry.take().is_some() {
            tracing::info!("the database takes writes again");
            // What waits need not wait for the end of a long pause.
            if !self.pending.is_empty() {
                self.due = Some(Instant::now() + BATCH_WAIT);
            }
        }
        *self
            .shared
            .error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn failed(&self, error: &StorageError) {
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        let text = error.to_string();
        let mut last = self
            .shared
            .error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // One line a cause: a full disk fails every retry in the same words.
        if last.as_ref() != Some(&text) {
            tracing::error!(error = %text, "writing to the database failed");
        }
        *last = Some(text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Mode, samples};
    use super::*;
    use crate::model::{Selector, Timestamp};

    fn seen(name: usize, last: i64) -> Write {
        Write::IdentitySeen {
            selector: Selector::unix_user(&name.to_string()),
            first: Timestamp(0),
            last: Timestamp(last),
        }
    }

    fn read(directory: &std::path::Path) -> super::super::Snapshot {
        Store::open(directory, Mode::ReadOnly)
            .unwrap()
            .load()
            .unwrap()
    }

    #[tokio::test]
    async fn a_commit_is_there_when_it_returns_and_the_rest_soon_after() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path(), Mode::ReadWrite).unwrap();
        let handle = StorageHandle::start(store).unwrap();
        let writes = samples::some_of_each();
        handle.commit(writes.clone()).await.unwrap();
        assert_eq!(read(state.path()).open_alerts.len(), 1);

        for last in 1..=500 {
            assert!(handle.try_enqueue(vec![seen(7, last)]));
        }
        let before = std::time::Instant::now();
        let found = |snapshot: super::super::Snapshot| {
            snapshot
                .identities
                .contains(&(Selector::unix_user("7"), Timestamp(0), Timestamp(500)))
        };
        while !found(read(state.path())) {
            assert!(before.elapsed() < Duration::from_secs(5), "never stored");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let stats = handle.stats();
        assert_eq!((stats.dropped, stats.failures), (0, 0));
        assert!(
            stats.written < writes.len() as u64 + 50,
            "500 updates of one row were merged: {stats:?}"
        );

        handle.try_enqueue(vec![seen(8, 1)]);
        handle.shutdown().await.unwrap();
        assert_eq!(read(state.path()).identities.len(), 3);
        let closed = handle.commit(vec![seen(9, 1)]).await;
        assert!(matches!(closed, Err(StorageError::Closed)));
        assert!(!handle.try_enqueue(vec![seen(9, 1)]));
        assert_eq!(handle.stats().dropped, 1);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_counts() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path(), Mode::ReadWrite).unwrap();
        let handle = StorageHandle::start(store).unwrap();
        let many: Vec<_> = (0..QUEUE_WRITES + 1).map(|n| seen(n, 1)).collect();
        assert!(!handle.try_enqueue(many));
        assert_eq!(handle.stats().dropped, QUEUE_WRITES as u64 + 1);
        assert!(handle.try_enqueue(vec![seen(0, 1)]));
        handle.flush().await.unwrap();
        assert_eq!(read(state.path()).identities.len(), 1);
    }

    #[tokio::test]
    async fn a_database_that_another_holds_is_tried_again() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path(), Mode::ReadWrite).unwrap();
        store
            .connection
            .busy_timeout(Duration::from_millis(10))
            .unwrap();
        let other = rusqlite::Connection::open(store.path()).unwrap();
        let handle = StorageHandle::start(store).unwrap();

        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(handle.try_enqueue(vec![seen(1, 1)]));
        assert!(handle.flush().await.is_err());
        let refused = handle.commit(vec![seen(2, 1)]).await.unwrap_err();
        assert!(refused.is_passing(), "{refused}");
        let stats = handle.stats();
        assert!(stats.failures >= 2 && stats.error.is_some(), "{stats:?}");
        assert_eq!((stats.written, stats.dropped), (0, 0));

        other.execute_batch("ROLLBACK").unwrap();
        let before = std::time::Instant::now();
        while handle.stats().written == 0 {
            assert!(before.elapsed() < Duration::from_secs(10), "never retried");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(handle.stats().error, None);
        let names: Vec<_> = read(state.path()).identities;
        assert_eq!(
            names.len(),
            1,
            "the refused commit is not stored: {names:?}"
        );
    }

    #[tokio::test]
    async fn what_another_has_written_is_noticed_and_own_writes_are_not() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path(), Mode::ReadWrite).unwrap();
        let path = store.path().to_owned();
        let handle = StorageHandle::start(store).unwrap();
        let before = handle.data_version().await.unwrap();
        handle.commit(vec![seen(1, 1)]).await.unwrap();
        read(state.path());
        assert_eq!(handle.data_version().await.unwrap(), before);
        let other = rusqlite::Connection::open(path).unwrap();
        other.execute("DELETE FROM identity_seen", []).unwrap();
        assert_ne!(handle.data_version().await.unwrap(), before);
    }

    #[tokio::test]
    async fn one_write_that_cannot_be_stored_does_not_hold_up_the_others() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path(), Mode::ReadWrite).unwrap();
        // A rule that only this test's database has.
        store
            .connection
            .execute_batch(
                "CREATE TRIGGER no BEFORE INSERT ON identity_seen WHEN new.selector = 'unix:user:5'
                 BEGIN SELECT raise(ABORT, 'no'); END",
            )
            .unwrap();
        let handle = StorageHandle::start(store).unwrap();
        assert!(handle.try_enqueue((0..10).map(|n| seen(n, 1)).collect()));
        assert!(handle.flush().await.is_err());
        let stats = handle.stats();
        assert_eq!((stats.written, stats.dropped), (9, 1), "{stats:?}");
        handle.commit(vec![seen(11, 1)]).await.unwrap();
        assert_eq!(read(state.path()).identities.len(), 10);
    }
}
