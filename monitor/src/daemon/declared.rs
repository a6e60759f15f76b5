//! Words about the registry: stored before they hold. And what the registry's files say of an
//! identity: it holds for what is the identity's own too.

use super::core::Core;
use super::offboard::uid;
use super::output::Stored;
use crate::model::{CredentialState, Fact, RegistryChange, Selector, Target};
use crate::registry::{Belonging, Declared, Registry, is_ended};
use crate::storage::{self, Write};

/// Why a credential is retired that nobody has spoken about.
const OWNER: &str = "a registry file retires its owner";

impl Core<Stored> {
    /// Takes in words: on disk before anybody is told that it is so.
    pub(super) async fn say(&mut self, changes: Vec<RegistryChange>) -> storage::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let now = self.sensor.now();
        let writes = changes.iter().cloned();
        let writes = writes.map(|change| Write::Change(now, change)).collect();
        self.output.storage.commit(writes).await?;
        for change in changes {
            self.fact(Fact::Registry(change)).await;
        }
        Ok(())
    }

    /// Retires what belongs to nobody but an identity that a registry file retires, and gives back
    /// what was retired with one that no file retires any more. What somebody has said of a
    /// credential itself holds. To be asked once the host was searched, and when a file has changed.
    pub(super) async fn retire_with_owners(&mut self) {
        let registry = &self.detector.state.registry;
        let now = self.sensor.now();
        let mut changes = given_back(registry);
        for (identity, entry) in registry.identities() {
            if !entry.declared.as_ref().is_some_and(is_ended_by_file) {
                continue;
            }
            let owned = registry.owned_by(identity, uid(identity), now).into_iter();
            let own = owned.filter(|of| {
                let entry = registry.credential(&of.fingerprint);
                let is_spoken_of = entry.is_some_and(|entry| entry.declared.is_some())
                    || entry.is_some_and(|entry| registry.is_declared_by_path(entry));
                of.shared_with.is_empty() && of.why != Belonging::Used && !is_spoken_of
            });
            changes.extend(own.map(|of| {
                let target = Target::Credential(of.fingerprint);
                derived(target, CredentialState::Retired, identity)
            }));
        }
        if let Err(error) = self.say(changes).await {
            tracing::error!(%error, "what belongs to retired identities is not retired yet");
        }
    }
}

/// Credentials that were retired with an owner whom no file retires any more.
fn given_back(registry: &Registry) -> Vec<RegistryChange> {
    let credentials = registry.credentials().filter_map(|entry| {
        let said = entry.declared.as_ref()?;
        let is_so = said.by == RegistryChange::DERIVED
            && said.reason.as_deref() == Some(OWNER)
            && is_ended(said.state);
        let owner = said.owner.as_ref().filter(|_| is_so)?;
        let owners = registry
            .identity(owner)
            .and_then(|entry| entry.declared.as_ref());
        let target = Target::Credential(entry.credential.fingerprint.clone());
        (!owners.is_some_and(is_ended_by_file))
            .then(|| derived(target, CredentialState::Active, owner))
    });
    credentials.collect()
}

fn is_ended_by_file(said: &Declared) -> bool {
    is_ended(said.state) && RegistryChange::is_by_file(&said.by)
}

fn derived(target: Target, state: CredentialState, owner: &Selector) -> RegistryChange {
    RegistryChange {
        target,
        state,
        since: None,
        by: RegistryChange::DERIVED.to_owned(),
        reason: Some(OWNER.to_owned()),
        // Without it, nothing is said of the credential any more.
        owner: (state != CredentialState::Active).then(|| owner.clone()),
    }
}
