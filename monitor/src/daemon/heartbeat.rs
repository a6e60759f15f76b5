//! Makes every hook fire, again and again, on a thread of its own: a hook that does not is an
//! alert, and is attached anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::model::Fact;
use crate::sensor::self_test::{SelfTest, Silent};
use crate::sensor::{HookState, Sensor};

/// The hook of the gateway, which stands on interfaces, and how.
const GATEWAY: &str = "gateway_flow";
const CLASSIFIER: &str = "tc";

/// What the heart says.
pub(super) enum Beat {
    /// A hook failed, or works again.
    Fact(Box<Fact>),
    /// Every hook that can work here does.
    Proven,
}

/// The running heartbeat.
pub(super) struct Heartbeat {
    pub(super) beats: mpsc::Receiver<Beat>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Heartbeat {
    /// Starts with the search for backends that fire, and then beats `every` so often.
    pub(super) fn start(sensor: &Arc<Sensor>, state_dir: &Path, every: Duration) -> Self {
        let (to, beats) = mpsc::channel(64);
        let (stop, stopped) = channel();
        let heart = Heart {
            sensor: Arc::clone(sensor),
            state_dir: state_dir.to_owned(),
            to,
            failed: BTreeSet::new(),
            unwatched: BTreeSet::new(),
        };
        let thread = tokio::task::spawn_blocking(move || {
            heart.run(|| stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout));
        });
        Self {
            beats,
            stop,
            thread,
        }
    }

    /// Ends it, and takes away what it has used.
    pub(super) async fn end(self) {
        drop(self.stop);
        drop(self.beats);
        // One that panicked has said so.
        let _ = self.thread.await;
    }
}

struct Heart {
    sensor: Arc<Sensor>,
    state_dir: PathBuf,
    to: mpsc::Sender<Beat>,
    /// Hooks that were told of as failed.
    failed: BTreeSet<&'static str>,
    /// Interfaces of the gateway that were told of as not watched.
    unwatched: BTreeSet<String>,
}

/// The daemon has ended: there is nobody to tell.
struct Gone;

impl Heart {
    fn run(mut self, mut wait: impl FnMut() -> bool) {
        let test = match SelfTest::new(&self.sensor, &self.state_dir) {
            Ok(test) => test,
            Err(reason) => {
                let _ = self.untested(&reason);
                let _ = self.to.blocking_send(Beat::Proven);
                return;
            }
        };
        if self.settle(&test).is_ok() && self.gateway().is_ok() {
            while wait() && self.beat(&test).is_ok() && self.gateway().is_ok() {}
        }
        test.end(&self.sensor);
    }

    fn settle(&mut self, test: &SelfTest) -> Result<(), Gone> {
        match test.settle(&self.sensor) {
            Ok(gaps) => {
                // Each interface of the gateway is told of by itself.
                let gaps = gaps.iter().filter(|gap| gap.name != GATEWAY);
                for gap in gaps {
                    self.gap(gap)?;
                }
            }
            Err(reason) => self.untested(&reason)?,
        }
        self.to.blocking_send(Beat::Proven).map_err(|_| Gone)
    }

    fn beat(&mut self, test: &SelfTest) -> Result<(), Gone> {
        // Twice: on a busy host one beat may come late.
        let silent = match test.beat(&self.sensor) {
            Ok(silent) if silent.is_empty() => silent,
            Ok(_) => match test.beat(&self.sensor) {
                Ok(silent) => silent,
                Err(reason) => return self.untested(&reason),
            },
            Err(reason) => return self.untested(&reason),
        };
        self.works_again(&silent)?;
        if silent.is_empty() {
            return Ok(());
        }
        for silent in silent {
            if self.failed.insert(silent.hook) {
                self.failed(silent.hook, silent.backend, silent.reason)?;
            }
            if !self.sensor.revive(silent.hook) {
                tracing::error!(
                    hook = silent.hook,
                    "no backend of this hook can be attached"
                );
            }
        }
        self.sensor.settle();
        match test.beat(&self.sensor) {
            Ok(silent) => self.works_again(&silent),
            Err(reason) => self.untested(&reason),
        }
    }

    /// Tells of hooks that had failed and fire now.
    fn works_again(&mut self, silent: &[Silent]) -> Result<(), Gone> {
        for hook in self.sensor.hooks() {
            let fires = hook.attached && !silent.iter().any(|silent| silent.hook == hook.name);
            if fires && self.failed.remove(hook.name) {
                self.tell(Fact::HookWorks {
                    hook: hook.name.to_owned(),
                    backend: hook.backend,
                })?;
            }
        }
        Ok(())
    }

    /// Watches interfaces that have come, and tells of those that are not there, or were not watched
    /// meanwhile.
    fn gateway(&mut self) -> Result<(), Gone> {
        for interface in self.sensor.look_at_gateway() {
            let hook = format!("{GATEWAY} on {}", interface.name);
            let is_watched = interface.failure.is_none();
            let reasons: Vec<_> = interface
                .taken_off
                .into_iter()
                .chain(interface.failure)
                .collect();
            if !reasons.is_empty() && self.unwatched.insert(interface.name.clone()) {
                self.failed(&hook, CLASSIFIER.to_owned(), reasons.join("; "))?;
            }
            if is_watched && self.unwatched.remove(&interface.name) {
                let backend = CLASSIFIER.to_owned();
                self.tell(Fact::HookWorks { hook, backend })?;
            }
        }
        Ok(())
    }

    /// Nothing sees this act. What the operator has not chosen is no news.
    fn gap(&mut self, gap: &HookState) -> Result<(), Gone> {
        if gap.by_choice {
            tracing::info!(hook = gap.name, fix = gap.fix, "not watched, by choice");
            return Ok(());
        }
        let reason = gap.failure().unwrap_or_default();
        let (blind_to, fix) = (gap.blind_to, gap.fix);
        self.failed(
            gap.name,
            "no backend".to_owned(),
            format!("{reason}; not seen: {blind_to}; to mend it: {fix}"),
        )
    }

    fn untested(&mut self, reason: &str) -> Result<(), Gone> {
        self.failed(
            "self_test",
            "child process".to_owned(),
            format!("{reason}; whether the hooks fire is not known"),
        )
    }

    fn failed(&self, hook: &str, backend: String, reason: String) -> Result<(), Gone> {
        self.tell(Fact::HookFailed {
            hook: hook.to_owned(),
            backend,
            reason,
        })
    }

    fn tell(&self, fact: Fact) -> Result<(), Gone> {
        self.to
            .blocking_send(Beat::Fact(Box::new(fact)))
            .map_err(|_| Gone)
    }
}
