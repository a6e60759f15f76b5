//! The sentences of alerts. Each stands alone in a SIEM.

use super::catalog;
use super::identity::Act;
use super::memory::Holding;
use super::sockets::SocketKind;
use crate::attribution::{Actor, Host};
use crate::model::{
    Access, Alert, AlertCredential, AlertDestination, AlertStatus, CredentialState, DetectionId,
    MemoryAccess, Selector, SystemFile, Timestamp,
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
        target: None,
        path: None,
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

pub(super) fn touched(
    actor: &Actor,
    credential: &AlertCredential,
    access: Access,
    now: Timestamp,
) -> String {
    did(actor, access, &what(credential, now))
}

/// CW-208, of a file.
pub(super) fn touched_system(
    actor: &Actor,
    kind: SystemFile,
    access: Access,
    path: &str,
) -> String {
    did(actor, access, &format!("{} at {path}", kind.label()))
}

/// Who did what with something.
fn did(actor: &Actor, access: Access, what: &str) -> String {
    let who = who(actor);
    match access {
        Access::Open => format!("{who} opened {what}"),
        Access::Read => format!("{who} read {what}"),
        Access::Map => format!("{who} mapped {what}"),
        Access::Write => format!("{who} changed {what}"),
        Access::Denied => format!("{who} tried to open {what}; it was refused"),
    }
}

/// CW-208, of a key of the kernel.
pub(super) fn read_key(
    actor: &Actor,
    serial: u32,
    description: Option<&str>,
    owner: Option<&str>,
) -> String {
    let described = description.map(|text| format!(" ({text})"));
    format!(
        "{} read key {serial}{} of the kernel's keyrings, {}",
        who(actor),
        described.unwrap_or_default(),
        owner.map_or_else(
            || "whose owner is not known".to_owned(),
            |owner| format!("which is {owner}'s")
        )
    )
}

/// CW-207.
pub(super) fn spoke(actor: &Actor, kind: SocketKind, path: &str, owner: Option<&str>) -> String {
    let owner = match (kind, owner) {
        (SocketKind::SshAgent, Some(owner)) => format!(" of {owner}"),
        (SocketKind::SshAgent, None) => " whose owner is not known".to_owned(),
        _ => String::new(),
    };
    let how = match kind {
        SocketKind::VaultAgent | SocketKind::Spire => {
            "; who may is declared in detection.control_sockets.allowed"
        }
        _ => "",
    };
    format!(
        "{} connected to {}{owner} at {path}{how}",
        who(actor),
        kind.label()
    )
}

/// CW-205 and CW-206.
pub(super) fn reached(
    actor: &Actor,
    target: &Actor,
    how: MemoryAccess,
    granted: bool,
    holding: Option<&Holding>,
    now: Timestamp,
) -> String {
    let (did, tries) = ways(how);
    let whom = format!(
        "{} (pid {}) of {}",
        target.exe.as_deref().unwrap_or("a process"),
        target.task.pid,
        target.identity()
    );
    let holds = holding.map(|holding| {
        let holds = if holding.is_seen {
            "has read"
        } else {
            "is known to use"
        };
        format!(", which {holds} {}", what(&holding.credential, now))
    });
    let (who, holds) = (who(actor), holds.unwrap_or_default());
    if granted {
        format!("{who} {did} {whom}{holds}")
    } else {
        format!("{who} tried to {tries} {whom}{holds}; it was refused")
    }
}

/// CW-206, where the kernel did not say of whom.
pub(super) fn reached_unnamed(actor: &Actor, how: MemoryAccess, granted: bool) -> String {
    let (did, tries) = ways(how);
    let who = who(actor);
    if granted {
        format!("{who} {did} a process of another user")
    } else {
        format!("{who} tried to {tries} a process of another user; it was refused")
    }
}

/// A way into another process, done and tried.
fn ways(how: MemoryAccess) -> (&'static str, &'static str) {
    match how {
        MemoryAccess::Ptrace => ("attached by ptrace to", "attach by ptrace to"),
        MemoryAccess::ProcessVm => (
            "reached by process_vm_readv or process_vm_writev into the memory of",
            "reach by process_vm_readv or process_vm_writev into the memory of",
        ),
        MemoryAccess::Mem => (
            "opened /proc/PID/mem, the memory of",
            "open /proc/PID/mem, the memory of",
        ),
        MemoryAccess::Environ => ("read the environment of", "read the environment of"),
        MemoryAccess::Maps => ("read the memory map of", "read the memory map of"),
        MemoryAccess::Descriptor => ("took a descriptor from", "take a descriptor from"),
        MemoryAccess::Other => (
            "reached, in a way that the kernel did not name, into",
            "reach, in a way that the kernel did not name, into",
        ),
    }
}

/// A uid as people call it.
pub(super) fn user(uid: u32, host: &Host) -> String {
    host.user(uid)
        .map_or_else(|| format!("uid {uid}"), str::to_owned)
}

/// `own` tells that the connecting program has read it, and not one before it or a parent.
pub(super) fn used(
    actor: &Actor,
    credential: &AlertCredential,
    own: bool,
    to: &AlertDestination,
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
pub(super) fn what(credential: &AlertCredential, now: Timestamp) -> String {
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
    destination: Option<&AlertDestination>,
    now: Timestamp,
) -> String {
    let exe = actor.exe.as_deref();
    let pid = format!("(pid {}{})", actor.task.pid, session(actor));
    let state = since_when(said, now);
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

/// `retired on 2026-05-01 (164 days ago) by root: "moved to OIDC"`
pub(super) fn since_when(said: &Declared, now: Timestamp) -> String {
    format!(
        "{} {}",
        word(said.state),
        ago(said.since, now, &said.by, said.reason.as_deref())
    )
}

pub(super) fn metadata(actor: &Actor, to: &AlertDestination) -> String {
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

/// `, which is retired since 2026-05-01 by root: "moved to OIDC",`
pub(super) fn retired_since(said: &Declared) -> String {
    let reason = said.reason.as_ref();
    let reason = reason
        .map(|text| format!(": \"{text}\""))
        .unwrap_or_default();
    format!(
        ", which is {} since {} by {}{reason},",
        said.state,
        date(said.since),
        said.by
    )
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

pub(super) fn endpoint(to: &AlertDestination) -> String {
    let address = match to.port {
        // The protocol has none.
        0 => to.address.to_string(),
        port => std::net::SocketAddr::new(to.address, port).to_string(),
    };
    match &to.name {
        Some(name) => format!("{name} ({address})"),
        None => address,
    }
}
