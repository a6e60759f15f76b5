//! Transitions and rotations as operators see them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::protocol::lossy_path;
use crate::model::{
    BaselineWord, CredentialKind, CredentialState, Fingerprint, RegistryChange, Selector, Target,
    Timestamp, Word, time::rfc3339,
};
use crate::registry::{CredentialEntry, Registry, Rotation};

/// One step of the life of a credential or an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionView {
    /// When it was said or noticed.
    #[serde(with = "rfc3339")]
    pub time: Timestamp,
    /// Of what: a fingerprint, a selector or a path.
    pub target: String,
    /// The state from then on.
    pub state: CredentialState,
    /// What was said of its habits instead, which changes no state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<Word>,
    /// Since when it holds, where that is another time.
    #[serde(with = "rfc3339::option")]
    pub since: Option<Timestamp>,
    /// Who said so; `credwatch` for what follows from the facts.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// A version of a credential that another one has followed, and who has which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationView {
    /// The old version.
    pub old: Fingerprint,
    /// The new one.
    pub new: Fingerprint,
    /// What it is.
    pub kind: Option<CredentialKind>,
    /// The state of the old version now.
    pub state: CredentialState,
    /// Where the new one was found in place of the old.
    #[serde(serialize_with = "lossy_path")]
    pub path: PathBuf,
    /// When.
    #[serde(with = "rfc3339")]
    pub began: Timestamp,
    /// When the window ends or has ended, by the configuration of the daemon that runs.
    #[serde(with = "rfc3339::option")]
    pub ends: Option<Timestamp>,
    /// Whether a daemon runs: else nobody knows the processes, and the lists are empty.
    pub watched: bool,
    /// Processes that have read the new version.
    pub renewed: Vec<HolderView>,
    /// Processes that have read the old version, and not the new one since.
    pub stale: Vec<HolderView>,
    /// Processes of known users of the old version that run since before the daemon: nobody can
    /// tell which version they hold.
    pub unknown: Vec<HolderView>,
}

/// A process of a [`RotationView`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderView {
    /// Who.
    pub identity: Selector,
    /// Its process.
    pub pid: u32,
    /// The executable's path.
    pub exe: Option<String>,
    /// When it last read that version.
    #[serde(with = "rfc3339::option")]
    pub read: Option<Timestamp>,
}

/// The rotations that are known, or those of one credential, without the processes.
pub fn rotations(
    registry: &Registry,
    of: Option<&str>,
    window: Option<Duration>,
    now: Timestamp,
) -> Vec<RotationView> {
    let is_meant = |rotation: &&Rotation| {
        let succession = &rotation.succession;
        let starts = |fingerprint: &Fingerprint| {
            of.is_none_or(|given| fingerprint.as_str().starts_with(given))
        };
        starts(&succession.old) || starts(&succession.new)
    };
    let mut views: Vec<_> = registry
        .rotations
        .all()
        .filter(is_meant)
        .map(|rotation| {
            let succession = &rotation.succession;
            let entry = registry.credential(&succession.old);
            let state = |entry| registry.standing(entry, None, now).state;
            RotationView {
                old: succession.old.clone(),
                new: succession.new.clone(),
                kind: entry.map(|entry| entry.credential.kind),
                state: entry.map_or(CredentialState::Rotating, state),
                path: succession.path.clone(),
                began: succession.began,
                ends: window.map(|window| succession.began.after(window)),
                watched: false,
                renewed: Vec::new(),
                stale: Vec::new(),
                unknown: Vec::new(),
            }
        })
        .collect();
    views.sort_by(|a, b| (a.began, &a.old).cmp(&(b.began, &b.old)));
    views
}

/// Every step in the life of what `given` names: a selector, a fingerprint or the start of one, or
/// a path with all that is known to have lain there. Oldest first.
///
/// # Errors
/// In one sentence, where nothing of that name is known.
pub fn history<'a>(
    changes: &[(Timestamp, RegistryChange)],
    words: impl Iterator<Item = (Timestamp, &'a BaselineWord)>,
    registry: &Registry,
    given: &str,
    now: Timestamp,
) -> Result<Vec<TransitionView>, String> {
    let targets = targets(registry, given);
    let said: Vec<_> = changes
        .iter()
        .filter(|(_, change)| targets.contains(&change.target))
        .collect();
    let is_about = |of: &Selector| {
        let mut targets = targets.iter();
        targets.any(|target| matches!(target, Target::Identity(identity) if identity == of))
    };
    let words: Vec<_> = words.filter(|(_, of)| is_about(&of.identity)).collect();
    let known = targets.iter().any(|target| match target {
        Target::Credential(of) => registry.credential(of).is_some(),
        Target::Identity(of) => registry.identity(of).is_some(),
        Target::Path(_) => false,
    });
    if !known && said.is_empty() && words.is_empty() {
        return Err(format!(
            "nothing is known of `{given}`; `credwatch credentials` and `credwatch identities` \
             list what is"
        ));
    }
    let mut steps: Vec<_> = said
        .iter()
        .map(|(time, change)| TransitionView {
            time: *time,
            target: name(&change.target),
            state: change.state,
            word: None,
            since: change.since,
            by: change.by.clone(),
            reason: change.reason.clone(),
        })
        .collect();
    for (time, word) in words {
        let mut latest_first = said.iter().rev();
        let last = latest_first.find(|(at, of)| {
            *at <= time && matches!(&of.target, Target::Identity(of) if *of == word.identity)
        });
        steps.push(TransitionView {
            time,
            target: word.identity.to_string(),
            state: last.map_or(CredentialState::Active, |(_, change)| change.state),
            word: Some(word.word),
            since: None,
            by: word.by.clone(),
            reason: Some(word.reason.clone()),
        });
    }
    for target in &targets {
        if let Target::Credential(of) = target
            && let Some(entry) = registry.credential(of)
        {
            steps.push(found(entry));
            let before = |end: Timestamp| {
                let mut latest_first = said.iter().rev();
                let last = latest_first.find(|(at, of)| of.target == *target && *at <= end);
                last.map(|(_, change)| change.state)
            };
            steps.extend(expired(entry, before, now));
        }
        if let Target::Identity(of) = target
            && let Some(first) = registry.identity(of).and_then(|entry| entry.first_seen)
        {
            let why = "acted for the first time that was seen";
            steps.push(noticed(
                first,
                of.to_string(),
                CredentialState::Active,
                why.to_owned(),
            ));
        }
    }
    steps.sort_by_key(|step| step.time);
    Ok(steps)
}

fn targets(registry: &Registry, given: &str) -> Vec<Target> {
    if let Ok(selector) = given.parse::<Selector>() {
        return vec![Target::Identity(selector)];
    }
    let path = Path::new(given);
    let of = |entry: &CredentialEntry| Target::Credential(entry.credential.fingerprint.clone());
    if !path.is_absolute() {
        let starts =
            |entry: &&CredentialEntry| entry.credential.fingerprint.as_str().starts_with(given);
        return registry.credentials().filter(starts).map(of).collect();
    }
    let lies = |entry: &&CredentialEntry| entry.locations.iter().any(|(at, _)| at == path);
    let mut targets = vec![Target::Path(path.to_owned())];
    targets.extend(registry.credentials().filter(lies).map(of));
    let lay = registry
        .rotations
        .all()
        .filter(|of| of.succession.path == path);
    targets.extend(lay.map(|of| Target::Credential(of.succession.old.clone())));
    targets
}

fn found(entry: &CredentialEntry) -> TransitionView {
    let credential = &entry.credential;
    let at = entry.locations.iter().next();
    let at = at.map_or_else(String::new, |(path, _)| {
        format!("; it lies at {}", path.display())
    });
    noticed(
        entry.first_seen,
        credential.fingerprint.to_string(),
        CredentialState::Active,
        format!("{} found{at}", credential.kind.label()),
    )
}

/// Its own end, unless it had come to another before.
fn expired(
    entry: &CredentialEntry,
    state_at: impl FnOnce(Timestamp) -> Option<CredentialState>,
    now: Timestamp,
) -> Option<TransitionView> {
    let credential = &entry.credential;
    let end = credential.expires.filter(|end| *end <= now)?;
    let was_free = matches!(
        state_at(end),
        None | Some(CredentialState::Active | CredentialState::Rotating)
    );
    was_free.then(|| {
        noticed(
            end,
            credential.fingerprint.to_string(),
            CredentialState::Expired,
            "the end that it names itself has passed".to_owned(),
        )
    })
}

fn noticed(
    time: Timestamp,
    target: String,
    state: CredentialState,
    reason: String,
) -> TransitionView {
    TransitionView {
        time,
        target,
        state,
        word: None,
        since: None,
        by: RegistryChange::DERIVED.to_owned(),
        reason: Some(reason),
    }
}

fn name(target: &Target) -> String {
    match target {
        Target::Credential(of) => of.to_string(),
        Target::Identity(of) => of.to_string(),
        Target::Path(path) => path.to_string_lossy().into_owned(),
    }
}
