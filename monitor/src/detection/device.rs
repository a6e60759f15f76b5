//! CW-103 of devices: one that is retired is on the network. Its traffic is its act, as a program or a
//! connection is a process's.

use super::fold::{Cause, Finding};
use super::{Detector, Outcome, describe, health};
use crate::model::{DetectionId, Direction, Flow, Protocol, Selector, Timestamp, Traffic};
use crate::registry::Declared;

/// The queue as losses name it: devices that are not kept, because there are too many.
const TABLE: &str = "device_table";

impl Detector {
    /// Traffic of a device of the network.
    pub(super) fn flow(
        &mut self,
        flow: &Flow,
        now: Timestamp,
        findings: &mut Vec<Finding>,
        outcome: &mut Outcome,
    ) {
        let selectors = self.state.registry.devices.selectors(flow);
        let Some(device) = selectors.first() else {
            return;
        };
        // What is sent to a device is no act of it.
        let acted = flow.sent.packets > 0;
        if acted {
            for selector in &selectors {
                if let Some(said) = self.retired(selector, now) {
                    findings.push(self.retired_device(selector, flow, said, now));
                }
            }
            let who = || named(device, flow);
            let known = self.state.registry.identity(device);
            if let Some(since) = known.and_then(|known| known.last_seen) {
                findings.extend(self.wakes(device, who, since, now, outcome));
            }
        }
        let registry = &mut self.state.registry;
        if !registry.device_seen(device, flow, acted, now) {
            findings.push(health::lost(TABLE, None, 1, now));
        } else if acted {
            // An address that nobody has spoken about is no identity: a device can send from any.
            for selector in &selectors {
                if registry.identity(selector).is_some() {
                    registry.identity_seen(selector, now);
                    registry.observed.acted(selector, now);
                }
            }
            outcome.seen = Some(device.clone());
        }
        self.scored_flow(device, flow, now, findings);
    }

    fn retired_device(
        &self,
        selector: &Selector,
        flow: &Flow,
        said: &Declared,
        now: Timestamp,
    ) -> Finding {
        let id = DetectionId::RetiredIdentityActive;
        let to = self.destination(flow.destination);
        let mut alert = describe::alert(id, now);
        alert.summary = format!(
            "{}, {}, {}",
            named(selector, flow),
            describe::since_when(said, now),
            did(flow, &describe::endpoint(&to))
        );
        alert.identity = Some(selector.clone());
        alert.destination = Some(to);
        // All that a device sends is one cause.
        let parts = vec![selector.to_string(), "flow".to_owned()];
        Finding {
            cause: Cause { id, parts },
            alert,
            weight: 1,
        }
    }
}

/// `device:mac:02:00:5e:10:00:01 (192.0.2.7)`
fn named(selector: &Selector, flow: &Flow) -> String {
    let others = flow.selectors().into_iter().filter(|of| of != selector);
    let others: Vec<_> = others
        .map(|of| {
            let address = of.as_str().splitn(3, ':').nth(2);
            address.unwrap_or_default().to_owned()
        })
        .collect();
    if others.is_empty() {
        selector.to_string()
    } else {
        format!("{selector} ({})", others.join(", "))
    }
}

/// `sent 3 packets (180 bytes) to 198.51.100.7:443 over TCP`
fn did(flow: &Flow, to: &str) -> String {
    let sent = counted(flow.sent);
    let over = match flow.protocol {
        Protocol::Tcp => " over TCP",
        Protocol::Udp => " over UDP",
        Protocol::Arp => " over ARP",
        Protocol::Other => "",
    };
    match flow.direction {
        Direction::Incoming if flow.source.port() == 0 => format!("answered {to}{over}: {sent}"),
        Direction::Incoming => {
            let port = flow.source.port();
            format!("answered {to} from its port {port}{over}: {sent}")
        }
        _ => format!("sent {sent} to {to}{over}"),
    }
}

fn counted(traffic: Traffic) -> String {
    let Traffic { packets, bytes } = traffic;
    let plural = if packets == 1 { "" } else { "s" };
    format!("{packets} packet{plural} ({bytes} bytes)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DetectionConfig;
    use crate::model::{
        Alert, CredentialState, Fact, MacAddress, Record, RegistryChange, Severity, Target,
    };
    use crate::registry::DEVICES;

    const HOUR: i64 = 3_600_000_000_000;

    fn flow(mac: u16, source: &str, sent: u64) -> Flow {
        let [high, low] = mac.to_be_bytes();
        Flow {
            mac: Some(MacAddress([2, 0, 0, 0, high, low])),
            source: source.parse().unwrap(),
            destination: "198.51.100.7:8883".parse().unwrap(),
            protocol: Protocol::Tcp,
            direction: Direction::Outgoing,
            sent: Traffic {
                packets: sent,
                bytes: sent * 60,
            },
            received: Traffic::default(),
            continues: false,
        }
    }

    fn tell(detector: &mut Detector, time: i64, fact: Fact) -> Vec<Alert> {
        let time = Timestamp(time);
        detector.step(&Record { time, fact }).alerts
    }

    fn retire(detector: &mut Detector, selector: &str) {
        let change = RegistryChange {
            target: Target::Identity(selector.parse().unwrap()),
            state: CredentialState::Retired,
            since: None,
            by: "root".to_owned(),
            reason: Some("sold".to_owned()),
            owner: None,
        };
        tell(detector, 0, Fact::Registry(change));
    }

    #[test]
    fn a_retired_device_that_sends_is_active_and_another_is_not() {
        let mut detector = Detector::new(DetectionConfig::default());
        let name = Fact::Name {
            address: "198.51.100.7".parse().unwrap(),
            name: "mqtt.example".to_owned(),
        };
        tell(&mut detector, 0, name);
        retire(&mut detector, "device:mac:02-00-00-00-00-01");
        let quiet = tell(
            &mut detector,
            HOUR,
            Fact::Flow(flow(2, "192.0.2.8:5000", 1)),
        );
        assert_eq!(quiet, []);
        let alerts = tell(
            &mut detector,
            HOUR,
            Fact::Flow(flow(1, "192.0.2.7:5000", 1)),
        );
        let [alert] = &*alerts else {
            panic!("{alerts:#?}");
        };
        assert_eq!(
            alert.summary,
            "device:mac:02:00:00:00:00:01 (192.0.2.7), retired on 1970-01-01 by root: \"sold\", sent 1 packet \
             (60 bytes) to mqtt.example (198.51.100.7:8883) over TCP"
        );
        assert_eq!(alert.severity, Severity::Critical);
        assert_eq!(alert.process, None);
        let to = alert.destination.as_ref().unwrap();
        assert_eq!(to.name.as_deref(), Some("mqtt.example"));
        // Its next packet is of the same cause.
        let again = tell(
            &mut detector,
            HOUR,
            Fact::Flow(flow(1, "192.0.2.7:5001", 1)),
        );
        assert_eq!(again, []);
    }

    #[test]
    fn a_device_may_be_retired_by_its_address() {
        let mut detector = Detector::new(DetectionConfig::default());
        retire(&mut detector, "device:ip:192.0.2.7");
        let mut answers = flow(1, "192.0.2.7:80", 3);
        answers.direction = Direction::Incoming;
        let alerts = tell(&mut detector, HOUR, Fact::Flow(answers));
        assert_eq!(
            alerts[0].summary,
            "device:ip:192.0.2.7 (02:00:00:00:00:01), retired on 1970-01-01 by root: \"sold\", answered \
             198.51.100.7:8883 from its port 80 over TCP: 3 packets (180 bytes)"
        );
    }

    #[test]
    fn what_has_no_ports_is_told_without() {
        let mut detector = Detector::new(DetectionConfig::default());
        retire(&mut detector, "device:ip:192.0.2.7");
        let mut answers = flow(1, "192.0.2.7:0", 1);
        answers.destination = "192.0.2.1:0".parse().unwrap();
        answers.protocol = Protocol::Arp;
        answers.direction = Direction::Incoming;
        let alerts = tell(&mut detector, HOUR, Fact::Flow(answers));
        let says = "answered 192.0.2.1 over ARP: 1 packet (60 bytes)";
        assert!(alerts[0].summary.ends_with(says), "{}", alerts[0].summary);
    }

    #[test]
    fn what_is_sent_to_a_retired_device_is_no_act_of_it() {
        let mut detector = Detector::new(DetectionConfig::default());
        retire(&mut detector, "device:ip:192.0.2.7");
        let mut scanned = flow(1, "192.0.2.7:80", 0);
        scanned.received.packets = 5;
        assert_eq!(tell(&mut detector, HOUR, Fact::Flow(scanned)), []);
        let mut identities = detector.state.registry.identities();
        assert!(identities.all(|(_, of)| of.last_seen.is_none()));
    }

    #[test]
    fn made_up_devices_are_bounded_and_told_and_hide_no_retired_one() {
        let mut detector = Detector::new(DetectionConfig::default());
        let most = u16::try_from(DEVICES).unwrap();
        for mac in 0..most {
            let alerts = tell(&mut detector, 0, Fact::Flow(flow(mac, "192.0.2.7:1", 1)));
            assert_eq!(alerts, []);
        }
        let alerts = tell(&mut detector, 1, Fact::Flow(flow(most, "192.0.2.7:1", 1)));
        assert_eq!(alerts[0].id, DetectionId::EventsLost);
        assert_eq!(detector.state.registry.identities().count(), DEVICES);
        retire(&mut detector, "device:mac:02:00:00:00:ff:ff");
        let alerts = tell(
            &mut detector,
            HOUR,
            Fact::Flow(flow(0xffff, "192.0.2.9:1", 1)),
        );
        assert!(
            alerts
                .iter()
                .any(|alert| alert.id == DetectionId::RetiredIdentityActive)
        );
    }

    #[test]
    fn addresses_that_a_device_makes_up_are_no_identities() {
        let mut detector = Detector::new(DetectionConfig::default());
        retire(&mut detector, "device:ip:192.0.2.7");
        for last in 1..=250 {
            let source = format!("192.0.2.{last}:1");
            tell(&mut detector, HOUR, Fact::Flow(flow(1, &source, 1)));
        }
        let registry = &detector.state.registry;
        let known: Vec<_> = registry.identities().map(|(of, _)| of.as_str()).collect();
        assert_eq!(
            known,
            ["device:ip:192.0.2.7", "device:mac:02:00:00:00:00:01"]
        );
        for of in known {
            let of: Selector = of.parse().unwrap();
            assert!(registry.identity(&of).unwrap().last_seen.is_some(), "{of}");
            let pattern = registry.observed.pattern(&Target::Identity(of));
            assert!(pattern.is_some_and(|of| of.uses == 1));
        }
        let made_up = Target::Identity("device:ip:192.0.2.9".parse().unwrap());
        assert_eq!(registry.observed.pattern(&made_up), None);
    }

    #[test]
    fn a_device_that_wakes_after_a_long_rest_is_told() {
        let mut detector = Detector::new(DetectionConfig::default());
        tell(&mut detector, 0, Fact::Flow(flow(1, "192.0.2.7:1", 1)));
        let alerts = tell(
            &mut detector,
            24 * 60 * HOUR,
            Fact::Flow(flow(1, "192.0.2.7:1", 1)),
        );
        assert_eq!(alerts[0].id, DetectionId::DormantUsed);
        assert!(
            alerts[0]
                .summary
                .starts_with("device:mac:02:00:00:00:00:01 (192.0.2.7): nothing was seen of"),
            "{}",
            alerts[0].summary
        );
    }
}
