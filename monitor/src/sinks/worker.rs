//! The task of one sink: takes alerts from its queue and writes each until it is written.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::SinkStatus;
use super::output::Output;
use crate::model::Alert;

/// The pause after a first failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why an alert was not written.
#[derive(Debug)]
pub(super) enum Fault {
    /// It may be written later.
    Passing(io::Error),
    /// It never will be.
    Refused(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Passing(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Passing(error) | Self::Refused(error)) = self;
        error.fmt(f)
    }
}

/// The counters of one sink. `queued` goes up before an alert is handed over, and down when it is
/// known what became of it, so it never runs below zero.
#[derive(Debug)]
pub(super) struct Tally {
    name: String,
    sent: AtomicU64,
    failed: AtomicU64,
    queued: AtomicU64,
    errors: AtomicU64,
    error: Mutex<Option<String>>,
}

impl Tally {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            error: Mutex::new(None),
        }
    }

    pub(super) fn queued(&self) {
        self.queued.fetch_add(1, Relaxed);
    }

    /// An alert that was queued is lost.
    pub(super) fn lost(&self) {
        self.queued.fetch_sub(1, Relaxed);
        if self.failed.fetch_add(1, Relaxed) == 0 {
            tracing::warn!(
                sink = self.name,
                "alerts are being lost; see credwatch status"
            );
        }
    }

    /// All that still waits is lost.
    pub(super) fn give_up(&self) {
        let waiting = self.queued.swap(0, Relaxed);
        self.failed.fetch_add(waiting, Relaxed);
        if waiting > 0 {
            tracing::error!(sink = self.name, alerts = waiting, "lost at the end");
        }
    }

    fn sent(&self) {
        self.queued.fetch_sub(1, Relaxed);
        self.sent.fetch_add(1, Relaxed);
    }

    fn works(&self) {
        let error = self
            .error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if error.is_some() {
            tracing::info!(sink = self.name, "writes again");
        }
    }

    fn fails(&self, fault: &Fault) {
        self.errors.fetch_add(1, Relaxed);
        let message = fault.to_string();
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if error.is_none() {
            tracing::warn!(
                sink = self.name,
                error = message,
                "cannot write; trying again"
            );
        }
        *error = Some(message);
    }

    pub(super) fn status(&self) -> SinkStatus {
        SinkStatus {
            name: self.name.clone(),
            sent: self.sent.load(Relaxed),
            failed: self.failed.load(Relaxed),
            queued: self.queued.load(Relaxed),
            errors: self.errors.load(Relaxed),
            error: self
                .error
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }
}

/// Runs until the queue is closed and empty.
pub(super) async fn run(
    mut output: Output,
    mut alerts: mpsc::Receiver<Arc<Alert>>,
    tally: Arc<Tally>,
    mut hurry: watch::Receiver<bool>,
) {
    loop {
        let alert = tokio::select! {
            biased;
            alert = alerts.recv() => match alert {
                Some(alert) => Some(alert),
                None => break,
            },
            () = output.broken() => None,
        };
        insist(&mut output, alert.as_deref(), &tally, &mut hurry).await;
    }
    // The shutdown's own timeout bounds this.
    while let Err(error) = output.finish().await {
        tally.fails(&error.into());
        sleep(FIRST_PAUSE).await;
    }
}

/// Writes one alert, or mends the output when there is none, for as long as it takes.
async fn insist(
    output: &mut Output,
    alert: Option<&Alert>,
    tally: &Tally,
    hurry: &mut watch::Receiver<bool>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let fault = match output.write(alert).await {
            Ok(()) => {
                tally.works();
                if alert.is_some() {
                    tally.sent();
                }
                return;
            }
            Err(fault) => fault,
        };
        tally.fails(&fault);
        if matches!(fault, Fault::Refused(_)) {
            if alert.is_some() {
                tally.lost();
            }
            return;
        }
        let hurried = tokio::select! {
            () = sleep(pause) => false,
            () = called(hurry) => true,
        };
        if hurried {
            pause = FIRST_PAUSE;
        } else {
            pause = (pause * 2).min(LONGEST_PAUSE);
            if *hurry.borrow() {
                pause = pause.min(Duration::from_secs(1));
            }
        }
    }
}

/// Ends when the sinks are being shut down; never when they were dropped without that.
async fn called(hurry: &mut watch::Receiver<bool>) {
    if hurry.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
