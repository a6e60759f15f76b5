//! The sentences of alerts. Each stands alone in a SIEM.

use super::catalog;
use super::identity::Act;
use crate::attribution::Actor;
use crate::model::{
    Alert, AlertCredential, AlertDestination, AlertStatus, CredentialState, DetectionId, Selector,
    Timestamp,
};
use crate::registry::Declared;

/// An alert of a detection, with what its catalog entry says.
pub(super) fn alert(id: DetectionId, now: Timestamp) -> Alert {
    let entry = catalog::entry(id);
    let own = |of: &[&str]| of.iter().map(|&text| text.to_owned()).collect();
    Alert {
        alert_id: String::new(),
        time: now,
        id,
        severity: entry.severity,
        title: entry.title.to_owned(),
        summary: String::new(),
        identity: None,
        process: None,
        credential: None,
        destination: None,
        evidence: None,
        attack: own(entry.attack),
        owasp: own(entry.owasp),
        status: AlertStatus::Open,
        repeats: 0,
        last_time: now,
    }
}

/// What tells one actor from another: identity, executable, login. Not the pid: a loop in a shell
/// is one cause.
pub(super) fn actor_parts(actor: &Actor) -> Vec<String> {
    vec![
        actor.identity().to_string(),
        actor.exe.clone().unwrap_or_default(),
        actor
            .task
            .login_uid
            .map(|uid| uid.to_string())
            .unwrap_or_default(),
    ]
}

pub(super) fn touched(actor: &Actor, credential: &AlertCredential, now: Timestamp) -> String {
    format!("{} read {}", who(actor), what(credential, now))
}

/// `own` tells that the connecting program has read it, and not one before it or a parent.
pub(super) fn used(
    actor: &Actor,
    credential: &AlertCredential,
    own: bool,
    to: AlertDestination,
    now: Timestamp,
) -> String {
    let (who, what, to) = (who(actor), what(credential, now), endpoint(to));
    if own {
        format!("{who} read {what}, then connected to {to}")
    } else {
        format!("{who} connected to {to} after its process or a parent of it had read {what}")
    }
}

/// `the retired SSH private key SHA256:… at /srv/key, retired on 2026-05-01 by root`
fn what(credential: &AlertCredential, now: Timestamp) -> String {
    let state = match credential.state {
        CredentialState::Decoy => "decoy credential,",
        state => state.as_str(),
    };
    let path = credential.path.as_ref();
    let path = path.map(|path| format!(" at {path}")).unwrap_or_default();
    format!(
        "the {state} {} {}{path}{}",
        credential.kind.label(),
        credential.fingerprint,
        since(credential, now)
    )
}

pub(super) fn active(
    actor: &Actor,
    selector: &Selector,
    said: &Declared,
    act: Act,
    destination: Option<AlertDestination>,
    now: Timestamp,
) -> String {
    let exe = actor.exe.as_deref();
    let pid = format!("(pid {}{})", actor.task.pid, session(actor));
    let state = format!(
        "{} {}",
        word(said.state),
        ago(said.since, now, &said.by, said.reason.as_deref())
    );
    match (act, destination) {
        (Act::SetUid, _) => {
            let exe = exe.unwrap_or("a process");
            format!("{exe} {pid} took the uid of {selector}, {state}")
        }
        (Act::Connect, Some(to)) => {
            let with = exe.map(|exe| format!(" with {exe}")).unwrap_or_default();
            let to = endpoint(to);
            format!("{selector}, {state}, connected to {to}{with} {pid}")
        }
        _ => {
            let exe = exe.unwrap_or("a program");
            format!("{selector}, {state}, ran {exe} {pid}")
        }
    }
}

pub(super) fn metadata(actor: &Actor, to: AlertDestination) -> String {
    format!(
        "{} connected to the cloud metadata service at {}",
        who(actor),
        endpoint(to)
    )
}

/// `unix:user:deploy by /usr/bin/cat (pid 42, login ana, pts0)`
pub(super) fn who(actor: &Actor) -> String {
    let exe = actor
        .exe
        .as_ref()
        .map(|exe| format!(" by {exe}"))
        .unwrap_or_default();
    format!(
        "{}{exe} (pid {}{})",
        actor.identity(),
        actor.task.pid,
        session(actor)
    )
}

fn session(actor: &Actor) -> String {
    let mut text = String::new();
    if let Some(login) = &actor.login_user {
        text.push_str(", login ");
        text.push_str(login);
    }
    if let Some(unit) = &actor.placement.unit {
        text.push_str(", unit ");
        text.push_str(unit);
    }
    if let Some(tty) = &actor.task.tty {
        text.push_str(", terminal ");
        text.push_str(tty);
    }
    text
}

fn since(credential: &AlertCredential, now: Timestamp) -> String {
    match (credential.retired_at, &credential.retired_by) {
        (Some(at), Some(by)) => {
            format!(
                ", {} {}",
                word(credential.state),
                ago(at, now, by, credential.reason.as_deref())
            )
        }
        (Some(at), None) => format!(", {} since {}", credential.state, date(at)),
        (None, _) => String::new(),
    }
}

/// What was done to bring it into a state.
fn word(state: CredentialState) -> &'static str {
    match state {
        CredentialState::Decoy => "declared a decoy",
        state => state.as_str(),
    }
}

/// `on 2026-05-01 (164 days ago) by root: "moved to OIDC"`
fn ago(at: Timestamp, now: Timestamp, by: &str, reason: Option<&str>) -> String {
    let days = now.since(at).as_secs() / 86_400;
    let ago = match days {
        0 => String::new(),
        1 => " (1 day ago)".to_owned(),
        days => format!(" ({days} days ago)"),
    };
    let reason = reason
        .map(|reason| format!(": \"{reason}\""))
        .unwrap_or_default();
    format!("on {}{ago} by {by}{reason}", date(at))
}

fn date(at: Timestamp) -> String {
    at.to_jiff()
        .map_or_else(|| at.to_string(), |at| at.strftime("%Y-%m-%d").to_string())
}

fn endpoint(to: AlertDestination) -> String {
    std::net::SocketAddr::new(to.address, to.port).to_string()
}
