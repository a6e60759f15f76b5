//! The registry as operators see it: the same for a running daemon and for a database at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::protocol::{
    CredentialView, FileView, HeldView, IdentityView, Inventory, OffboardedView,
};
use super::{devices, findings};
use crate::model::{Account, CredentialState, Selector, Target, Timestamp};
use crate::registry::{
    CredentialEntry, HeldAt, LeastPrivilege, Registry, is_ended, least_privilege,
};

/// Every credential, as of `now`.
pub fn credentials(registry: &Registry, now: Timestamp) -> Vec<CredentialView> {
    registry
        .credentials()
        .map(|entry| credential(registry, entry, now))
        .collect()
}

/// All that is known, as of `now`.
pub fn inventory(
    registry: &Registry,
    account: impl Fn(&Selector) -> Option<Account>,
    now: Timestamp,
) -> Inventory {
    Inventory {
        time: now,
        credentials: credentials(registry, now),
        identities: identities(registry, account),
        kernel_keys: registry.held.keys().to_vec(),
    }
}

fn credential(registry: &Registry, entry: &CredentialEntry, now: Timestamp) -> CredentialView {
    let standing = registry.standing(entry, None, now);
    let name = &entry.credential.fingerprint;
    let used = registry.usage.summary(name);
    let said = standing
        .declared
        .filter(|said| said.state != CredentialState::Active);
    let (owner, owner_from) = registry.owner(entry).unzip();
    let mut view = CredentialView {
        fingerprint: name.clone(),
        kind: entry.credential.kind,
        label: entry.credential.label.clone(),
        state: standing.state,
        retired_at: said.as_ref().map(|said| said.since),
        retired_by: said.as_ref().map(|said| said.by.clone()),
        reason: said.and_then(|said| said.reason),
        owner,
        owner_from,
        paths: paths(entry),
        issued: entry.credential.issued,
        expires: entry.credential.expires,
        first_seen: Some(entry.first_seen),
        first_used: used.first,
        last_used: used.last,
        last_used_by: used.last_by,
        last_used_with: Some(used.last_exe).filter(|exe| !exe.is_empty()),
        uses: used.count,
        users: used.users as u64,
        files: files(registry, entry),
        held: registry.held.processes(name).map(held).collect(),
        logs: registry
            .held
            .logs(name)
            .map(|(path, _)| path.to_owned())
            .collect(),
        findings: Vec::new(),
    };
    view.findings = findings::of(entry, &view, now);
    view
}

fn paths(entry: &CredentialEntry) -> Vec<PathBuf> {
    let locations = entry.locations.iter();
    let mut paths: Vec<_> = locations.map(|(path, _)| path.clone()).collect();
    paths.dedup();
    paths
}

fn files(registry: &Registry, entry: &CredentialEntry) -> Vec<FileView> {
    let locations = entry.locations.iter();
    let files = locations.filter_map(|(path, file)| {
        let facts = registry.file_facts(*file)?;
        Some(FileView {
            path: path.clone(),
            uid: facts.uid,
            user: None,
            gid: facts.gid,
            group: None,
            mode: format!("{:04o}", facts.mode),
            modified: facts.modified,
            world_readable: facts.exposed,
        })
    });
    files.collect()
}

fn held(at: &HeldAt) -> HeldView {
    HeldView {
        pid: at.process.pid,
        started: at.process.start,
        identity: at.identity.clone(),
        exe: at.exe.clone(),
        place: at.place.clone(),
    }
}

/// Every identity that acted, was spoken of, or owns something; `account` tells what account a selector
/// names, where somebody knows the host.
pub fn identities(
    registry: &Registry,
    account: impl Fn(&Selector) -> Option<Account>,
) -> Vec<IdentityView> {
    let mut used: BTreeMap<&Selector, BTreeSet<_>> = BTreeMap::new();
    for row in registry.usage.rows() {
        let of = used.entry(&row.key.identity).or_default();
        of.insert(&row.key.fingerprint);
    }
    let mut owned: BTreeMap<Selector, u64> = BTreeMap::new();
    for (owner, _) in registry
        .credentials()
        .filter_map(|entry| registry.owner(entry))
    {
        *owned.entry(owner).or_default() += 1;
    }
    let by_address = registry.devices.by_address();
    let known = registry.identities().map(|(selector, entry)| {
        let said = entry
            .declared
            .as_ref()
            .filter(|said| said.state != CredentialState::Active);
        IdentityView {
            selector: selector.clone(),
            kind: selector.kind().to_owned(),
            device: devices::of(registry, selector, &by_address),
            account: account(selector),
            state: said.map_or(CredentialState::Active, |said| said.state),
            retired_at: said.map(|said| said.since),
            retired_by: said.map(|said| said.by.clone()),
            reason: said.and_then(|said| said.reason.clone()),
            first_seen: entry.first_seen,
            last_seen: entry.last_seen,
            credentials_used: used.get(selector).map_or(0, |of| of.len() as u64),
            credentials_owned: owned.get(selector).copied().unwrap_or(0),
        }
    });
    let mut views: Vec<_> = known.collect();
    // Owners that have not acted are identities too.
    let silent = owned
        .iter()
        .filter(|(owner, _)| registry.identity(owner).is_none());
    views.extend(silent.map(|(owner, count)| IdentityView {
        selector: owner.clone(),
        kind: owner.kind().to_owned(),
        device: None,
        account: account(owner),
        state: CredentialState::Active,
        retired_at: None,
        retired_by: None,
        reason: None,
        first_seen: None,
        last_seen: None,
        credentials_used: 0,
        credentials_owned: *count,
    }));
    views.sort_by(|a, b| a.selector.cmp(&b.selector));
    views
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

/// Whether identities have more rights than they use; the worst first.
///
/// # Errors
/// In one sentence, where nobody of that name is known.
pub fn overprivileged(
    registry: &Registry,
    identity: Option<&str>,
    needed: Duration,
    now: Timestamp,
) -> Result<Vec<LeastPrivilege>, String> {
    let wanted: Vec<Selector> = match identity {
        None => registry.rights.identities().into_iter().cloned().collect(),
        Some(text) => {
            let wanted: Selector = text
                .parse()
                .map_err(|error: crate::model::identity::SelectorError| error.to_string())?;
            let is_known = registry.identity(&wanted).is_some()
                || registry.rights.of(&wanted).next().is_some();
            if !is_known {
                return Err(format!(
                    "nothing is known of {wanted}: it has not acted; `credwatch identities` lists \
                     those that are known"
                ));
            }
            vec![wanted]
        }
    };
    let mut answers: Vec<_> = wanted
        .iter()
        .map(|identity| least_privilege(registry, identity, needed, now))
        .collect();
    answers.sort_by_key(|of| std::cmp::Reverse(of.verdict));
    Ok(answers)
}
