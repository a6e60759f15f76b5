//! Stores what happened, then shows it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::core::Output;
use crate::detection::Outcome;
use crate::model::{Alert, Fact, Record, RegistryChange, Selector, Timestamp};
use crate::recording::Writer;
use crate::sinks::Sinks;
use crate::storage::{StorageHandle, Write};

/// How long an alert waits to be stored before it is shown.
const STORED_WITHIN: Duration = Duration::from_secs(1);

/// The daemon's output: the database, then the sinks.
pub(super) struct Stored {
    pub(super) storage: StorageHandle,
    pub(super) sinks: Sinks,
    seen: BTreeMap<Selector, (Timestamp, Timestamp)>,
    /// What was loaded from the database need not be written back.
    loading: bool,
    /// The database has not answered in time, and is not waited for until it does.
    is_behind: Arc<AtomicBool>,
}

impl Stored {
    pub(super) fn new(storage: StorageHandle, sinks: Sinks) -> Self {
        Self {
            storage,
            sinks,
            seen: BTreeMap::new(),
            loading: true,
            is_behind: Arc::default(),
        }
    }

    /// Hands who was seen to the database, with what else is due. Gathered, because a busy identity
    /// acts all the time.
    pub(super) fn store_seen(&mut self, also: Option<Write>) {
        let mut writes: Vec<_> = std::mem::take(&mut self.seen)
            .into_iter()
            .map(|(selector, (first, last))| Write::IdentitySeen {
                selector,
                first,
                last,
            })
            .collect();
        writes.extend(also);
        self.enqueue(writes);
    }

    /// Stores now, or as soon as the database takes it.
    pub(super) async fn store(&self, writes: Vec<Write>) {
        if let Err(error) = self.storage.commit(writes.clone()).await {
            tracing::error!(%error, "what happened is not stored yet");
            self.enqueue(writes);
        }
    }

    /// Waits for the database beside the pipeline: while that waits nobody empties the rings.
    fn fall_behind(&self) {
        let (storage, is_behind) = (self.storage.clone(), Arc::clone(&self.is_behind));
        is_behind.store(true, Ordering::Relaxed);
        tokio::spawn(async move {
            // On an error it answers, and says so at the next alert.
            let _ = storage.flush().await;
            is_behind.store(false, Ordering::Relaxed);
        });
    }

    /// Stores soon.
    pub(super) fn keep(&self, writes: Vec<Write>) {
        self.enqueue(writes);
    }

    fn enqueue(&self, writes: Vec<Write>) {
        if !writes.is_empty() && !self.storage.try_enqueue(writes) {
            tracing::warn!("the database is too slow: what was seen is not all stored");
        }
    }
}

impl Output for Stored {
    fn fact(&mut self, record: &Record) {
        if self.loading {
            return;
        }
        let write = match &record.fact {
            Fact::Located(located) if located.credentials.is_empty() => {
                Write::Unlocated(record.time, located.file, located.path.clone())
            }
            Fact::Located(located) => Write::Located(record.time, located.clone()),
            Fact::Unlocated { file, path } => Write::Unlocated(record.time, *file, path.clone()),
            _ => return,
        };
        self.enqueue(vec![write]);
    }

    async fn alerts(&mut self, alerts: Vec<Alert>) {
        let writes: Vec<_> = alerts
            .iter()
            .map(|alert| Write::Alert(Box::new(alert.clone())))
            .collect();
        // It must be seen all the same; it is stored as soon as that works again.
        if self.is_behind.load(Ordering::Relaxed) {
            self.enqueue(writes);
        } else {
            let commit = self.storage.commit(writes.clone());
            match tokio::time::timeout(STORED_WITHIN, commit).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(%error, "an alert is shown and not stored yet");
                    self.enqueue(writes);
                }
                Err(_) => {
                    tracing::warn!(
                        "the database does not answer: alerts are shown and not stored yet"
                    );
                    self.enqueue(writes);
                    self.fall_behind();
                }
            }
        }
        for alert in alerts {
            self.sinks.send(&Arc::new(alert));
        }
    }

    async fn changes(&mut self, time: Timestamp, changes: Vec<RegistryChange>) {
        if !self.loading {
            let writes = changes.into_iter();
            let writes = writes.map(|change| Write::Change(time, change)).collect();
            self.store(writes).await;
        }
    }

    fn later(&mut self, outcome: &Outcome) {
        let usage = outcome.usage.iter().cloned().map(Write::Usage);
        let repeated = outcome.repeated.iter().cloned();
        let repeated = repeated.map(|alert| Write::Alert(Box::new(alert)));
        let mut writes: Vec<_> = usage.chain(repeated).collect();
        if !self.loading {
            let successions = outcome.successions.iter().cloned();
            writes.extend(successions.map(Write::Succession));
            writes.extend(outcome.rhythms.iter().cloned().map(Write::Rhythm));
        }
        let learned = &outcome.learned;
        let learning = learned.learning.iter().cloned().map(Write::Learning);
        let users = learned.users.iter().cloned().map(Write::User);
        let forgotten = learned.forgotten.iter().cloned().map(Write::Forgotten);
        writes.extend(learning.chain(users).chain(forgotten));
        self.enqueue(writes);
    }

    fn restored(&mut self) {
        self.loading = false;
    }

    fn seen(&mut self, selector: &Selector, time: Timestamp) {
        if let Some((_, last)) = self.seen.get_mut(selector) {
            *last = time.max(*last);
        } else {
            self.seen.insert(selector.clone(), (time, time));
        }
    }
}

/// A recording's output: the facts to the file, and alerts shown as they come. Nothing is stored.
pub(super) struct Recorded<W: std::io::Write> {
    pub(super) writer: Writer<W>,
    pub(super) sinks: Sinks,
    /// The first error; nothing is written after it.
    pub(super) error: Option<std::io::Error>,
}

impl<W: std::io::Write + Send> Output for Recorded<W> {
    fn fact(&mut self, record: &Record) {
        if self.error.is_none() {
            self.error = self.writer.write(record).err();
        }
    }

    async fn alerts(&mut self, alerts: Vec<Alert>) {
        for alert in alerts {
            self.sinks.send(&Arc::new(alert));
        }
    }

    async fn changes(&mut self, _time: Timestamp, _changes: Vec<RegistryChange>) {}

    fn later(&mut self, _outcome: &Outcome) {}

    fn restored(&mut self) {}

    fn seen(&mut self, _selector: &Selector, _time: Timestamp) {}
}

/// Text on stderr, for people who started the daemon in a terminal.
pub(super) fn say(line: &str) {
    // Nobody may be reading; the log has it too.
    let _ = writeln!(anstream::stderr(), "{line}");
}
