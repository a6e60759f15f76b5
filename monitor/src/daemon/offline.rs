//! `retire` and `restore` where no daemon runs: the word goes into the database, for a daemon to
//! find.

use std::path::Path;

use anyhow::anyhow;

use super::restore;
use super::target;
use crate::cli::CommandError;
use crate::control::Request;
use crate::control::protocol::ChangeView;
use crate::credential::FingerprintKey;
use crate::detection::Detector;
use crate::model::{CredentialState, Timestamp};
use crate::registry::Registry;
use crate::storage::{Mode, Snapshot, Store, Write};

/// Makes the change that `request` asks for, in the name of `by`.
///
/// # Errors
/// When the target is unknown, or the database cannot be written.
pub fn change_offline(
    state_dir: &Path,
    request: &Request,
    by: &str,
) -> Result<Vec<ChangeView>, CommandError> {
    let (given, state, reason) = match request {
        Request::Retire { target, reason } => (target, CredentialState::Retired, reason.clone()),
        Request::Restore { target } => (target, CredentialState::Active, None),
        _ => {
            return Err(CommandError::Runtime(anyhow!(
                "this needs a running daemon"
            )));
        }
    };
    let mut store = Store::open(state_dir, Mode::ReadWrite)?;
    let key = FingerprintKey::load_or_create(state_dir).map_err(anyhow::Error::from)?;
    let mut registry = registry(&store.load()?);
    let resolved = target::resolve(given, &registry, &key).map_err(anyhow::Error::from)?;
    let now = Timestamp::now();
    if let Some(located) = &resolved.located {
        registry.locate(located, now);
    }
    let views = resolved
        .targets
        .iter()
        .map(|of| target::view(of, state, &registry, now))
        .collect();
    let mut writes = Vec::new();
    if let Some(located) = resolved.located {
        writes.push(Write::Located(now, located));
    }
    for of in resolved.targets {
        let change = target::change(of, state, by, reason.clone(), &registry);
        writes.push(Write::Change(now, change));
    }
    store.write(&writes)?;
    store.close()?;
    Ok(views)
}

/// The registry that a database holds: by the same facts and rules as a daemon's.
pub(crate) fn registry(snapshot: &Snapshot) -> Registry {
    let mut detector = Detector::new(crate::config::DetectionConfig::default());
    for record in restore::facts(snapshot) {
        detector.step(&record);
    }
    detector.state.registry
}
