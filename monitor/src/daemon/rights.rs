//! Answers to `report overprivileged`.

use super::core::Core;
use super::output::Stored;
use crate::control::{Response, views};

/// Whether identities have more rights than they use.
pub(super) fn overprivileged(identity: Option<&str>, core: &Core<Stored>) -> Response {
    let needed = core.detector.observation();
    let registry = &core.detector.state.registry;
    match views::overprivileged(registry, identity, needed, core.sensor.now()) {
        Ok(answers) => Response::Overprivileged(answers),
        Err(message) => Response::Error { message },
    }
}
