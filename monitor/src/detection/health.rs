//! CW-901 and CW-902: when Credwatch is blind it says so first.

use super::describe;
use super::fold::{Cause, Finding};
use crate::model::{DetectionId, Timestamp};

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

/// The sentence of a loss, for the first report of it and for the sum.
pub(super) fn lost_in_all(hook: &str, cpu: &str, count: u64) -> String {
    match count {
        1 => format!("1 event of {hook} was lost{cpu}"),
        _ => format!("{count} events of {hook} were lost{cpu}"),
    }
}
