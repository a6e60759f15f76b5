//! The whole pipeline behind decode over a mixed stream, beside walking the same facts.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BatchSize, Bencher, Criterion};
use monitor::config::DetectionConfig;
use monitor::detection::Detector;
use monitor::model::{
    Access, Credential, CredentialKind, CredentialState, Fact, FileId, Fingerprint, LocatedFile,
    Protocol, Record, RegistryChange, Target, Timestamp,
};

use super::ratio::pair;
use super::tasks::task;

const FACTS: u32 = 10_000;
const CREDENTIALS: u32 = 1_000;

pub(super) fn bench(criterion: &mut Criterion) {
    let (before, stream) = (before(), stream());
    let knowing = || {
        let mut detector = Detector::new(DetectionConfig::default());
        for record in &before {
            detector.step(record);
        }
        detector
    };
    let mut group = criterion.benchmark_group("detection");
    group.sample_size(20);
    let subject = |bencher: &mut Bencher<'_>| {
        bencher.iter_batched(
            knowing,
            |mut detector| {
                for record in &stream {
                    black_box(detector.step(record));
                }
                detector
            },
            BatchSize::PerIteration,
        );
    };
    let baseline = |bencher: &mut Bencher<'_>| {
        bencher.iter(|| {
            stream
                .iter()
                .map(|record| black_box(record).clone())
                .collect::<Vec<_>>()
        });
    };
    let facts = u64::from(FACTS);
    pair(
        &mut group,
        "detection",
        "mixed",
        facts,
        subject,
        ("clone", baseline),
    );
    group.finish();
}

fn at(number: u32, fact: Fact) -> Record {
    // A thousand a second.
    let time = Timestamp(1_777_644_300_000_000_000 + i64::from(number) * 1_000_000);
    Record { time, fact }
}

fn file(number: u32) -> FileId {
    FileId {
        dev: 1,
        ino: u64::from(number % CREDENTIALS),
    }
}

/// A thousand credentials, every hundredth of them retired, and five names of users.
fn before() -> Vec<Record> {
    let located = (0..CREDENTIALS).map(|number| {
        Fact::Located(LocatedFile {
            file: file(number),
            path: format!("/home/user-{number}/.ssh/id_ed25519").into(),
            uid: 0,
            gid: 0,
            mode: 0o600,
            modified: Timestamp(0),
            credentials: vec![Credential {
                fingerprint: fingerprint(number),
                kind: CredentialKind::SshPrivateKey,
                label: None,
                subject: None,
                issued: None,
                expires: None,
                bound: None,
            }],
        })
    });
    let retired = (0..CREDENTIALS).step_by(100).map(|number| {
        Fact::Registry(RegistryChange {
            target: Target::Credential(fingerprint(number)),
            state: CredentialState::Retired,
            since: None,
            by: "root".to_owned(),
            reason: None,
            owner: None,
        })
    });
    let users = (1000..1005).map(|uid| Fact::UserName {
        uid,
        name: Some(format!("service-{uid}")),
        account: None,
    });
    located
        .chain(retired)
        .chain(users)
        .map(|fact| at(0, fact))
        .collect()
}

fn fingerprint(number: u32) -> Fingerprint {
    Fingerprint::new(format!("SHA256:{number:043}"))
}

/// Of ten facts: three execs, two forks, two reads, and one each of connect, exit and tick.
fn stream() -> Vec<Record> {
    let destination = SocketAddr::from(([192, 0, 2, 7], 443));
    (0..FACTS)
        .map(|number| {
            let task = task(100 + number / 10);
            let fact = match number % 10 {
                0 | 4 => Fact::Fork { task },
                1 | 2 | 5 => Fact::Exec {
                    task,
                    path: "/usr/bin/python3.11".to_owned(),
                    permitted: None,
                },
                3 | 6 => Fact::FileAccess {
                    task,
                    file: file(number / 10),
                    access: Access::Read,
                    path: None,
                    count: 1,
                },
                7 => Fact::Connect {
                    task,
                    socket: u64::from(number),
                    protocol: Protocol::Tcp,
                    destination,
                },
                8 => Fact::Exit { task },
                _ => Fact::Tick,
            };
            at(number, fact)
        })
        .collect()
}
