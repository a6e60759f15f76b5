//! Stores what is kept beside the pipeline, and hears of accounts and units.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::account_changes::Accounts;
use super::core::Core;
use super::output::Stored;
use super::units::Units;
use crate::model::Fact;
use crate::storage::{Keep, Snapshot, Write};

/// How often accounts are looked at: a stat of two files.
const ACCOUNTS: Duration = Duration::from_millis(500);

/// What of the host is looked at again and again.
pub(super) struct HostChanges {
    looked: mpsc::Receiver<Looked>,
    accounts: JoinHandle<()>,
    units: Units,
}

/// What one look at the accounts found.
pub(super) struct Looked {
    changes: Vec<(Fact, Keep)>,
    /// All accounts, where no daemon has stored any before: there is nothing to compare with.
    first: Vec<Keep>,
}

impl HostChanges {
    /// Starts to look. Beside the loop: to open the file of passwords may have to wait for whoever
    /// else has permission marks on it, and the loop must not.
    pub(super) fn start(snapshot: &Snapshot) -> Self {
        let accounts = Accounts::new(&snapshot.kept.accounts);
        let is_first = snapshot.kept.accounts.is_empty();
        let (to, looked) = mpsc::channel(1);
        Self {
            looked,
            accounts: tokio::spawn(look(accounts, is_first, to)),
            units: Units::new(&snapshot.kept.units),
        }
    }

    /// Accounts that have changed.
    pub(super) async fn next(&mut self) -> Option<Looked> {
        self.looked.recv().await
    }

    /// Takes in units that came and went.
    pub(super) async fn look_at_units(&mut self, core: &mut Core<Stored>) {
        let (facts, keep) = self.units.look();
        for fact in facts {
            core.fact(fact).await;
        }
        core.output.keep(keep.into_iter().map(write).collect());
    }
}

impl Drop for HostChanges {
    fn drop(&mut self) {
        self.accounts.abort();
    }
}

async fn look(mut accounts: Accounts, mut is_first: bool, to: mpsc::Sender<Looked>) {
    let mut ticks = interval(ACCOUNTS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let looked = tokio::task::spawn_blocking(move || {
            let changes = accounts.look();
            (accounts, changes)
        });
        let Ok((back, mut changes)) = looked.await else {
            tracing::error!("the accounts of this host are no longer looked at");
            return;
        };
        accounts = back;
        let mut first = Vec::new();
        if is_first {
            first = accounts.all();
            is_first = first.is_empty();
            changes.clear();
        }
        let is_quiet = changes.is_empty() && first.is_empty();
        if !is_quiet && to.send(Looked { changes, first }).await.is_err() {
            return;
        }
    }
}

impl Core<Stored> {
    /// Takes in accounts that have changed.
    pub(super) async fn accounts(&mut self, looked: Looked) {
        let (facts, keep): (Vec<_>, Vec<_>) = looked.changes.into_iter().unzip();
        for fact in facts {
            self.fact(fact).await;
        }
        // Behind the facts: what is told twice is better than what is not told.
        let keep = keep.into_iter().chain(looked.first);
        self.output.store(keep.map(write).collect()).await;
        self.keep();
    }

    /// Hands what has changed in the ledger, in patterns of use and among removals to the database.
    pub(super) fn keep(&mut self) {
        let registry = &mut self.detector.state.registry;
        let unstored = registry.observed.take_unstored();
        let removals = registry.offboarding.take_unstored().into_iter();
        let removals = removals
            .map(|(selector, removal)| Keep::Removal(selector, removal.map(|of| (of.at, of.uid))));
        let rights = registry.rights.take_unstored().into_iter();
        let rights = rights.map(|(identity, exe, of)| Keep::Rights(identity, exe, of));
        let cluster = registry.cluster.take_unstored().into_iter();
        let cluster = cluster.map(|(uid, removal)| {
            removal.map_or(Keep::ClusterForgotten(uid), Keep::ClusterRemoved)
        });
        let ledger = unstored.ledger.into_iter().map(Keep::Ledger);
        let patterns = unstored.patterns.into_iter().map(Keep::Pattern);
        let keep = ledger
            .chain(patterns)
            .chain(removals)
            .chain(cluster)
            .chain(rights);
        self.output.keep(keep.map(write).collect());
    }
}

fn write(keep: Keep) -> Write {
    Write::Keep(Box::new(keep))
}

/// What was kept, as facts.
pub(super) fn facts(snapshot: &Snapshot) -> impl Iterator<Item = Fact> + use<'_> {
    let kept = &snapshot.kept;
    let ledger = kept.ledger.iter().cloned().map(Fact::Observed);
    let patterns = kept.patterns.iter().cloned().map(Fact::Pattern);
    let removals = kept.removals.iter();
    let removals = removals.map(|(selector, at, uid)| Fact::Removed {
        selector: selector.clone(),
        at: *at,
        uid: *uid,
    });
    let rights = kept.rights.iter().cloned().map(Fact::Rights);
    let cluster = kept.cluster_removed.iter().cloned();
    let cluster = cluster.map(Fact::ClusterRemoved);
    ledger
        .chain(patterns)
        .chain(removals)
        .chain(cluster)
        .chain(rights)
}
