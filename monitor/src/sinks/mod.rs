//! Where alerts go. Only this module knows the formats in which they leave.
//!
//! Each sink is a task behind a bounded queue. What is handed over never waits: a queue that is
//! full is counted as loss. A sink that fails keeps the alert, tries again with growing pauses,
//! and says so in its status.

mod escape;
mod json;
mod output;
mod syslog;
mod tcp;
mod terminal;
mod transport;
mod worker;

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

pub use escape::visible;
pub use json::line as json_line;
pub use syslog::{Encoder as SyslogEncoder, SD_ID};
pub use terminal::{View, render};

use crate::config::SinkConfig;
use crate::model::{Alert, Severity};
use output::Output;
use worker::Tally;

/// How many alerts wait for a sink that is slow or failing; more are dropped and counted.
pub const QUEUE: usize = 1024;

/// Why a sink cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file of a JSON sink.
    #[error(
        "the json sink's file {path} cannot be opened: {source}; create its directory, or \
         change `path` in [[sinks]]",
        path = path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How a sink does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkStatus {
    /// Its type and target: `syslog tcp 10.0.0.5:601`.
    pub name: String,
    /// Alerts written.
    pub sent: u64,
    /// Alerts lost: the queue was full, the sink refused them, or it was still failing at the end.
    pub failed: u64,
    /// Alerts that wait to be written.
    pub queued: u64,
    /// Attempts that went wrong, each of which is made again.
    pub errors: u64,
    /// What is wrong at present; `None` while the sink works.
    pub error: Option<String>,
}

struct Sink {
    min_severity: Severity,
    queue: mpsc::Sender<Arc<Alert>>,
    tally: Arc<Tally>,
    task: JoinHandle<()>,
}

/// All sinks of a daemon. Dropped without [`Sinks::shutdown`], their tasks go on with what waits
/// until the runtime ends.
pub struct Sinks {
    sinks: Vec<Sink>,
    hurry: watch::Sender<bool>,
}

impl Sinks {
    /// Opens the sinks and starts their tasks. A network target that cannot be reached is no
    /// error: it may be up later. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(configs: &[SinkConfig]) -> Result<Self, SinkError> {
        let outputs = configs
            .iter()
            .map(Output::open)
            .collect::<Result<Vec<_>, _>>()?;
        let (hurry, hurried) = watch::channel(false);
        let sinks = configs
            .iter()
            .zip(outputs)
            .map(|(config, output)| {
                let (queue, alerts) = mpsc::channel(QUEUE);
                let tally = Arc::new(Tally::new(config.kind.to_string()));
                let work = worker::run(output, alerts, Arc::clone(&tally), hurried.clone());
                Sink {
                    min_severity: config.min_severity,
                    queue,
                    tally,
                    task: tokio::spawn(work),
                }
            })
            .collect();
        Ok(Self { sinks, hurry })
    }

    /// Hands an alert to every sink whose `min_severity` it reaches. Never waits.
    pub fn send(&self, alert: &Arc<Alert>) {
        for sink in &self.sinks {
            if alert.severity >= sink.min_severity {
                sink.tally.queued();
                if sink.queue.try_send(Arc::clone(alert)).is_err() {
                    sink.tally.lost();
                }
            }
        }
    }

    /// How every sink does, in the order of configuration.
    pub fn status(&self) -> Vec<SinkStatus> {
        self.sinks.iter().map(|sink| sink.tally.status()).collect()
    }

    /// Writes what still waits, for `timeout` at most, and closes the sinks. What could not be
    /// written by then is counted as failed in the status that is returned.
    pub async fn shutdown(self, timeout: Duration) -> Vec<SinkStatus> {
        let deadline = Instant::now() + timeout;
        // Wakes those that pause before their next attempt.
        self.hurry.send_replace(true);
        let mut tasks = Vec::new();
        for sink in self.sinks {
            drop(sink.queue);
            tasks.push((sink.task, sink.tally));
        }
        let mut status = Vec::new();
        for (mut task, tally) in tasks {
            if timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
            }
            tally.give_up();
            status.push(tally.status());
        }
        status
    }
}
