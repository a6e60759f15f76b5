//! `credwatch allow`: exceptions from the causes of alerts.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use super::control::Context;
use super::core::Core;
use super::output::Stored;
use crate::control::{PeerUser, Response};
use crate::detection::{can_be_allowed, exception_of, needs_force};
use crate::model::{Alert, DetectionId, Exception, Fact};
use crate::storage::{Mode, Store, Write};

/// Shortest start of an alert's id that is looked for.
const SHORTEST: usize = 4;
/// How long an exception holds when nobody says, in days: for ever is how lists rot.
const USUAL_DAYS: u64 = 90;
/// The same for what contradicts the registry, and the most that may be asked for it.
const FORCED_DAYS: u64 = 7;
const MOST_FORCED_DAYS: u64 = 30;
/// The most that may be asked for, in days.
const MOST_DAYS: u64 = 3_660;
const DAY: u64 = 86_400;

/// What a client asks for.
pub(super) struct Wish<'a> {
    pub(super) alert: &'a str,
    pub(super) reason: String,
    pub(super) seconds: Option<u64>,
    pub(super) force: bool,
}

/// Everything that is allowed now.
pub(super) fn all(core: &Core<Stored>) -> Vec<Exception> {
    let now = core.sensor.now();
    let all = core.detector.exceptions.all();
    all.filter(|of| of.holds(now)).cloned().collect()
}

/// Makes an exception. It is stored when this returns.
pub(super) async fn allow(
    wish: Wish<'_>,
    peer: &PeerUser,
    core: &mut Core<Stored>,
    context: &Context,
) -> Response {
    match try_allow(wish, peer, core, context).await {
        Ok(exception) => Response::Exceptions(vec![exception]),
        Err(message) => Response::Error { message },
    }
}

async fn try_allow(
    wish: Wish<'_>,
    peer: &PeerUser,
    core: &mut Core<Stored>,
    context: &Context,
) -> Result<Exception, String> {
    if wish.reason.trim().is_empty() {
        return Err("an exception needs a reason: say why with --reason".to_owned());
    }
    let alert = find(wish.alert, core, context).await?;
    let days = days(alert.id, &wish)?;
    check_program(&alert)?;
    let now = core.sensor.now();
    if !core.detector.exceptions.has_room(now) {
        return Err(
            "there are too many exceptions: remove some, or declare a pattern in the configuration"
                .to_owned(),
        );
    }
    let end = now.after(Duration::from_secs(wish.seconds.unwrap_or(days * DAY)));
    let exception = exception_of(&alert, wish.reason, peer.name.clone(), now, Some(end));
    // On disk before anybody is told that it is so.
    let write = Write::Allowed(Box::new(exception.clone()));
    let stored = core.output.storage.commit(vec![write]).await;
    stored.map_err(|error| format!("nothing was allowed: {error}"))?;
    core.fact(Fact::Allowed(exception.clone())).await;
    Ok(exception)
}

/// The alert that is meant.
async fn find(given: &str, core: &Core<Stored>, context: &Context) -> Result<Alert, String> {
    if given.len() < SHORTEST || !given.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!(
            "`{}` is no alert's id: copy at least {SHORTEST} digits of one from `credwatch alerts`",
            given.escape_debug()
        ));
    }
    let failed = |error: crate::storage::StorageError| error.to_string();
    core.output.storage.flush().await.map_err(failed)?;
    let store = Store::open(&context.state_dir, Mode::ReadOnly).map_err(failed)?;
    let given = given.to_ascii_lowercase();
    let mut found = store.alerts_named(&given).map_err(failed)?;
    match (found.pop(), found.pop()) {
        (Some(alert), None) => Ok(alert),
        (Some(_), Some(_)) => Err(format!(
            "`{given}` is the start of several alerts' ids; write more of it"
        )),
        (None, _) => Err(format!(
            "no alert's id begins with `{given}`; `credwatch alerts` shows them"
        )),
    }
}

/// How long it may hold, or why it may not be.
fn days(id: DetectionId, wish: &Wish<'_>) -> Result<u64, String> {
    if !can_be_allowed(id) {
        return Err(format!(
            "{id} tells that Credwatch itself cannot see or was touched; it cannot be allowed. To \
             silence it for good, list it in detection.disabled"
        ));
    }
    let (usual, most) = match (needs_force(id), wish.force) {
        (true, false) => {
            return Err(format!(
                "{id} is about something that was declared retired or a decoy: take that back with \
                 `credwatch restore` if it is to be used. --force allows this one cause for up to \
                 {MOST_FORCED_DAYS} days"
            ));
        }
        (true, true) => (FORCED_DAYS, MOST_FORCED_DAYS),
        (false, _) => (USUAL_DAYS, MOST_DAYS),
    };
    match wish.seconds {
        Some(0) => Err("it must hold for longer than nothing".to_owned()),
        Some(seconds) if seconds > most * DAY => Err(format!(
            "an exception from {id} holds for {most} days at most"
        )),
        _ => Ok(usual),
    }
}

/// An exception names a program by what lies at its path on this host. For one that lies elsewhere
/// it would never hold, and the operator should know.
fn check_program(alert: &Alert) -> Result<(), String> {
    let Some(process) = &alert.process else {
        return Ok(());
    };
    let Some(exe) = process
        .exe
        .as_deref()
        .filter(|_| process.container.is_none())
    else {
        return Ok(());
    };
    let metadata = std::fs::metadata(Path::new(exe));
    let is_program = metadata.as_ref().is_ok_and(|of| {
        let kind = of.file_type();
        of.is_file() && !kind.is_fifo() && of.mode() & 0o111 != 0
    });
    if exe.starts_with('/') && is_program {
        Ok(())
    } else {
        Err(format!(
            "its program {exe} does not lie at that path on this host, so that nothing could be told \
             from it; declare the identity in the configuration, under [[users]] or in the \
             detection's `allowed`"
        ))
    }
}

/// Takes an exception back.
pub(super) async fn disallow(given: &str, core: &mut Core<Stored>) -> Response {
    match try_disallow(given, core).await {
        Ok(exception) => Response::Exceptions(vec![exception]),
        Err(message) => Response::Error { message },
    }
}

async fn try_disallow(given: &str, core: &mut Core<Stored>) -> Result<Exception, String> {
    let found: Vec<_> = all(core)
        .into_iter()
        .filter(|of| !given.is_empty() && of.id.starts_with(given))
        .collect();
    let [exception] = found.as_slice() else {
        return Err(match found.len() {
            0 => "no exception has this id; `credwatch allow --list` shows them".to_owned(),
            count => format!("this is the start of {count} ids; write more of it"),
        });
    };
    let now = core.sensor.now();
    let id = exception.id.clone();
    let write = Write::NotAllowed(now, id.clone());
    let stored = core.output.storage.commit(vec![write]).await;
    stored.map_err(|error| format!("nothing was changed: {error}"))?;
    core.fact(Fact::NotAllowed { id }).await;
    Ok(exception.clone())
}
