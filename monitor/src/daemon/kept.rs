//! Stores what is kept beside the pipeline, and hears of accounts and units.

use super::account_changes::Accounts;
use super::core::Core;
use super::output::Stored;
use super::units::Units;
use crate::model::Fact;
use crate::storage::{Keep, Snapshot, Write};

/// What of the host is looked at again and again.
pub(super) struct HostChanges {
    accounts: Accounts,
    units: Units,
    /// No daemon has stored accounts before: there is nothing to compare with.
    is_first: bool,
}

impl HostChanges {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Self {
            accounts: Accounts::new(&snapshot.kept.accounts),
            units: Units::new(),
            is_first: snapshot.kept.accounts.is_empty(),
        }
    }

    /// Takes in accounts that have changed.
    pub(super) async fn look_at_accounts(&mut self, core: &mut Core<Stored>) {
        let changes = self.accounts.look();
        if self.is_first {
            let all: Vec<_> = self.accounts.all().into_iter().map(write).collect();
            self.is_first = all.is_empty();
            core.output.store(all).await;
            return;
        }
        if changes.is_empty() {
            return;
        }
        let (facts, keep): (Vec<_>, Vec<_>) = changes.into_iter().unzip();
        for fact in facts {
            core.fact(fact).await;
        }
        // Behind the facts: what is told twice is better than what is not told.
        core.output
            .store(keep.into_iter().map(write).collect())
            .await;
        core.keep();
    }

    /// Takes in units that came and went.
    pub(super) async fn look_at_units(&mut self, core: &mut Core<Stored>) {
        for fact in self.units.look() {
            core.fact(fact).await;
        }
    }
}

impl Core<Stored> {
    /// Hands what has changed in the ledger, in patterns of use and among removals to the database.
    pub(super) fn keep(&mut self) {
        let registry = &mut self.detector.state.registry;
        let unstored = registry.observed.take_unstored();
        let removals = registry.offboarding.take_unstored().into_iter();
        let removals = removals
            .map(|(selector, removal)| Keep::Removal(selector, removal.map(|of| (of.at, of.uid))));
        let ledger = unstored.ledger.into_iter().map(Keep::Ledger);
        let patterns = unstored.patterns.into_iter().map(Keep::Pattern);
        let keep = ledger.chain(patterns).chain(removals);
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
    ledger.chain(patterns).chain(removals)
}
