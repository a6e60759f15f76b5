//! CW-901 and CW-902: when Credwatch is blind it says so first.

use super::describe;
use super::fold::{Cause, Finding};
use crate::attribution::Actor;
use crate::model::{DetectionId, Severity, Timestamp};

/// A hook that is missing or silent.
pub(super) fn hook_failed(hook: &str, backend: &str, reason: &str, now: Timestamp) -> Finding {
    let id = DetectionId::HookFailed;
    let mut alert = describe::alert(id, now);
    alert.summary = format!("The probe {hook} ({backend}) does not work: {reason}");
    let cause = Cause {
        id,
        parts: vec![hook.to_owned(), backend.to_owned()],
    };
    Finding {
        cause,
        alert,
        weight: 1,
    }
}

/// What the watch of a cluster's API is called among the hooks.
pub(super) const API: &str = "kubernetes_api";

/// The API of the cluster is out of reach. Nothing of the host goes unseen.
pub(super) fn api_away(reason: &str, now: Timestamp) -> Finding {
    let reason = format!(
        "{reason}; not seen: service accounts and pods that are deleted, until it answers again; \
         to mend it: see `credwatch status`"
    );
    let mut finding = hook_failed(API, "watch", &reason, now);
    finding.alert.severity = Severity::Medium;
    finding
}

/// Events that a hook or queue could not deliver.
pub(super) fn lost(hook: &str, cpu: Option<u32>, count: u64, now: Timestamp) -> Finding {
    let id = DetectionId::EventsLost;
    let mut alert = describe::alert(id, now);
    let cpu = cpu.map(|cpu| format!(" on CPU {cpu}")).unwrap_or_default();
    alert.summary = lost_in_all(hook, &cpu, count);
    let cause = Cause {
        id,
        parts: vec![hook.to_owned(), cpu],
    };
    Finding {
        cause,
        alert,
        weight: count,
    }
}

/// Events of a process that made so many that they were no longer delivered.
pub(super) fn capped(hook: &str, actor: &Actor, count: u64, now: Timestamp) -> Finding {
    let id = DetectionId::EventsLost;
    let mut alert = describe::alert(id, now);
    let exe = actor.exe.as_deref().unwrap_or("a process");
    let by = format!("{exe} (pid {})", actor.task.pid);
    alert.summary = capped_in_all(hook, &by, count);
    alert.identity = Some(actor.identity().clone());
    alert.process = Some(actor.to_alert());
    let start = actor.task.start.0.to_string();
    let cause = Cause {
        id,
        parts: vec![hook.to_owned(), by, start],
    };
    Finding {
        cause,
        alert,
        weight: count,
    }
}

/// The sentence of a flood that was stopped, for the first report of it and for the sum.
pub(super) fn capped_in_all(hook: &str, by: &str, count: u64) -> String {
    let were = match count {
        1 => format!("1 event of {hook} by {by} was"),
        _ => format!("{count} events of {hook} by {by} were"),
    };
    format!("{were} counted and not looked at: it makes more of them a second than are taken in")
}

/// The sentence of a loss, for the first report of it and for the sum.
pub(super) fn lost_in_all(hook: &str, cpu: &str, count: u64) -> String {
    match count {
        1 => format!("1 event of {hook} was lost{cpu}"),
        _ => format!("{count} events of {hook} were lost{cpu}"),
    }
}
