//! CW-301 to CW-307: what is not as usual. The scores are the baseline's; here acts become contacts, and
//! anomalies become alerts.

use super::fold::{Cause, Finding};
use super::{Detector, describe};
use crate::attribution::Actor;
use crate::baseline::{
    Anomaly, Contact, Destination, Level, Phase, Reason, Role, Scope, Way, Who, hash,
};
use crate::model::{AlertDestination, Direction, Flow, Protocol, Selector, Severity, Timestamp};

/// A baseline that knows less than this share of two weeks speaks low.
const YOUNG: f64 = 0.5;
/// A chance below which an alert of a mature baseline is high.
const HIGH: f64 = 1e-6;

/// Who did it, as alerts carry it.
enum By<'a> {
    Actor(&'a Actor),
    Device(&'a Selector),
}

impl Detector {
    /// A connection was opened.
    pub(super) fn scored_connect(
        &mut self,
        actor: &Actor,
        protocol: Protocol,
        to: std::net::SocketAddr,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let destination = Destination::new(to.ip(), to.port(), protocol, Way::Out);
        self.scored(By::Actor(actor), destination, Phase::Opened, now, findings);
    }

    /// A connection was closed.
    pub(super) fn scored_close(
        &mut self,
        actor: &Actor,
        to: std::net::SocketAddr,
        (sent, received): (u64, u64),
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let destination = Destination::new(to.ip(), to.port(), Protocol::Tcp, Way::Out);
        let phase = Phase::Carried {
            sent,
            received,
            is_over: true,
        };
        self.scored(By::Actor(actor), destination, phase, now, findings);
    }

    /// A program began.
    pub(super) fn scored_exec(
        &mut self,
        actor: &Actor,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        if self.is_a_persons(actor) {
            return;
        }
        let who = Who {
            identity: actor.identity(),
            program: actor.exe.as_deref(),
            role: Role::Program,
        };
        for anomaly in self.state.baselines.began(who, now) {
            findings.push(self.unusual(&anomaly, &By::Actor(actor), now));
        }
    }

    /// Traffic of a device.
    pub(super) fn scored_flow(
        &mut self,
        device: &Selector,
        flow: &Flow,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        if flow.protocol == Protocol::Arp {
            return;
        }
        let (device_port, other) = (flow.source.port(), flow.destination);
        // Of a flow whose beginning was not seen, the service is the smaller port.
        let is_answer = match flow.direction {
            Direction::Incoming => true,
            Direction::Outgoing => false,
            Direction::Unknown => device_port != 0 && device_port < other.port(),
        };
        // What is sent to a device that does not answer is no act of it.
        if is_answer && flow.sent.packets == 0 {
            return;
        }
        let (way, port) = if is_answer {
            (Way::In, device_port)
        } else {
            (Way::Out, other.port())
        };
        let destination = Destination::new(other.ip(), port, flow.protocol, way);
        if !flow.continues {
            self.scored(
                By::Device(device),
                destination,
                Phase::Opened,
                now,
                findings,
            );
        }
        if flow.continues || !flow.received.is_none() {
            let phase = Phase::Carried {
                sent: flow.sent.bytes,
                received: flow.received.bytes,
                is_over: false,
            };
            self.scored(By::Device(device), destination, phase, now, findings);
        }
    }

    fn scored(
        &mut self,
        by: By<'_>,
        destination: Destination,
        phase: Phase,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let who = match &by {
            By::Actor(actor) if self.is_a_persons(actor) => return,
            By::Actor(actor) => Who {
                identity: actor.identity(),
                program: actor.exe.as_deref(),
                role: Role::Program,
            },
            By::Device(device) => Who {
                identity: device,
                program: None,
                role: Role::Device,
            },
        };
        if Scope::of(destination.address()) == Scope::Loopback {
            return;
        }
        let domain = self.state.host.names(destination.address()).next();
        let contact = Contact {
            time: now,
            destination,
            domain: domain.map(|name| hash(&domain_of(name))),
            name: domain.map(|name| hash(&name)),
            phase,
        };
        for anomaly in self.state.baselines.contact(who, &contact) {
            findings.push(self.unusual(&anomaly, &by, now));
        }
    }

    /// What a person does by hand is no machine's habit. A login or a terminal alone shows nobody: cron gives
    /// its jobs the one, and who breaks into a service can give himself both.
    fn is_a_persons(&self, actor: &Actor) -> bool {
        let task = &actor.task;
        (task.login_uid.is_some() || task.tty.is_some()) && self.person(actor).is_some()
    }

    fn unusual(&self, anomaly: &Anomaly, by: &By<'_>, now: Timestamp) -> Finding {
        let id = anomaly.id();
        let identity = match by {
            By::Actor(actor) => actor.identity(),
            By::Device(device) => device,
        };
        let mut alert = describe::alert(id, now);
        let (to, shown) = anomaly.destination.map(|of| self.shown(of)).unzip();
        let exe = match by {
            By::Actor(actor) => actor.exe.as_deref(),
            By::Device(_) => None,
        };
        alert.summary = sentence(anomaly, identity, exe, shown.as_deref());
        alert.severity = severity(anomaly, alert.severity);
        alert.identity = Some(identity.clone());
        if let By::Actor(actor) = by {
            alert.process = Some(actor.to_alert());
        }
        // Many destinations of one service are one cause: a scan is one alert.
        let service = anomaly.destination.map(|of| {
            let service = of.service();
            format!(
                "{:?} {} {:?} {:?}",
                service.protocol, service.port, service.way, service.scope
            )
        });
        alert.destination = to;
        let parts = vec![identity.to_string(), service.unwrap_or_default()];
        Finding {
            cause: Cause { id, parts },
            alert,
            weight: 1,
        }
    }

    /// The other end as alerts carry it, and as a sentence has it.
    pub(super) fn shown(&self, of: Destination) -> (AlertDestination, String) {
        let to = self.destination(std::net::SocketAddr::new(of.address(), of.port));
        let from = if of.way == Way::In { "from " } else { "" };
        let endpoint = describe::endpoint(&to);
        let shown = format!("{from}{endpoint} over {}", transport(of.protocol));
        (to, shown)
    }
}

/// The domain of a name: its last two labels, or three where the last but one is a short one of a
/// country (`co.uk`). Whose it is decides nothing, so that a list of public suffixes is not needed.
fn domain_of(name: &str) -> &str {
    let name = name.trim_end_matches('.');
    let mut dots = name.rmatch_indices('.').map(|(at, _)| at);
    let (last, second, third) = (dots.next(), dots.next(), dots.next());
    let label = |from: usize, to: usize| to.saturating_sub(from + 1);
    match (last, second, third) {
        (Some(last), Some(second), third)
            if label(second, last) <= 3 && label(last, name.len()) == 2 =>
        {
            third.map_or(name, |third| &name[third + 1..])
        }
        (Some(_), Some(second), _) => &name[second + 1..],
        _ => name,
    }
}

fn transport(of: Protocol) -> &'static str {
    match of {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Arp => "ARP",
        Protocol::Other => "IP",
    }
}

fn severity(anomaly: &Anomaly, of: Severity) -> Severity {
    if anomaly.maturity.share() < YOUNG {
        Severity::Low
    } else if anomaly.p < HIGH {
        Severity::High
    } else {
        of
    }
}

/// What is not as usual, by which program and to where.
pub(super) fn sentence(
    anomaly: &Anomaly,
    identity: &Selector,
    exe: Option<&str>,
    to: Option<&str>,
) -> String {
    let by = exe.map(|exe| format!(" by {exe}"));
    let hours = anomaly.maturity.hours;
    let watched = if hours < 48.0 {
        format!("{hours:.0} hours")
    } else {
        format!("{:.0} days", hours / 24.0)
    };
    let mut said: Vec<String> = anomaly
        .reasons
        .iter()
        .map(|(reason, _)| reason_in_words(reason))
        .collect();
    if let (Some(first), Some(to)) = (said.first_mut(), to) {
        *first = format!("{to}: {first}");
    }
    format!(
        "{identity}{}, watched for {watched}: {}; chance {:.1e}",
        by.unwrap_or_default(),
        said.join(", "),
        anomaly.p
    )
}

fn reason_in_words(reason: &Reason) -> String {
    match *reason {
        Reason::New { level, users } => {
            let what = match level {
                Level::Service => "a service that is new to it",
                Level::Network => "a network that is new to it",
                Level::Destination => "an address that is new to it",
                Level::Known => "not seen for long",
            };
            match users {
                0 => format!("{what} and to this host"),
                1 => format!("{what}, used by one other"),
                users => format!("{what}, used by {users} others"),
            }
        }
        Reason::Unnamed => "an address that nobody asked a name for".to_owned(),
        Reason::Caller { users: 0 } => {
            "a program that it never connected by, nor any other identity here".to_owned()
        }
        Reason::Caller { users } => {
            format!("a program that it never connected by; {users} other identities do")
        }
        Reason::Carried { sent, received } => {
            format!(
                "{} sent and {} received on its first day",
                bytes(sent),
                bytes(received)
            )
        }
        Reason::Silent { times } => format!("called {times} times and never answered"),
        Reason::Rhythm {
            times,
            period,
            spread,
        } => format!(
            "called {times} times, every {period:.0} s give or take {:.0} %",
            100.0 * spread
        ),
        Reason::Rate { count, usual } => {
            format!("{count} connections in this hour, where {usual:.1} are usual")
        }
        Reason::Volume { sent, usual } => {
            format!(
                "{} sent today, where {} is usual",
                bytes(sent),
                bytes(whole(usual))
            )
        }
        Reason::Hour { share } => {
            format!(
                "active in an hour in which it is in {:.1} % of such hours",
                100.0 * share
            )
        }
        Reason::Leak { hours, sent, usual } => format!(
            "{} sent in {hours} hours, where {} is usual",
            bytes(whole(sent)),
            bytes(whole(usual))
        ),
        Reason::Drift { days, sent, usual } => format!(
            "{} sent in {days} days, where {} a day were usual when it was watched first",
            bytes(whole(sent)),
            bytes(whole(usual))
        ),
        Reason::Program { users: 0 } => {
            "a program that never ran as it, nor as any other identity here".to_owned()
        }
        Reason::Program { users } => {
            format!("a program that never ran as it; {users} other identities run it")
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates, and bytes are no fewer than none"
)]
fn whole(bytes: f64) -> u64 {
    bytes as u64
}

/// `3.4 MiB`
fn bytes(of: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut value = of as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" {
                format!("{of} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_what_is_registered() {
        for (name, domain) in [
            ("api.github.com", "github.com"),
            ("github.com.", "github.com"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("example.co.uk", "example.co.uk"),
            ("localhost", "localhost"),
            ("", ""),
        ] {
            assert_eq!(domain_of(name), domain, "{name}");
        }
    }

    #[test]
    fn bytes_are_short() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
    }
}
