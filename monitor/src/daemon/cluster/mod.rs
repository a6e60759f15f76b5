//! The watch of the cluster's API, where the configuration asks for it: service accounts of the
//! cluster and pods of this node that come and go, as facts.
//!
//! Everything that the API server says is a stranger's word: its answers are bounded, and what is no
//! name or uid is passed over and counted. Secrets are not asked for, not even for their metadata:
//! the right to list those cannot be given without the right to read their values.

#[cfg(feature = "kubernetes")]
mod client;
#[cfg(any(feature = "kubernetes", test))]
mod objects;
#[cfg(feature = "kubernetes")]
mod watch;

use super::core::Core;
use super::output::Stored;
use crate::cli::CommandError;
use crate::config::KubernetesConfig;
use crate::control::protocol::KubernetesStatus;
use crate::model::Fact;
use crate::storage::{Keep, Snapshot, Write};

/// What the watch has told.
pub(super) struct News {
    facts: Vec<Fact>,
    keep: Vec<Keep>,
    /// How the watch is now.
    pub(super) status: KubernetesStatus,
}

/// How the API is reached, before anything is asked of it.
pub(super) struct Reach {
    #[cfg(feature = "kubernetes")]
    cluster: Option<client::Reach>,
}

/// A watch that runs, or none.
pub(super) struct Cluster {
    #[cfg(feature = "kubernetes")]
    watch: Option<watch::Watch>,
}

impl Reach {
    /// Takes in what the configuration says. Asks the API nothing.
    ///
    /// # Errors
    /// When it is to be watched, and the configuration does not say how.
    #[cfg(feature = "kubernetes")]
    pub(super) async fn by(config: &KubernetesConfig) -> Result<Self, CommandError> {
        let cluster = match config.api {
            true => Some(client::Reach::by(config).await),
            false => None,
        };
        let cluster = cluster.transpose().map_err(CommandError::Configuration)?;
        Ok(Self { cluster })
    }

    /// The configuration asks for nothing that is not there: that is seen to where it is read.
    #[cfg(not(feature = "kubernetes"))]
    pub(super) async fn by(_: &KubernetesConfig) -> Result<Self, CommandError> {
        Ok(Self {})
    }
}

impl Cluster {
    /// Starts to watch, and goes on from what was known.
    #[cfg(feature = "kubernetes")]
    pub(super) fn start(reach: Reach, snapshot: &Snapshot) -> Self {
        let known = &snapshot.kept.cluster;
        let watch = reach.cluster.map(|of| watch::Watch::start(of, known));
        Self { watch }
    }

    /// Watches nothing.
    #[cfg(not(feature = "kubernetes"))]
    pub(super) fn start(_: Reach, _: &Snapshot) -> Self {
        Self {}
    }

    /// What has happened in the cluster; `None` where nobody watches it.
    #[cfg(feature = "kubernetes")]
    pub(super) async fn next(&mut self) -> Option<News> {
        self.watch.as_mut()?.next().await
    }

    /// Nobody watches it.
    #[cfg(not(feature = "kubernetes"))]
    pub(super) async fn next(&mut self) -> Option<News> {
        None
    }
}

impl Core<Stored> {
    /// Takes in what has happened in the cluster.
    pub(super) async fn cluster(&mut self, facts: Vec<Fact>, keep: Vec<Keep>) {
        for fact in facts {
            self.fact(fact).await;
        }
        // Behind the facts: what is told twice is better than what is not told.
        let writes = keep.into_iter().map(|keep| Write::Keep(Box::new(keep)));
        let writes: Vec<_> = writes.collect();
        if !writes.is_empty() {
            self.output.store(writes).await;
        }
        self.keep();
    }
}

impl News {
    /// What is to be taken in.
    pub(super) fn split(self) -> (Vec<Fact>, Vec<Keep>, KubernetesStatus) {
        (self.facts, self.keep, self.status)
    }
}
