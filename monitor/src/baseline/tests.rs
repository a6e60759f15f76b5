use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::model::Protocol;

const HOUR: u32 = 3_600;
const DAY: u32 = 24 * HOUR;
/// A Monday.
const BEGIN: u32 = 1_772_409_600;

fn identity(name: &str) -> Selector {
    Selector::systemd_unit(name)
}

fn to(address: [u8; 4], port: u16) -> Destination {
    Destination::new(
        Ipv4Addr::from(address).into(),
        port,
        Protocol::Tcp,
        Way::Out,
    )
}

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_unix_seconds(seconds.into())
}

/// A host under test.
struct Bench(Baselines);

impl Bench {
    fn new(budget: f64) -> Self {
        Self(Baselines::new(budget))
    }

    /// A connection that carries so many bytes.
    fn call(&mut self, name: &str, when: u32, destination: Destination, sent: u64) -> Vec<Anomaly> {
        self.call_by("/usr/sbin/service", name, when, destination, sent)
    }

    fn call_by(
        &mut self,
        program: &str,
        name: &str,
        when: u32,
        destination: Destination,
        sent: u64,
    ) -> Vec<Anomaly> {
        let identity = identity(name);
        let who = Who {
            identity: &identity,
            program: Some(program),
            role: Role::Program,
        };
        let contact = |phase| Contact {
            time: at(when),
            destination,
            domain: None,
            name: None,
            phase,
        };
        let mut anomalies = self.0.contact(who, &contact(Phase::Opened));
        let carried = Phase::Carried {
            sent,
            received: 400,
            is_over: true,
        };
        anomalies.extend(self.0.contact(who, &contact(carried)));
        anomalies
    }

    /// Weeks of a service that calls three others every ten minutes. Returns what was told.
    fn ordinary(&mut self, name: &str, days: std::ops::Range<u32>) -> Vec<Anomaly> {
        let mut anomalies = Vec::new();
        for when in (days.start * DAY..days.end * DAY).step_by(600) {
            for last in 1..=3 {
                let when = BEGIN + when + u32::from(last);
                let sent = 2_000 + u64::from(when % 977);
                anomalies.extend(self.call(name, when, to([198, 51, 100, last], 443), sent));
            }
        }
        anomalies
    }
}

#[test]
fn weeks_of_the_same_raise_nothing_and_something_else_does() {
    let mut bench = Bench::new(1.0);
    assert_eq!(bench.ordinary("web", 0..28), []);
    let when = BEGIN + 28 * DAY;
    let told = bench.call("web", when, to([203, 0, 113, 9], 443), 2_000);
    let [new] = &*told else { panic!("{told:#?}") };
    assert_eq!(
        (new.test, new.id()),
        (Test::First, crate::model::DetectionId::NewDestination)
    );
    assert!(new.maturity.share() > 0.99 && new.p < 0.01, "{new:#?}");
    let more = bench.call("web", when + 60, to([198, 51, 100, 1], 443), 300 << 20);
    assert_eq!(
        more[0].id(),
        crate::model::DetectionId::UnusualVolume,
        "{more:#?}"
    );
}

#[test]
fn another_program_is_told_where_it_goes_to_what_is_known() {
    let mut bench = Bench::new(1.0);
    bench.ordinary("web", 0..28);
    let when = BEGIN + 28 * DAY;
    let known = to([198, 51, 100, 1], 443);
    let mut by = |program, when| bench.call_by(program, "web", when, known, 2_000);
    let told = by("/dev/shm/.x", when);
    let [caller] = &*told else {
        panic!("{told:#?}")
    };
    assert_eq!(
        (caller.test, caller.id()),
        (Test::Caller, crate::model::DetectionId::NewProgram)
    );
    assert_eq!(by("/dev/shm/.x", when + 60), [], "once");
    assert_eq!(by("/usr/sbin/service", when + 120), []);
    // It was not learned: whoever comes back after a week is told of again.
    assert_eq!(by("/dev/shm/.x", when + 8 * DAY).len(), 1);
}

#[test]
fn a_name_that_moves_is_no_surprise_and_another_name_is() {
    let mut bench = Bench::new(1.0);
    let identity = identity("web");
    let mut call = |when: u32, last: u8, name: u64| {
        let who = Who {
            identity: &identity,
            program: Some("/usr/sbin/service"),
            role: Role::Program,
        };
        let contact = Contact {
            time: at(BEGIN + when),
            destination: to([198, 51, last, 1], 443),
            domain: Some(name + 1_000),
            name: Some(name),
            phase: Phase::Opened,
        };
        bench.0.contact(who, &contact)
    };
    for hour in 0..28 * 24 {
        assert_eq!(call(hour * HOUR, 100, 1), []);
    }
    assert_eq!(call(28 * DAY, 101, 1), []);
    assert_eq!(call(28 * DAY + 60, 102, 2).len(), 1);
}

#[test]
fn what_peers_do_is_no_surprise() {
    let mut bench = Bench::new(1.0);
    for name in ["web@1", "web@2", "web@3"] {
        assert_eq!(bench.ordinary(name, 0..10), []);
    }
    let when = BEGIN + 10 * DAY;
    let new = to([203, 0, 113, 9], 443);
    assert_eq!(bench.call("web@1", when, new, 2_000).len(), 1);
    // It was told once and not learned, so that the next is told as well.
    assert_eq!(bench.call("web@2", when + 60, new, 2_000).len(), 1);
}

#[test]
fn more_calls_than_ever_are_told_once_a_day() {
    let mut bench = Bench::new(1.0);
    bench.ordinary("web", 0..28);
    let mut told = Vec::new();
    for second in 0..1_500 {
        let when = BEGIN + 28 * DAY + second;
        told.extend(bench.call("web", when, to([198, 51, 100, 1], 443), 100));
    }
    let rates = told.iter().filter(|of| of.test == Test::Rate).count();
    assert_eq!(rates, 1, "{told:#?}");
}

#[test]
fn a_rhythm_at_a_new_destination_is_told() {
    let mut bench = Bench::new(5.0);
    // Its destinations vary, so that a new one alone is nothing.
    for hour in 0..14 * 24 {
        let [_, high, low, _] = u32::to_be_bytes(hour * 7_919);
        let other = to([198, 51, high, low], 443);
        bench.call("agent", BEGIN + hour * HOUR + hour % 59 * 60, other, 2_000);
    }
    let mut told = Vec::new();
    for beat in 0..48 {
        let when = BEGIN + 14 * DAY + beat * 60 + beat * 7 % 5;
        told.extend(bench.call("agent", when, to([203, 0, 113, 9], 443), 300));
    }
    let ids: Vec<_> = told.iter().map(Anomaly::id).collect();
    assert!(
        ids.contains(&crate::model::DetectionId::Beacon),
        "{told:#?}"
    );
}

#[test]
fn an_hour_at_which_nothing_ever_happens_is_told() {
    let mut bench = Bench::new(5.0);
    let office = |day: u32, hour: u32| BEGIN + day * DAY + hour * HOUR;
    for day in 0..28 {
        for hour in 8..18 {
            bench.call(
                "report",
                office(day, hour),
                to([198, 51, 100, 1], 443),
                2_000,
            );
        }
    }
    let told = bench.call("report", office(28, 2), to([198, 51, 100, 1], 443), 2_000);
    assert_eq!(
        told[0].id(),
        crate::model::DetectionId::UnusualHour,
        "{told:#?}"
    );
}

#[test]
fn a_program_that_never_ran_is_told() {
    let mut bench = Bench::new(1.0);
    let unit = identity("db");
    let mut began = |program, when| {
        let who = Who {
            identity: &unit,
            program: Some(program),
            role: Role::Program,
        };
        bench.0.began(who, at(when))
    };
    for hour in 0..14 * 24 {
        assert_eq!(
            began("/usr/lib/postgresql/bin/postgres", BEGIN + hour * HOUR),
            []
        );
    }
    let told = began("/tmp/x", BEGIN + 14 * DAY);
    assert_eq!(
        told[0].id(),
        crate::model::DetectionId::NewProgram,
        "{told:#?}"
    );
}

#[test]
fn an_identity_with_64_destinations_takes_ten_kibibytes() {
    let mut bench = Bench::new(1.0);
    for day in 0..10 {
        for other in 0..200_u32 {
            let [.., high, low] = u32::to_be_bytes(other * 300);
            let port = u16::try_from(400 + other).unwrap();
            bench.call(
                "crawler",
                BEGIN + day * DAY + other * 60,
                to([198, 51, high, low], port),
                2_000,
            );
        }
    }
    let bytes = bench.0.bytes(&identity("crawler")).unwrap();
    println!("{bytes} bytes for 64 destinations, and what was forgotten of 200");
    assert!(bytes <= 10 << 10, "{bytes}");
}

#[test]
fn identities_are_bounded() {
    let mut bench = Bench::new(1.0);
    for of in 0..u32::try_from(IDENTITIES).unwrap() + 100 {
        bench.call(
            &format!("unit-{of}"),
            BEGIN + of,
            to([198, 51, 100, 1], 443),
            100,
        );
    }
    assert_eq!((bench.0.len(), bench.0.forgotten), (IDENTITIES, 100));
}

fn contacts() -> impl Strategy<Value = Vec<(u8, u32, u32, u16, bool, u64)>> {
    let one = (
        0_u8..4,
        0..u32::MAX,
        any::<u32>(),
        any::<u16>(),
        any::<bool>(),
        any::<u64>(),
    );
    prop::collection::vec(one, 0..400)
}

fn told(contacts: &[(u8, u32, u32, u16, bool, u64)]) -> Vec<Anomaly> {
    let mut baselines = Baselines::new(50.0);
    let mut told = Vec::new();
    for (name, time, address, port, opened, bytes) in contacts {
        let identity = identity(&name.to_string());
        let who = Who {
            identity: &identity,
            program: None,
            role: Role::Device,
        };
        let address: IpAddr = Ipv4Addr::from_bits(*address).into();
        let contact = Contact {
            time: at(*time),
            destination: Destination::new(address, *port, Protocol::Udp, Way::In),
            domain: Some(*bytes),
            name: None,
            phase: match opened {
                true => Phase::Opened,
                false => Phase::Carried {
                    sent: *bytes,
                    received: bytes / 3,
                    is_over: false,
                },
            },
        };
        told.extend(baselines.contact(who, &contact));
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_in_whatever_order_is_judged_alike(contacts in contacts()) {
        let first = told(&contacts);
        for anomaly in &first {
            prop_assert!(anomaly.p.is_finite() && anomaly.p <= anomaly.alpha);
            prop_assert!(anomaly.reasons.iter().all(|(_, p)| *p > 0.0 && *p <= 1.0), "{anomaly:?}");
        }
        prop_assert_eq!(first, told(&contacts));
    }
}
