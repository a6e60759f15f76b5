//! CW-903 and CW-904: what the daemon notices about itself.

use std::path::Path;
use std::time::Duration;

use super::Detector;
use super::describe;
use super::fold::{Cause, Finding};
use crate::attribution::{Actor, unix_selectors};
use crate::model::{Alert, DetectionId, Gap, Origin, Relied, Sender, Severity, Timestamp};

impl Detector {
    /// Somebody tells the daemon to stop. The init system does so at every upgrade and shutdown,
    /// and Ctrl-C comes from the terminal in which the daemon runs: these two are ordinary.
    pub(super) fn stopping(&self, signal: &str, from: &Origin, now: Timestamp) -> Finding {
        let mut alert = describe::alert(DetectionId::NotWatched, now);
        let mut parts = vec!["stopping".to_owned()];
        let by = match from {
            Origin::Kernel => {
                alert.severity = Severity::Low;
                "by the kernel, as Ctrl-C at its terminal does".to_owned()
            }
            Origin::Process(Sender { pid: 1, uid: 0, .. }) => {
                alert.severity = Severity::Low;
                "by the init system (pid 1)".to_owned()
            }
            Origin::Process(sender) => self.stopper(sender, now, &mut alert, &mut parts),
            Origin::Claimed(Sender { pid, uid, .. }) => format!(
                "by a process that gives itself out as pid {pid} of uid {uid}, which may be false"
            ),
            Origin::Unknown => "by an unknown sender".to_owned(),
        };
        alert.summary = format!(
            "Credwatch was told to stop ({signal}) {by}: nothing is watched until it is started \
             again"
        );
        finding(alert, parts)
    }

    /// Names the sender, by what the hooks told of it before what /proc did.
    fn stopper(
        &self,
        sender: &Sender,
        now: Timestamp,
        alert: &mut Alert,
        parts: &mut Vec<String>,
    ) -> String {
        let state = &self.state;
        if let Some(task) = state.processes.with_pid(sender.pid, now) {
            let actor = Actor::of(task, &state.processes, &state.host);
            alert.identity = Some(actor.identity().clone());
            alert.process = Some(actor.to_alert());
            parts.extend(describe::actor_parts(&actor));
            return format!("by {}", describe::who(&actor));
        }
        let identity = unix_selectors(sender.uid, &state.host).next();
        let who = identity.as_ref().map(ToString::to_string);
        let who = who.unwrap_or_else(|| format!("uid {}", sender.uid));
        let program = sender.program.as_ref();
        let by = program.map(|program| format!(" by {program}"));
        parts.extend([who.clone(), program.cloned().unwrap_or_default()]);
        alert.identity = identity;
        match sender.pid {
            0 => format!("by {who}, from outside of its pid namespace"),
            pid => format!("by {who}{} (pid {pid})", by.unwrap_or_default()),
        }
    }
}

/// A time that was not watched, or that the clock does not tell right.
pub(super) fn gap(gap: &Gap, now: Timestamp) -> Finding {
    let mut alert = describe::alert(DetectionId::NotWatched, now);
    let parts = match gap {
        Gap::Unsaid {
            pid,
            started,
            last_seen,
            unwatched,
            rebooted,
        } => {
            let why = if *rebooted {
                alert.severity = Severity::Medium;
                "when the host went down without a shutdown"
            } else {
                "without saying so, as kill -9 does"
            };
            alert.summary = format!(
                "The former run of Credwatch (pid {pid}) ended {why}: it was last known to run at \
                 {last_seen}, and nothing was watched for {}",
                span(*unwatched)
            );
            vec!["unsaid".to_owned(), started.to_string()]
        }
        Gap::Held { lasted } => {
            alert.summary = format!(
                "Credwatch was held for {}: it was stopped (SIGSTOP), frozen or starved, and \
                 events of that time may be lost or late",
                span(*lasted)
            );
            vec!["held".to_owned()]
        }
        Gap::ClockSet { from, to } => {
            alert.severity = Severity::Medium;
            let (way, by) = if to < from {
                ("back", from.since(*to))
            } else {
                ("ahead", to.since(*from))
            };
            alert.summary = format!(
                "The clock was set {way} by {}, from {from} to {to}: times before and after do \
                 not compare",
                span(nanoseconds(by))
            );
            vec!["clock".to_owned(), way.to_owned()]
        }
    };
    finding(alert, parts)
}

/// Something that the daemon relies on was changed.
pub(super) fn tampered(what: Relied, path: &Path, detail: &str, now: Timestamp) -> Finding {
    let mut alert = describe::alert(DetectionId::Tampered, now);
    if matches!(
        what,
        Relied::Registry | Relied::Configuration | Relied::Program
    ) {
        alert.severity = Severity::Medium;
    }
    let path = path.to_string_lossy();
    alert.summary = format!("{} {path} {detail}", what.label());
    // Another change of the same file is told anew: it may be the one that matters.
    let parts = vec![
        what.label().to_owned(),
        path.into_owned(),
        detail.to_owned(),
    ];
    finding(alert, parts)
}

fn finding(alert: Alert, parts: Vec<String>) -> Finding {
    Finding {
        cause: Cause {
            id: alert.id,
            parts,
        },
        alert,
        weight: 1,
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `34 s`, `12 min 5 s`, `3 h 7 min`, `2 d 4 h`: the two largest units, rounded down.
pub(super) fn span(nanoseconds: u64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes} min {} s", seconds % 60),
        3_600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let of = |seconds: u64| span(seconds * 1_000_000_000 + 999_999_999);
        let texts = [0, 34, 60, 725, 3_600, 11_259, 86_400, 187_200].map(of);
        let expected = [
            "0 s",
            "34 s",
            "1 min 0 s",
            "12 min 5 s",
            "1 h 0 min",
            "3 h 7 min",
            "1 d 0 h",
            "2 d 4 h",
        ];
        assert_eq!(texts, expected);
    }
}
