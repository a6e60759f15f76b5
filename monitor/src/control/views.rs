//! The registry as operators see it: the same for a running daemon and for a database at rest.

use std::collections::BTreeSet;

use super::protocol::{CredentialView, IdentityView, OffboardedView};
use crate::model::{CredentialState, Selector, Target, Timestamp};
use crate::registry::{CredentialEntry, Registry, is_ended};

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

/// Every identity that acted or was spoken of.
pub fn identities(registry: &Registry) -> Vec<IdentityView> {
    registry
        .identities()
        .map(|(selector, entry)| {
            let said = entry
                .declared
                .as_ref()
                .filter(|said| said.state != CredentialState::Active);
            IdentityView {
                selector: selector.clone(),
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

/// What was retired with each identity, or with the one that is wanted, and how it is since.
pub fn offboarded(
    registry: &Registry,
    wanted: Option<&Selector>,
    now: Timestamp,
) -> Vec<OffboardedView> {
    let identities = registry.identities().filter(|(selector, entry)| {
        let said = entry.declared.as_ref();
        wanted.is_none_or(|wanted| wanted == *selector)
            && said.is_some_and(|said| is_ended(said.state))
    });
    let with = identities.flat_map(|(identity, _)| {
        let own = Target::Identity(identity.clone());
        let targets = std::iter::once(own).chain(registry.retired_with(identity));
        targets.map(move |target| (identity, target))
    });
    with.filter_map(|(identity, target)| offboarded_view(registry, identity, &target, now))
        .collect()
}

fn offboarded_view(
    registry: &Registry,
    identity: &Selector,
    target: &Target,
    now: Timestamp,
) -> Option<OffboardedView> {
    let (said, kind) = match target {
        Target::Credential(fingerprint) => {
            let entry = registry.credential(fingerprint)?;
            (entry.declared.as_ref()?, Some(entry.credential.kind))
        }
        Target::Identity(selector) => (registry.identity(selector)?.declared.as_ref()?, None),
        Target::Path(_) => return None,
    };
    let since = registry.since(target, said.since, now);
    Some(OffboardedView {
        identity: identity.clone(),
        target: match target {
            Target::Credential(fingerprint) => fingerprint.to_string(),
            _ => identity.to_string(),
        },
        kind,
        since: said.since,
        by: said.by.clone(),
        reason: said.reason.clone(),
        used: since.used,
        used_by: since.by,
        used_with: since.with,
        quiet_seconds: since.quiet.as_secs(),
        unwatched_seconds: since.unwatched.as_secs(),
    })
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
