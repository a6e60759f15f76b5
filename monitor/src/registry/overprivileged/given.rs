//! Credentials that an identity was given: made for it, or in files that it can read.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::is_start_seen;
use crate::model::{
    CredentialKind, CredentialState, Fingerprint, HeldIn, Ledger, ProgramRights, Selector, Target,
    Timestamp,
};
use crate::registry::answer::Verdict;
use crate::registry::watched::watched;
use crate::registry::words::span;
use crate::registry::{CredentialEntry, OwnerFrom, Registry, is_same_identity};

/// How it came to a credential; the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GivenBy {
    /// Somebody declared it so.
    Declared,
    /// Its own content names the identity.
    Named,
    /// systemd put it where this unit alone finds it.
    Unit,
    /// A process of it has it in its environment.
    Environment,
    /// A process of it has it among its arguments.
    Arguments,
    /// Its account owns the file.
    Owner,
    /// Its account's group can read the file.
    Group,
}

impl GivenBy {
    /// As a table says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared owner",
            Self::Named => "named in it",
            Self::Unit => "made for the unit",
            Self::Environment => "in its environment",
            Self::Arguments => "in its arguments",
            Self::Owner => "owns the file",
            Self::Group => "by its group",
        }
    }
}

/// A credential that an identity can use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenCredential {
    /// Which.
    pub fingerprint: Fingerprint,
    /// What it is.
    pub kind: CredentialKind,
    /// Where it lies.
    #[serde(serialize_with = "lossy")]
    pub paths: Vec<PathBuf>,
    /// How the identity came to it.
    pub given_by: GivenBy,
    /// Whether it was used.
    pub verdict: Verdict,
    /// Why that cannot be told, or for how long it was not used.
    pub reason: String,
}

/// JSON is UTF-8 and a path need not be.
fn lossy<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

/// Every credential that the identity was given, the unused ones first.
pub(super) fn credentials(
    registry: &Registry,
    ledger: &Ledger,
    identity: &Selector,
    programs: &[&ProgramRights],
    needed: Duration,
    now: Timestamp,
) -> Vec<GivenCredential> {
    let mut all: Vec<_> = registry
        .credentials()
        .filter(|entry| entry.credential.kind.is_secret())
        .filter(|entry| {
            let state = registry.standing(entry, None, now).state;
            matches!(state, CredentialState::Active | CredentialState::Rotating)
        })
        .filter_map(|entry| {
            let given_by = given_by(registry, entry, identity, programs)?;
            let (verdict, reason) = if is_used(registry, entry, identity) {
                (Verdict::Yes, "used".to_owned())
            } else {
                unused(registry, ledger, entry, given_by, programs, needed, now)
            };
            let mut paths: Vec<_> = entry.locations.iter().map(|of| of.0.clone()).collect();
            paths.dedup();
            Some(GivenCredential {
                fingerprint: entry.credential.fingerprint.clone(),
                kind: entry.credential.kind,
                paths,
                given_by,
                verdict,
                reason,
            })
        })
        .collect();
    all.sort_by_key(|of| std::cmp::Reverse(of.verdict));
    all
}

fn given_by(
    registry: &Registry,
    entry: &CredentialEntry,
    identity: &Selector,
    programs: &[&ProgramRights],
) -> Option<GivenBy> {
    if let Some((owner, from)) = registry.owner(entry)
        && owner == *identity
    {
        match from {
            OwnerFrom::Declared => return Some(GivenBy::Declared),
            OwnerFrom::Content => return Some(GivenBy::Named),
            OwnerFrom::Unit => return Some(GivenBy::Unit),
            OwnerFrom::File => {}
        }
    }
    let held = registry.held.processes(&entry.credential.fingerprint);
    let mut places = held.filter(|at| at.identity == *identity);
    if let Some(at) = places.next() {
        return Some(match at.place {
            HeldIn::Environment { .. } => GivenBy::Environment,
            HeldIn::Arguments => GivenBy::Arguments,
        });
    }
    let files = entry.locations.iter();
    let files = files.filter_map(|(_, file)| registry.file_facts(*file));
    files
        .filter_map(|of| {
            let mut accounts = programs.iter().filter(|program| program.uid != 0);
            // The kernel asks for the owner's bits, and of the owner for no others.
            accounts.find_map(|program| {
                if of.uid == program.uid {
                    (of.mode & 0o400 != 0).then_some(GivenBy::Owner)
                } else {
                    let is_its = of.gid == program.gid && of.gid != 0;
                    (is_its && of.mode & 0o040 != 0).then_some(GivenBy::Group)
                }
            })
        })
        .min()
}

/// Whether a use by the identity was ever seen. Whatever runs as a unit may run under any account: a
/// unit's or a container's use counts for every account.
fn is_used(registry: &Registry, entry: &CredentialEntry, identity: &Selector) -> bool {
    let rows = registry.usage.rows();
    let mut rows = rows.filter(|row| row.key.fingerprint == entry.credential.fingerprint);
    rows.any(|row| {
        let by = &row.key.identity;
        is_same_identity(by, identity) || !identity.is_machine() && by.is_machine()
    })
}

fn unused(
    registry: &Registry,
    ledger: &Ledger,
    entry: &CredentialEntry,
    given_by: GivenBy,
    programs: &[&ProgramRights],
    needed: Duration,
    now: Timestamp,
) -> (Verdict, String) {
    let cannot_tell = |why: &str| (Verdict::CannotTell, why.to_owned());
    if matches!(given_by, GivenBy::Environment | GivenBy::Arguments) {
        return cannot_tell("what a process does with what it was started with is not seen");
    }
    let subject = Target::Credential(entry.credential.fingerprint.clone());
    let pattern = registry.observed.pattern(&subject);
    let Some(present) = pattern.and_then(|pattern| pattern.present_since) else {
        return cannot_tell("no file of this host is known to hold it");
    };
    let unseen = ledger.unseen(&subject, now);
    let Some(first) = programs.iter().map(|program| program.since).min() else {
        return cannot_tell("no program of the identity was seen");
    };
    if let Some(older) = programs.iter().find(|of| !is_start_seen(of, &unseen)) {
        return cannot_tell(&format!(
            "{} started before it could be watched, and may have it in memory",
            older.exe
        ));
    }
    let lasted = watched(&unseen, present.max(ledger.since).max(first), now);
    if lasted < needed {
        return cannot_tell(&format!(
            "watched for {}, and {} are needed",
            span(lasted),
            span(needed)
        ));
    }
    let text = format!("not used while it was watched for {}", span(lasted));
    (Verdict::No, text)
}
