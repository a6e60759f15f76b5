//! Answers to `offboard` and `report safe-to-delete`.

use super::core::Core;
use super::living;
use super::output::Stored;
use super::target;
use crate::config::OffboardConfig;
use crate::control::protocol::{OffboardView, OwnedView};
use crate::control::{PeerUser, Response, views};
use crate::model::{CredentialState, RegistryChange, Selector, Target, Timestamp};
use crate::registry::{Assessment, Owned, Registry, Requirements, assess};

/// What an answer needs, by the configuration.
pub(super) fn requirements(of: OffboardConfig) -> Requirements {
    Requirements {
        least: of.least_observation,
        unknown_rhythm: of.unknown_rhythm,
    }
}

/// Whether something can be deleted.
pub(super) async fn safe_to_delete(given: Option<&str>, core: &mut Core<Stored>) -> Response {
    let now = core.sensor.now();
    let requirements = requirements(core.detector.offboard());
    let subjects = match given {
        None => candidates(&core.detector.state.registry, requirements, now),
        Some(given) => {
            let registry = &core.detector.state.registry;
            match target::resolve(given, registry, &core.key) {
                Ok(resolved) => {
                    if let Some(located) = resolved.located {
                        core.located(now, located).await;
                    }
                    resolved.targets
                }
                Err(error) => {
                    return Response::Error {
                        message: error.to_string(),
                    };
                }
            }
        }
    };
    let state = &core.detector.state;
    let assessments = subjects.iter().map(|subject| {
        let living = living::of(subject, state);
        assess(&state.registry, subject, &living, requirements, now)
    });
    let mut assessments: Vec<Assessment> = assessments.collect();
    assessments.sort_by_key(|of| of.verdict);
    Response::SafeToDelete(assessments)
}

/// What happened a moment ago is not in this answer.
pub(super) fn say_behind(response: &mut Response) {
    if let Response::SafeToDelete(assessments) = response {
        for of in assessments {
            of.add_behind();
        }
    }
    if let Response::Overprivileged(answers) = response {
        for of in answers {
            of.add_behind();
        }
    }
}

/// What is retired, revoked or expired, and what is quiet for long enough to ask.
pub(super) fn candidates(
    registry: &Registry,
    requirements: Requirements,
    now: Timestamp,
) -> Vec<Target> {
    let credentials = registry.credentials().filter_map(|entry| {
        let fingerprint = &entry.credential.fingerprint;
        let last = registry.usage.last_use(fingerprint).0;
        let is_dormant = || now.since(last.unwrap_or(entry.first_seen)) >= requirements.least;
        let is_one = match registry.standing(entry, None, now).state {
            CredentialState::Retired | CredentialState::Revoked | CredentialState::Expired => true,
            CredentialState::Active | CredentialState::Rotating => is_dormant(),
            CredentialState::Decoy => false,
        };
        // What lies nowhere is deleted already.
        let is_there = !entry.locations.is_empty();
        (is_one && is_there).then(|| Target::Credential(fingerprint.clone()))
    });
    let identities = registry.identities().filter_map(|(selector, entry)| {
        let said = entry.declared.as_ref();
        said.is_some_and(|said| crate::registry::is_ended(said.state))
            .then(|| Target::Identity(selector.clone()))
    });
    credentials.chain(identities).collect()
}

/// Retires an identity and what is its own, in one transaction.
pub(super) async fn offboard(
    identity: &str,
    reason: Option<String>,
    include_shared: bool,
    dry_run: bool,
    peer: &PeerUser,
    core: &mut Core<Stored>,
) -> Response {
    let done = try_offboard(identity, reason, include_shared, dry_run, peer, core).await;
    match done {
        Ok(view) => Response::Offboard(Box::new(view)),
        Err(message) => Response::Error { message },
    }
}

async fn try_offboard(
    identity: &str,
    reason: Option<String>,
    include_shared: bool,
    dry_run: bool,
    peer: &PeerUser,
    core: &mut Core<Stored>,
) -> Result<OffboardView, String> {
    let identity: Selector = identity
        .parse()
        .map_err(|error: crate::model::identity::SelectorError| error.to_string())?;
    let now = core.sensor.now();
    let registry = &core.detector.state.registry;
    let owned = registry.owned_by(&identity, uid(&identity), now);
    let said = registry.identity(&identity);
    if said.is_none() && owned.is_empty() {
        return Err(format!(
            "nothing is known of {identity}: it has not acted and owns nothing; `credwatch \
             identities` lists those that are known, and `credwatch retire {identity}` retires it all \
             the same"
        ));
    }
    let before = said.and_then(|entry| entry.declared.as_ref());
    let mut view = OffboardView {
        before: before.map_or(CredentialState::Active, |said| said.state),
        done: false,
        credentials: owned
            .into_iter()
            .map(|of| owned_view(of, include_shared))
            .collect(),
        identity,
    };
    if dry_run {
        return Ok(view);
    }
    let change = |target: Target, owner: Option<Selector>| RegistryChange {
        owner,
        ..target::change(
            target,
            CredentialState::Retired,
            &peer.name,
            reason.clone(),
            registry,
        )
    };
    let mut changes = vec![change(Target::Identity(view.identity.clone()), None)];
    let retires = view.credentials.iter().filter(|of| of.retires);
    changes.extend(retires.map(|of| {
        let target = Target::Credential(of.fingerprint.clone());
        change(target, Some(view.identity.clone()))
    }));
    let said = core.say(changes).await;
    said.map_err(|error| format!("nothing was changed: {error}"))?;
    view.done = true;
    Ok(view)
}

/// The uid of the account that a selector names, while there is one.
pub(super) fn uid(identity: &Selector) -> Option<u32> {
    let text = identity.as_str();
    if let Some(uid) = text.strip_prefix("unix:uid:") {
        return uid.parse().ok();
    }
    let name = text.strip_prefix("unix:user:")?;
    uzers::get_user_by_name(name).map(|user| user.uid())
}

fn owned_view(of: Owned, include_shared: bool) -> OwnedView {
    let is_live = matches!(
        of.state,
        CredentialState::Active | CredentialState::Rotating | CredentialState::Expired
    );
    OwnedView {
        fingerprint: of.fingerprint,
        kind: of.kind,
        before: of.state,
        retires: is_live && (include_shared || of.shared_with.is_empty()),
        why: of.why,
        shared_with: of.shared_with.into_iter().collect(),
        paths: of.paths,
        last_used: of.last_used,
    }
}

/// Whether what was offboarded is quiet.
pub(super) fn status(identity: Option<&str>, core: &Core<Stored>) -> Response {
    let wanted = match identity.map(str::parse::<Selector>).transpose() {
        Ok(wanted) => wanted,
        Err(error) => {
            return Response::Error {
                message: error.to_string(),
            };
        }
    };
    let registry = &core.detector.state.registry;
    let rows = views::offboarded(registry, wanted.as_ref(), core.sensor.now());
    match wanted {
        Some(wanted) if rows.is_empty() => Response::Error {
            message: format!("{wanted} is not retired; `credwatch offboard {wanted}` does so"),
        },
        _ => Response::OffboardStatus(rows),
    }
}
