//! What the TARGET of `retire` and `restore` means: a path, a fingerprint or a selector.

use std::path::Path;

use crate::control::protocol::ChangeView;
use crate::credential::{FingerprintKey, InspectError, inspect_any};
use crate::model::{
    CredentialState, Fingerprint, LocatedFile, RegistryChange, Selector, Target, Timestamp,
};
use crate::registry::Registry;

/// Why a target cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    /// Nothing of that name.
    #[error(
        "no credential `{0}` is known; `credwatch credentials` lists them, and a path names one \
         that is not"
    )]
    Unknown(String),
    /// The start of several fingerprints.
    #[error("`{given}` is the start of {count} fingerprints; write more of it")]
    Ambiguous {
        /// What was given.
        given: String,
        /// How many it could be.
        count: usize,
    },
    /// A relative path: only the client knows what it is relative to.
    #[error("`{0}` is neither an absolute path, a fingerprint nor a selector")]
    Relative(String),
    /// The file.
    #[error(transparent)]
    File(#[from] InspectError),
    /// A selector with an error.
    #[error(transparent)]
    Selector(#[from] crate::model::identity::SelectorError),
}

/// A target that was found.
#[derive(Debug)]
pub(super) struct Resolved {
    /// One change for each.
    pub(super) targets: Vec<Target>,
    /// The file, when a path was given: it is known from now on.
    pub(super) located: Option<LocatedFile>,
}

/// Finds what `given` means.
pub(super) fn resolve(
    given: &str,
    registry: &Registry,
    key: &FingerprintKey,
) -> Result<Resolved, TargetError> {
    if Selector::looks_like(given) {
        return Ok(Resolved {
            targets: vec![Target::Identity(given.parse()?)],
            located: None,
        });
    }
    let path = Path::new(given);
    if path.is_absolute() {
        // The real place, so that it is the path that discovery finds too.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let located = inspect_any(&real, key)?;
        let targets = located
            .credentials
            .iter()
            .map(|credential| Target::Credential(credential.fingerprint.clone()))
            .collect();
        return Ok(Resolved {
            targets,
            located: Some(located),
        });
    }
    if !given.contains(':') {
        return Err(TargetError::Relative(given.to_owned()));
    }
    let target = Target::Credential(by_fingerprint(given, registry)?);
    Ok(Resolved {
        targets: vec![target],
        located: None,
    })
}

fn by_fingerprint(given: &str, registry: &Registry) -> Result<Fingerprint, TargetError> {
    let exact = Fingerprint::new(given);
    if registry.credential(&exact).is_some() {
        return Ok(exact);
    }
    let mut starts = registry
        .credentials()
        .map(|entry| &entry.credential.fingerprint)
        .filter(|known| known.as_str().starts_with(given));
    match (starts.next(), starts.count()) {
        (Some(known), 0) => Ok(known.clone()),
        (Some(_), more) => Err(TargetError::Ambiguous {
            given: given.to_owned(),
            count: more + 1,
        }),
        (None, _) => Err(TargetError::Unknown(given.to_owned())),
    }
}

/// What a change will have changed, from the registry before it.
pub(super) fn view(
    target: &Target,
    state: CredentialState,
    registry: &Registry,
    now: Timestamp,
) -> ChangeView {
    match target {
        Target::Credential(fingerprint) => {
            let entry = registry.credential(fingerprint);
            let mut paths: Vec<_> = entry
                .iter()
                .flat_map(|entry| entry.locations.iter().map(|(path, _)| path.clone()))
                .collect();
            paths.dedup();
            ChangeView {
                target: fingerprint.to_string(),
                kind: entry.map(|entry| entry.credential.kind),
                before: entry.map_or(CredentialState::Active, |entry| {
                    registry.standing(entry, None, now).state
                }),
                state,
                paths,
            }
        }
        Target::Identity(selector) => ChangeView {
            target: selector.to_string(),
            kind: None,
            before: registry
                .identity(selector)
                .and_then(|entry| entry.declared.as_ref())
                .map_or(CredentialState::Active, |said| said.state),
            state,
            paths: Vec::new(),
        },
        Target::Path(path) => ChangeView {
            target: path.display().to_string(),
            kind: None,
            before: CredentialState::Active,
            state,
            paths: vec![path.clone()],
        },
    }
}

/// The change that a person asks for.
pub(super) fn change(
    target: Target,
    state: CredentialState,
    by: &str,
    reason: Option<String>,
    registry: &Registry,
) -> RegistryChange {
    let owner = match &target {
        Target::Credential(fingerprint) => registry
            .credential(fingerprint)
            .and_then(|entry| entry.declared.as_ref())
            .and_then(|said| said.owner.clone()),
        _ => None,
    };
    let by = match by {
        // A user of this name does not speak for the program.
        RegistryChange::DERIVED => format!("user {by}"),
        by => by.to_owned(),
    };
    RegistryChange {
        target,
        state,
        since: None,
        by,
        reason,
        owner,
    }
}
