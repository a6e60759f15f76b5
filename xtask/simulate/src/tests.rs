//! Whole recordings: their bytes, their rates, their labels, and what the pipeline makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use monitor::attribution::Actor;
use monitor::config::DetectionConfig;
use monitor::detection::Detector;
use monitor::model::{Direction, Fact, Record, Timestamp};
use monitor::recording::{Reader, replay};

use super::*;
use crate::calendar::{DAY, SECOND};

/// Shorter than the shipped ones, from a Monday on.
fn parameters(days: u32, warm_up: u32) -> Parameters {
    let mut parameters = Parameters::load(None).unwrap();
    parameters.days = days;
    parameters.warm_up_days = warm_up;
    parameters
}

fn host(parameters: &Parameters, seed: u64, kind: &str) -> (Vec<u8>, Simulated) {
    let hosts = Host::all(parameters, seed);
    let host = hosts.iter().find(|of| of.kind == kind).unwrap();
    let mut bytes = Vec::new();
    let simulated = host.simulate(parameters, &mut bytes, |_| ()).unwrap();
    (bytes, simulated)
}

fn records(bytes: &[u8]) -> Vec<Record> {
    let reader = Reader::new(bytes).unwrap();
    reader.map(Result::unwrap).collect()
}

/// Something that an identity did to a destination, as the pipeline attributes it.
#[derive(Debug, Clone)]
struct Did {
    time: Timestamp,
    identity: String,
    exe: Option<String>,
    to: Option<SocketAddr>,
    sent: u64,
    opens: bool,
}

/// Every act, attributed by the pipeline itself.
fn acts(bytes: &[u8]) -> Vec<Did> {
    let mut detector = Detector::new(DetectionConfig::default());
    let mut acts = Vec::new();
    for record in records(bytes) {
        detector.step(&record);
        let state = &detector.state;
        let time = record.time;
        if let Fact::Flow(flow) = &record.fact {
            assert_eq!(flow.direction, Direction::Outgoing);
            acts.push(Did {
                time,
                identity: flow.selectors()[0].to_string(),
                exe: None,
                to: Some(flow.destination),
                sent: flow.sent.bytes,
                opens: !flow.continues,
            });
        }
        let (task, to, sent) = match &record.fact {
            Fact::Connect {
                task, destination, ..
            } => (task, Some(*destination), 0),
            Fact::SocketClose {
                task,
                destination,
                sent,
                ..
            } => (task, Some(*destination), *sent),
            Fact::Exec { task, .. } | Fact::FileAccess { task, .. } => (task, None, 0),
            _ => continue,
        };
        let actor = Actor::of(task, &state.processes, &state.host);
        acts.push(Did {
            time,
            identity: actor.identity().to_string(),
            exe: actor.exe,
            to,
            sent,
            opens: matches!(record.fact, Fact::Connect { .. }),
        });
    }
    acts
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_gives_others() {
    let parameters = parameters(3, 1);
    let (first, simulated) = host(&parameters, 5, "web");
    let (again, same) = host(&parameters, 5, "web");
    assert!(first == again);
    assert_eq!(simulated.labels, same.labels);
    let (other, of) = host(&parameters, 6, "web");
    assert!(first != other);
    assert_ne!(simulated.labels, of.labels);
    // What another host of the seed does changes nothing.
    let mut fewer = parameters.clone();
    fewer.hosts = 1;
    assert!(host(&fewer, 5, "web").0 == first);
}

#[test]
fn records_are_in_order_within_the_days_and_replay() {
    let parameters = parameters(2, 1);
    for kind in &parameters.kinds {
        let (bytes, simulated) = host(&parameters, 11, kind);
        let records = records(&bytes);
        assert_eq!(records.len() as u64, simulated.records);
        assert_eq!(simulated.facts.values().sum::<u64>(), simulated.records);
        let begin = "2026-03-09T00:00:00.000000Z";
        assert_eq!(records[0].time.to_string(), begin);
        let last = records.last().unwrap();
        assert!(last.time.0 < records[0].time.0 + 2 * DAY && last.fact == Fact::Tick);
        assert!(records.is_sorted_by_key(|record| record.time), "{kind}");
        let ticks = records.iter().filter(|record| record.fact == Fact::Tick);
        assert_eq!(ticks.count(), 2 * 1_440);
        let replayed = replay(&*bytes, DetectionConfig::default(), |_| ()).unwrap();
        assert_eq!(replayed.facts, simulated.records);
    }
}

#[test]
fn labels_are_what_the_pipeline_sees() {
    let parameters = parameters(4, 2);
    let mut kinds = BTreeSet::new();
    for kind in &parameters.kinds {
        let (bytes, mut simulated) = host(&parameters, 21, kind);
        let mut written = Vec::new();
        label::write(&mut simulated.labels, &mut written).unwrap();
        let written = String::from_utf8(written).unwrap();
        let labels: Vec<Label> = written
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(labels.len(), simulated.labels.len());
        let acts = acts(&bytes);
        let identities: BTreeSet<&str> = acts.iter().map(|act| &*act.identity).collect();
        let (first, last) = (acts[0].time, Timestamp(acts[0].time.0 + 4 * DAY));
        let attacks = labels.iter().filter(|label| !label.benign);
        assert_eq!(attacks.count(), 6, "{kind}");
        for label in &labels {
            assert!(
                first <= label.begin && label.begin <= label.end && label.end < last,
                "{label:?}"
            );
            assert!(identities.contains(label.identity.as_str()), "{label:?}");
            // Times of labels have microseconds.
            let during = Timestamp(label.begin.0 - 1_000)..=Timestamp(label.end.0 + 1_000);
            let of_it = |act: &&Did| {
                act.identity == label.identity.as_str()
                    && during.contains(&act.time)
                    && (label.destination.is_none() || act.to == label.destination)
            };
            if !label.benign {
                kinds.insert(label.kind.clone());
                assert!(acts.iter().any(|act| of_it(&act) && act.opens), "{label:?}");
                // What it was said to have sent is there.
                let sent: u64 = acts.iter().filter(of_it).map(|act| act.sent).sum();
                let told = label
                    .note
                    .split(' ')
                    .rev()
                    .skip_while(|word| *word != "bytes")
                    .nth(1);
                let told: u64 = told.unwrap().parse().unwrap();
                assert!(sent >= told / 10, "{sent} {label:?}");
                let is_poison = label.kind == "poisoned-warm-up";
                assert_eq!(
                    label.begin < Timestamp(first.0 + 2 * DAY - 1),
                    is_poison,
                    "{label:?}"
                );
            }
        }
    }
    assert_eq!(kinds.len(), 9, "{kinds:?}");
}

#[test]
fn a_label_has_the_form_that_evaluations_read() {
    let label = Label {
        kind: "exfiltration".to_owned(),
        identity: "systemd:unit:web.service".parse().unwrap(),
        destination: Some("203.0.113.9:443".parse().unwrap()),
        begin: Timestamp(1_772_424_306_000_000_000),
        end: Timestamp(1_772_427_906_000_000_000),
        benign: false,
        note: "to a new destination".to_owned(),
    };
    let mut text = Vec::new();
    label::write(&mut [label], &mut text).unwrap();
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "{\"kind\":\"exfiltration\",\"identity\":\"systemd:unit:web.service\",\
         \"destination\":\"203.0.113.9:443\",\"begin\":\"2026-03-02T04:05:06.000000Z\",\
         \"end\":\"2026-03-02T05:05:06.000000Z\",\"benign\":false,\"note\":\"to a new destination\"}\n"
    );
}

/// A quiet world: nothing but the routine.
fn routine(days: u32) -> Parameters {
    let mut parameters = parameters(days, 1);
    parameters.attacks.per_host = 0;
    parameters.benign.per_host = 0;
    parameters.zones = vec!["CET-1CEST,M3.5.0,M10.5.0/3".to_owned()];
    for role in &mut parameters.roles {
        role.silences = 0.0;
    }
    parameters
}

/// Openings by identity and day since the beginning.
fn openings(acts: &[Did], identity: &str, port: u16) -> BTreeMap<i64, u64> {
    let begin = acts[0].time.0;
    let mut days = BTreeMap::new();
    let of = acts
        .iter()
        .filter(|act| act.opens && act.identity == identity);
    for act in of.filter(|act| act.to.is_some_and(|to| to.port() == port)) {
        *days.entry((act.time.0 - begin) / DAY).or_default() += 1;
    }
    days
}

#[test]
fn rates_are_those_of_the_parameters() {
    let parameters = routine(7);
    let (bytes, _) = host(&parameters, 3, "web");
    let acts = acts(&bytes);
    let a_day = |identity: &str, port: u16, day: &dyn Fn(i64) -> bool| {
        let days = openings(&acts, identity, port);
        let counts: Vec<u64> = (0..7)
            .filter(|of| day(*of))
            .map(|of| days.get(&of).copied().unwrap_or(0))
            .collect();
        counts.iter().sum::<u64>() as f64 / counts.len() as f64
    };
    let about = |found: f64, expected: f64, part: f64| {
        assert!(
            (found / expected - 1.0).abs() < part,
            "{found} is not about {expected}"
        );
    };
    let any = |_: i64| true;
    // Every 120 s, and a failure in 500 is tried again.
    about(
        a_day("systemd:unit:telegraf.service", 8086, &any),
        720.0,
        0.02,
    );
    about(
        a_day("systemd:unit:systemd-timesyncd.service", 123, &any),
        84.4,
        0.02,
    );
    about(a_day("unix:user:svc-health", 443, &any), 288.0, 0.03);
    // At random: 500 on a weekday, 0.6 of these at weekends, which begin at 23:00 UTC.
    let api = "container:image:registry.example/shop/api:2.4";
    let weekday = |day: i64| day % 7 < 5;
    about(a_day(api, 5432, &weekday), 500.0, 0.12);
    about(a_day(api, 5432, &|day| !weekday(day)), 300.0, 0.2);
    // At night a tenth of the peak.
    let hours = acts.iter().filter(|act| act.identity == api && act.opens);
    let mut hours = hours
        .map(|act| (act.time.0 - acts[0].time.0) / (3_600 * SECOND) % 24)
        .fold([0.0; 24], |mut all, hour| {
            all[hour as usize] += 1.0;
            all
        });
    assert!(hours[2] < 0.25 * hours[14], "{hours:?}");
    hours.sort_by(f64::total_cmp);
    assert!(hours[0] > 0.0);
}

#[test]
fn bytes_are_log_normal_and_names_have_several_addresses() {
    let parameters = routine(6);
    let (bytes, _) = host(&parameters, 3, "web");
    let acts = acts(&bytes);
    let resize = acts
        .iter()
        .filter(|act| act.identity == "systemd:unit:resize.service");
    let stored: Vec<_> = resize.filter(|act| act.sent > 0).collect();
    let mut sizes: Vec<u64> = stored.iter().map(|act| act.sent).collect();
    sizes.sort_unstable();
    let at = |part: f64| sizes[(sizes.len() as f64 * part) as usize] as f64;
    // A median of 300,000 and a sigma of 1.3: the quartile is e^(0.674 × 1.3) = 2.4 times that.
    assert!((at(0.5) / 300_000.0 - 1.0).abs() < 0.25, "{}", at(0.5));
    assert!(
        (at(0.75) / at(0.5) / 2.4 - 1.0).abs() < 0.25,
        "{}",
        at(0.75)
    );
    let addresses: BTreeSet<_> = stored.iter().filter_map(|act| act.to).collect();
    assert!(addresses.len() >= 40, "{}", addresses.len());
    let names = records(&bytes)
        .into_iter()
        .filter_map(|record| match record.fact {
            Fact::Name { address, name } if name.starts_with("s3.") => Some(address),
            _ => None,
        });
    let named: BTreeSet<_> = names.collect();
    assert!(addresses.iter().all(|to| named.contains(&to.ip())));
}

#[test]
fn what_goes_by_the_clock_on_the_wall_is_shifted_when_that_is() {
    let mut parameters = routine(4);
    parameters.start = "2026-03-27".parse().unwrap();
    let (bytes, simulated) = host(&parameters, 3, "mail");
    let acts = acts(&bytes);
    let begun = acts
        .iter()
        .filter(|act| act.to.is_none() && act.exe.as_deref() == Some("/opt/backup/bin/backup"));
    let mut begun: Vec<_> = begun
        .map(|act| act.time.to_string()[..13].to_owned())
        .collect();
    begun.dedup();
    // 02:30 and a quarter of an hour at most, but there is no 02:30 on the 29th, and so it is 03:30.
    let expected = [
        "2026-03-27T01",
        "2026-03-28T01",
        "2026-03-29T01",
        "2026-03-30T00",
    ];
    assert_eq!(begun, expected);
    let told: BTreeSet<_> = simulated
        .labels
        .iter()
        .map(|label| (&*label.kind, label.begin.to_string()))
        .collect();
    assert_eq!(
        told.into_iter().collect::<Vec<_>>(),
        [("clock-change", "2026-03-29T01:00:00.000000Z".to_owned())]
    );
}

#[test]
fn a_host_without_attacks_raises_nothing_that_is_certain() {
    let mut parameters = routine(2);
    parameters.benign.per_host = 6;
    for kind in &parameters.kinds {
        let (bytes, _) = host(&parameters, 2, kind);
        let mut alerts = Vec::new();
        replay(&*bytes, DetectionConfig::default(), |alert| {
            alerts.push(alert)
        })
        .unwrap();
        // What only baselines tell is no certainty, and is counted elsewhere.
        let certain = alerts
            .iter()
            .filter(|of| !of.id.to_string().starts_with("CW-3"));
        let told: Vec<_> = certain
            .map(|alert| format!("{} {}", alert.id, alert.summary))
            .collect();
        assert_eq!(told, [""; 0], "{kind}");
    }
}

#[test]
fn a_day_with_too_many_records_is_an_error() {
    let mut parameters = parameters(2, 1);
    parameters.most_records_a_day = 2_000;
    let host = &Host::all(&parameters, 1)[0];
    let error = host
        .simulate(&parameters, Vec::new(), |_| ())
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("1-01-web: day 1 has "), "{error}");
    assert!(error.ends_with("lower the rates, or raise that"), "{error}");
}

#[test]
fn mistakes_of_parameters_are_told_with_their_places() {
    let with = |old: &str, new: &str| {
        assert!(parameters::SHIPPED.contains(old), "{old}");
        let text = parameters::SHIPPED.replacen(old, new, 1);
        Parameters::parse(&text, "p.toml").unwrap_err().to_string()
    };
    for (old, new, told) in [
        (
            "days = 28",
            "days = 28\ndayz = 1",
            "p.toml: TOML parse error at line 8, column 1",
        ),
        ("days = 28", "days = 1", "days: must be from 2 to 400"),
        (
            "warm-up-days = 14",
            "warm-up-days = 28",
            "warm-up-days: must be from 1 to below `days`",
        ),
        ("7001", "2", "seeds: 2 is in both lists"),
        ("\"UTC0\"", "\"Mars/Olympus\"", "zones: `Mars/Olympus`: "),
        (
            "hosts = [\"web\"]",
            "hosts = [\"wep\"]",
            "role `web`.hosts: `wep` is not in `kinds`",
        ),
        (
            "to = \"collector\"",
            "to = \"colector\"",
            "role `monitoring`.activity 1.step 1.to: there is no service `colector`",
        ),
        (
            "hours = [0.05, 8.0]",
            "hours = [8.0, 0.05]",
            "attacks.exfiltration.hours: [8, 0.05] is no range",
        ),
        (
            "named = 0.6",
            "named = 1.6",
            "attacks.named: 1.6 is not from 0 to 1",
        ),
        (
            "{ seconds = 1024, jitter = 0.02 }",
            "{ seconds = 0, jitter = 0.02 }",
            "role `clock`.activity 1.when.seconds: must be from 1",
        ),
        (
            "{ seconds = 1024, jitter = 0.02 }",
            "{ secs = 1024, jitter = 0.02 }",
            "unexpected keys in table: secs",
        ),
        (
            "vendor = \"02:00:5e\"",
            "vendor = \"camera\"",
            "role `camera`.identity: `vendor` is not like 02:00:5e",
        ),
        (
            "name = \"ntp\"",
            "name = \"collector\"",
            "service `collector`: there are two of this name",
        ),
        (
            "acme/site-{n}",
            "acme/site",
            "role `ci-site`.identity: instances need names of their own",
        ),
        (
            "kind = \"npm-token\"",
            "kind = \"npm\"",
            "unknown variant `npm`",
        ),
    ] {
        let said = with(old, new);
        assert!(said.contains(told), "{new}: {said}");
    }
    // All at once.
    let text = parameters::SHIPPED
        .replace("days = 28", "days = 1")
        .replace("named = 0.6", "named = 7");
    let said = Parameters::parse(&text, "p.toml").unwrap_err().to_string();
    assert!(said.starts_with("p.toml: 3 mistakes\n  days: "), "{said}");
}

#[test]
fn kinds_of_attacks_come_as_often_as_each_other() {
    let parameters = parameters(2, 1);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for host in Host::all(&parameters, 4) {
        let simulated = host.simulate(&parameters, std::io::sink(), |_| ()).unwrap();
        for label in simulated.labels.iter().filter(|label| !label.benign) {
            *counts.entry(label.kind.clone()).or_default() += 1;
        }
    }
    assert_eq!(counts.len(), 9, "{counts:?}");
    assert!(
        counts.values().all(|count| (3..=5).contains(count)),
        "{counts:?}"
    );
}
