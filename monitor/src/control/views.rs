//! The registry as operators see it: the same for a running daemon and for a database at rest.

use std::collections::BTreeSet;

use super::protocol::{CredentialView, IdentityView};
use crate::model::{Account, CredentialState, Selector, Timestamp};
use crate::registry::{CredentialEntry, Registry};

/// Every credential, as of `now`.
pub fn credentials(registry: &Registry, now: Timestamp) -> Vec<CredentialView> {
    registry
        .credentials()
        .map(|entry| credential(registry, entry, now))
        .collect()
}

fn credential(registry: &Registry, entry: &CredentialEntry, now: Timestamp) -> CredentialView {
    let standing = registry.standing(entry, None, now);
    let (last_used, uses) = registry.usage.last_use(&entry.credential.fingerprint);
    let said = standing
        .declared
        .filter(|said| said.state != CredentialState::Active);
    let owner = entry
        .declared
        .as_ref()
        .and_then(|declared| declared.owner.clone());
    let mut paths: Vec<_> = entry
        .locations
        .iter()
        .map(|(path, _)| path.clone())
        .collect();
    paths.dedup();
    CredentialView {
        fingerprint: entry.credential.fingerprint.clone(),
        kind: entry.credential.kind,
        label: entry.credential.label.clone(),
        state: standing.state,
        retired_at: said.as_ref().map(|said| said.since),
        retired_by: said.as_ref().map(|said| said.by.clone()),
        reason: said.and_then(|said| said.reason),
        owner: owner.or_else(|| entry.credential.subject.clone()),
        paths,
        issued: entry.credential.issued,
        expires: entry.credential.expires,
        last_used,
        uses,
    }
}

/// Every identity that acted or was spoken of; `account` tells what account a selector names, where
/// somebody knows the host.
pub fn identities(
    registry: &Registry,
    account: impl Fn(&Selector) -> Option<Account>,
) -> Vec<IdentityView> {
    registry
        .identities()
        .map(|(selector, entry)| {
            let said = entry
                .declared
                .as_ref()
                .filter(|said| said.state != CredentialState::Active);
            IdentityView {
                selector: selector.clone(),
                account: account(selector),
                state: said.map_or(CredentialState::Active, |said| said.state),
                retired_at: said.map(|said| said.since),
                retired_by: said.map(|said| said.by.clone()),
                reason: said.and_then(|said| said.reason.clone()),
                first_seen: entry.first_seen,
                last_seen: entry.last_seen,
                credentials_used: credentials_used(registry, selector),
            }
        })
        .collect()
}

fn credentials_used(registry: &Registry, selector: &Selector) -> u64 {
    let rows = registry
        .usage
        .rows()
        .filter(|row| row.key.identity == *selector);
    rows.map(|row| &row.key.fingerprint)
        .collect::<BTreeSet<_>>()
        .len() as u64
}
