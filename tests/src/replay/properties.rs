//! Whatever is in a recording: no panic, and the same alerts every time.

use std::net::{IpAddr, SocketAddr};

use monitor::config::DetectionConfig;
use monitor::detection::Detector;
use monitor::model::{
    Access, Account, AccountClass, Alert, AlertStatus, BaselineWord, Bound, CapabilitySet,
    ClusterChange, ClusterRemoval, ClusterUid, Container, Credential, CredentialKind,
    CredentialState, CredentialUser, DetectionId, Direction, Exception, Fact, FileId, Fingerprint,
    Flow, Gap, HeldIn, KernelKey, Learning, LocatedFile, MacAddress, MemoryAccess, Origin,
    Password, Protocol, Record, RegistryChange, Relied, Rhythm, Selector, Sender, Severity,
    Sha256Digest, StoredBaseline, Succession, Target, Task, Timestamp, Traffic, Usage, UsageKey,
    Word,
};
use monitor::recording::{self, Writer};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::story::{BEGIN, Story, process};

/// Mostly a few minutes around the beginning, so that windows open and close; sometimes the ends
/// of time.
fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        20 => (0..240_000_i64).prop_map(|ms| Timestamp(BEGIN.0 + ms * 1_000_000)),
        1 => select(vec![i64::MIN, -1, 0, 1, i64::MAX]).prop_map(Timestamp),
        1 => any::<i64>().prop_map(Timestamp),
    ]
}

/// Few processes, so that they meet each other; among them a parent of itself.
fn task() -> impl Strategy<Value = Task> {
    let ids = (1..6_u32, 0..6_u32, uid(), uid(), option::of(uid()));
    let places = (0..4_u64, 0..4_u64, option::of("[a-z]{0,4}"));
    (ids, places).prop_map(|((pid, ppid, uid, euid, login_uid), (v2, v1, tty))| Task {
        ppid,
        parent_start: process(ppid).start,
        uid,
        euid,
        login_uid,
        cgroup: v2,
        cgroup_v1: if v1 == 0 { 0 } else { v1 | Task::V1_HIERARCHY },
        tty,
        ..process(pid)
    })
}

fn uid() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 998..1_001_u32, 1 => any::<u32>()]
}

fn permitted() -> impl Strategy<Value = Option<CapabilitySet>> {
    option::of(any::<u64>().prop_map(CapabilitySet))
}

fn file() -> impl Strategy<Value = FileId> {
    (0..4_u64).prop_map(|ino| FileId { dev: 1, ino })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "/[a-c]{1,2}", 1 => any::<String>()]
}

/// Among any paths those of programs, files and sockets that are known.
fn path() -> impl Strategy<Value = String> {
    let known = vec![
        "/usr/bin/ssh",
        "/usr/bin/ps",
        "/usr/sbin/sshd",
        "/usr/bin/dpkg",
        "/tmp/ssh-x/agent.1",
        "/run/docker.sock",
        "/etc/shadow",
        "/etc/sudoers",
    ];
    prop_oneof![1 => text(), 2 => select(known).prop_map(str::to_owned)]
}

fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    "(SHA256|hmac):[a-c]".prop_map(Fingerprint::new)
}

fn selector() -> impl Strategy<Value = Selector> {
    select(vec![
        "unix:user:a",
        "unix:user:b",
        "unix:uid:998",
        "systemd:unit:a.service",
        "k8s:sa:a/a",
        "k8s:pod:a/a",
        "device:ip:192.0.2.1",
        "device:mac:02:00:00:00:00:01",
    ])
    .prop_map(|text| text.parse().unwrap())
}

fn flow() -> impl Strategy<Value = Fact> {
    let mac = option::of((0..3_u8).prop_map(|last| MacAddress([2, 0, 0, 0, 0, last])));
    let ends = (0..3_u8, any::<u16>(), any::<[u8; 4]>(), any::<u16>());
    let direction = select(vec![
        Direction::Outgoing,
        Direction::Incoming,
        Direction::Unknown,
    ]);
    let traffic =
        || (0..4_u64, any::<u64>()).prop_map(|(packets, bytes)| Traffic { packets, bytes });
    (mac, ends, direction, traffic(), traffic(), any::<bool>()).prop_map(
        |(mac, (last, port, other, other_port), direction, sent, received, continues)| {
            Fact::Flow(Flow {
                mac,
                source: SocketAddr::new([192, 0, 2, last].into(), port),
                destination: SocketAddr::new(other.into(), other_port),
                protocol: Protocol::Udp,
                direction,
                sent,
                received,
                continues,
            })
        },
    )
}

fn state() -> impl Strategy<Value = CredentialState> {
    use CredentialState::{Active, Decoy, Expired, Retired, Revoked, Rotating};
    select(vec![Active, Rotating, Retired, Revoked, Expired, Decoy])
}

fn credential() -> impl Strategy<Value = Credential> {
    use CredentialKind::{Jwt, Opaque, ShadowPassword, SshAuthorizedKey, SshPrivateKey};
    let kind = select(vec![
        SshPrivateKey,
        Jwt,
        Opaque,
        ShadowPassword,
        SshAuthorizedKey,
    ]);
    let bound = (option::of(cluster_uid()), option::of(cluster_uid()));
    let times = option::of(time());
    (fingerprint(), kind, times, option::of(text()), bound).prop_map(
        |(fingerprint, kind, expires, label, (account, pod))| Credential {
            fingerprint,
            kind,
            label,
            subject: None,
            issued: None,
            expires,
            bound: Bound::of(account, pod),
        },
    )
}

fn cluster_uid() -> impl Strategy<Value = ClusterUid> {
    "[a-c]".prop_map(|uid| uid.parse().unwrap())
}

fn cluster() -> impl Strategy<Value = Fact> {
    prop_oneof![
        (selector(), cluster_uid(), any::<bool>()).prop_map(|(selector, uid, present)| {
            Fact::Cluster(ClusterChange {
                selector,
                uid,
                present,
            })
        }),
        (selector(), cluster_uid(), time(), any::<bool>()).prop_map(
            |(selector, uid, at, settled)| {
                Fact::ClusterRemoved(ClusterRemoval {
                    selector,
                    uid,
                    at,
                    settled,
                })
            }
        ),
        option::of(text()).prop_map(|away| Fact::ClusterApi { away }),
    ]
}

fn located() -> impl Strategy<Value = Fact> {
    (file(), path(), vec(credential(), 0..3)).prop_map(|(file, path, credentials)| {
        Fact::Located(LocatedFile {
            file,
            path: path.into(),
            uid: 0,
            gid: 0,
            mode: 0o600,
            modified: BEGIN,
            credentials,
        })
    })
}

fn change() -> impl Strategy<Value = Fact> {
    let target = prop_oneof![
        fingerprint().prop_map(Target::Credential),
        selector().prop_map(Target::Identity),
        text().prop_map(|path| Target::Path(path.into())),
    ];
    (
        target,
        state(),
        option::of(time()),
        text(),
        option::of(selector()),
    )
        .prop_map(|(target, state, since, by, owner)| {
            Fact::Registry(RegistryChange {
                target,
                state,
                since,
                by,
                reason: None,
                owner,
            })
        })
}

fn connect() -> impl Strategy<Value = Fact> {
    let address = prop_oneof![
        select(vec!["169.254.169.254", "192.0.2.7", "fd00:ec2::254", "::1"])
            .prop_map(|text| text.parse::<IpAddr>().unwrap()),
        any::<IpAddr>(),
    ];
    let port = prop_oneof![select(vec![0, 53, 80]), any::<u16>()];
    (task(), address, port).prop_map(|(task, address, port)| Fact::Connect {
        task,
        socket: 1,
        protocol: Protocol::Tcp,
        destination: SocketAddr::new(address, port),
    })
}

/// A row's times are RFC 3339 with microseconds wherever it is written.
fn usage() -> impl Strategy<Value = Fact> {
    let time = || (0..4_000_000_000_000_000_i64).prop_map(|us| Timestamp(us * 1_000));
    (fingerprint(), selector(), time(), time(), any::<u64>()).prop_map(
        |(fingerprint, identity, first, last, count)| {
            Fact::Usage(Usage {
                key: UsageKey {
                    fingerprint,
                    identity,
                    exe: String::new(),
                    destination: String::new(),
                },
                first,
                last,
                count,
                name: None,
            })
        },
    )
}

/// Who may use what, from before or by an operator's word.
fn known() -> impl Strategy<Value = Fact> {
    let time = || (0..4_000_000_000_000_000_i64).prop_map(|us| Timestamp(us * 1_000));
    let ids = select(vec![DetectionId::OutsiderReads, DetectionId::SystemSecret]);
    let exception = (
        ids,
        selector(),
        option::of(fingerprint()),
        path(),
        option::of(time()),
    );
    let exception = exception.prop_map(|(detection, identity, credential, exe, expires)| {
        Fact::Allowed(Exception {
            id: "a1".to_owned(),
            detection,
            severity: Severity::Critical,
            identity: Some(identity),
            exe: Some(exe),
            container: None,
            credential,
            destination: None,
            path: None,
            target: None,
            reason: "why".to_owned(),
            by: "root".to_owned(),
            since: Timestamp(0),
            expires,
        })
    });
    prop_oneof![
        (fingerprint(), time())
            .prop_map(|(fingerprint, since)| Fact::Learning(Learning { fingerprint, since })),
        (fingerprint(), selector(), path(), any::<bool>(), time()).prop_map(
            |(fingerprint, identity, exe, own_mounts, since)| {
                Fact::User(CredentialUser {
                    fingerprint,
                    identity,
                    exe,
                    own_mounts,
                    since,
                })
            }
        ),
        exception,
        Just(Fact::NotAllowed {
            id: "a1".to_owned()
        }),
    ]
}

fn account() -> impl Strategy<Value = Option<Account>> {
    let class = select(vec![
        AccountClass::Root,
        AccountClass::System,
        AccountClass::Regular,
        AccountClass::Nobody,
    ]);
    option::of((class, any::<bool>()).prop_map(|(class, shell)| Account {
        class,
        shell,
        password: Password::Unknown,
    }))
}

fn host() -> impl Strategy<Value = Fact> {
    let name = option::of(select(vec!["a", "b", ""]).prop_map(str::to_owned));
    let path = prop_oneof![
        Just("/system.slice/a.service".to_owned()),
        Just(format!("/docker/{}", "3f4a".repeat(16))),
        any::<String>(),
    ];
    prop_oneof![
        (uid(), name, account()).prop_map(|(uid, name, account)| Fact::UserName {
            uid,
            name,
            account,
        }),
        (
            text(),
            option::of(text()),
            option::of(0..9_u32),
            option::of(0..4_u64)
        )
            .prop_map(|(id, image, init, device)| {
                Fact::Container(Box::new(Container {
                    id,
                    image,
                    init,
                    device,
                    ..Container::default()
                }))
            }),
        (task(), selector()).prop_map(|(task, selector)| Fact::Job { task, selector }),
        (0..4_u64, path).prop_map(|(id, path)| Fact::CgroupPath { id, path }),
        (file(), text()).prop_map(|(file, path)| Fact::Unlocated {
            file,
            path: path.into()
        }),
        credential().prop_map(Fact::Known),
        cluster(),
        (selector(), time(), time()).prop_map(|(selector, first, last)| Fact::Identity {
            selector,
            first,
            last
        }),
        (text(), text(), text()).prop_map(|(hook, backend, reason)| Fact::HookFailed {
            hook,
            backend,
            reason
        }),
        (
            "[ab]",
            option::of(0..2_u32),
            prop_oneof![0..9_u64, any::<u64>()]
        )
            .prop_map(|(hook, cpu, count)| Fact::Lost { hook, cpu, count }),
    ]
}

/// What daemons before this one have learned.
fn learned() -> impl Strategy<Value = Fact> {
    let of = prop_oneof![
        fingerprint().prop_map(Target::Credential),
        selector().prop_map(Target::Identity),
    ];
    prop_oneof![
        (fingerprint(), fingerprint(), path(), time()).prop_map(|(old, new, path, began)| {
            let path = path.into();
            Fact::Succeeded(Succession {
                old,
                new,
                path,
                began,
            })
        }),
        (of, any::<u64>(), option::of(time())).prop_map(|(target, longest, told)| {
            Fact::Rhythm(Rhythm {
                target,
                longest,
                told,
            })
        }),
        (fingerprint(), time()).prop_map(|(fingerprint, at)| Fact::FirstFound { fingerprint, at }),
        (time(), time()).prop_map(|(from, to)| Fact::Unwatched { from, to }),
    ]
}

/// What was learned of habits: whole, damaged, and of other forms; and what operators say of them.
fn habits() -> impl Strategy<Value = Fact> {
    let stored = select(stored());
    let damage = option::of((any::<prop::sample::Index>(), any::<u8>()));
    let stored = (stored, option::of(selector()), 0..4_u16, damage);
    let stored = stored.prop_map(|(of, identity, version, damage)| {
        let mut of = StoredBaseline {
            identity: of.identity.and(identity),
            version: if version == 0 { 1 } else { of.version },
            ..of
        };
        if let Some((place, with)) = damage {
            let at = place.index(of.body.len());
            of.body[at] ^= with;
        }
        Fact::Baseline(of)
    });
    let word = select(vec![
        Word::Approve,
        Word::Forget,
        Word::Freeze,
        Word::Unfreeze,
    ]);
    let word = (selector(), word, text(), text()).prop_map(|(identity, word, by, reason)| {
        Fact::BaselineWord(BaselineWord {
            identity,
            word,
            by,
            reason,
        })
    });
    prop_oneof![1 => stored, 2 => word]
}

/// What a detector stores of a device, of one that is frozen, and of the host.
fn stored() -> Vec<StoredBaseline> {
    let mut detector = Detector::new(DetectionConfig::default());
    for (last, minute) in (0..600_i64).map(|minute| (minute % 2, minute)) {
        let time = Timestamp(BEGIN.0 - (600 - minute) * 60_000_000_000);
        let fact = Fact::Flow(Flow {
            mac: None,
            source: SocketAddr::new([192, 0, 2, u8::try_from(last).unwrap()].into(), 40_000),
            destination: SocketAddr::new([198, 51, 100, 7].into(), 443),
            protocol: Protocol::Tcp,
            direction: Direction::Outgoing,
            sent: Traffic {
                packets: 3,
                bytes: 2_000,
            },
            received: Traffic {
                packets: 3,
                bytes: 9_000,
            },
            continues: false,
        });
        detector.step(&Record { time, fact });
    }
    detector.step(&Record {
        time: BEGIN,
        fact: Fact::BaselineWord(BaselineWord {
            identity: "device:ip:192.0.2.1".parse().unwrap(),
            word: Word::Freeze,
            by: "ana".to_owned(),
            reason: "why".to_owned(),
        }),
    });
    let stored = detector.state.baselines.take_unstored(BEGIN, 0).changed;
    assert_eq!(stored.len(), 3, "two devices and the host");
    stored
}

/// What lies elsewhere than in files, and what lies open.
fn held() -> impl Strategy<Value = Fact> {
    let place = prop_oneof![
        Just(HeldIn::Arguments),
        text().prop_map(|variable| HeldIn::Environment { variable }),
    ];
    prop_oneof![
        (task(), place, credential()).prop_map(|(task, place, credential)| Fact::Holds {
            task,
            place,
            credential
        }),
        (text(), uid(), credential()).prop_map(|(path, owner, credential)| Fact::Logged {
            path: path.into(),
            owner,
            credential
        }),
        (file(), text()).prop_map(|(file, path)| Fact::Exposed {
            file,
            path: path.into()
        }),
        Just(Fact::Restored),
        Just(Fact::Searched),
        (any::<u32>(), text(), uid()).prop_map(|(serial, description, uid)| {
            let key = KernelKey {
                serial,
                kind: "user".to_owned(),
                description,
                uid,
                permissions: 0,
            };
            Fact::KernelKeys { keys: vec![key] }
        }),
    ]
}

/// What the daemon notices about itself.
fn own() -> impl Strategy<Value = Fact> {
    let sender = || {
        let parts = (0..4_u32, uid(), option::of(text()));
        parts.prop_map(|(pid, uid, program)| Sender { pid, uid, program })
    };
    let origin = prop_oneof![
        Just(Origin::Kernel),
        Just(Origin::Unknown),
        sender().prop_map(Origin::Process),
        sender().prop_map(Origin::Claimed),
    ];
    let gap = prop_oneof![
        any::<u64>().prop_map(|lasted| Gap::Held { lasted }),
        (time(), time()).prop_map(|(from, to)| Gap::ClockSet { from, to }),
        (any::<u32>(), time(), time(), any::<u64>(), any::<bool>()).prop_map(
            |(pid, started, last_seen, unwatched, rebooted)| Gap::Unsaid {
                pid,
                started,
                last_seen,
                unwatched,
                rebooted,
            }
        ),
    ];
    let what = select(vec![Relied::Database, Relied::Registry, Relied::Program]);
    prop_oneof![
        (text(), origin).prop_map(|(signal, from)| Fact::Stopping { signal, from }),
        gap.prop_map(|gap| Fact::Gap { gap }),
        (what, text(), text()).prop_map(|(what, path, detail)| Fact::Tampered {
            what,
            path: path.into(),
            detail
        }),
    ]
}

fn fact() -> impl Strategy<Value = Fact> {
    let access = select(vec![
        Access::Open,
        Access::Read,
        Access::Map,
        Access::Write,
        Access::Denied,
    ]);
    let how = select(vec![
        MemoryAccess::Ptrace,
        MemoryAccess::ProcessVm,
        MemoryAccess::Mem,
        MemoryAccess::Environ,
        MemoryAccess::Maps,
        MemoryAccess::Descriptor,
        MemoryAccess::Other,
    ]);
    prop_oneof![
        4 => (task(), file(), access, option::of(text()), 0..3_u64).prop_map(
            |(task, file, access, path, count)| {
                Fact::FileAccess { task, file, access, path, count }
            }
        ),
        2 => (task(), task(), how, any::<bool>()).prop_map(|(task, target, how, granted)| {
            Fact::MemoryAccess { task, target, how, granted }
        }),
        1 => (task(), any::<u32>(), option::of(text()), option::of(uid())).prop_map(
            |(task, serial, description, owner)| {
                Fact::KeyRead { task, serial, description, owner }
            }
        ),
        1 => (file(), path(), uid(), 0..0o10000_u32).prop_map(|(file, path, owner, mode)| {
            Fact::Program { file, path, owner, mode }
        }),
        1 => (file(), option::of(any::<[u8; 32]>())).prop_map(|(file, digest)| {
            Fact::ProgramDigest { file, digest: digest.map(Sha256Digest) }
        }),
        2 => (any::<[u8; 4]>(), prop_oneof![text(), "[a-z]{1,3}\\.example"]).prop_map(|(address, name)| {
            Fact::Name { address: address.into(), name }
        }),
        1 => (text(), task(), 0..9_u64).prop_map(|(hook, task, count)| {
            Fact::Capped { hook, task, count }
        }),
        1 => (text(), text()).prop_map(|(hook, backend)| Fact::HookWorks { hook, backend }),
        3 => connect(),
        3 => flow(),
        3 => located(),
        2 => change(),
        3 => host(),
        1 => own(),
        2 => learned(),
        2 => habits(),
        1 => usage(),
        1 => known(),
        2 => held(),
        1 => Just(Fact::Tick),
        2 => (task(), path(), permitted()).prop_map(|(task, path, permitted)| {
            Fact::Exec { task, path, permitted }
        }),
        1 => (task(), option::of(text()), permitted()).prop_map(|(task, path, permitted)| {
            Fact::Running { task, path, permitted }
        }),
        2 => (task(), any::<u8>(), any::<bool>()).prop_map(|(task, capability, exact)| {
            Fact::CapabilityUse { task, capability, exact }
        }),
        2 => (task(), path(), option::of(uid())).prop_map(|(task, path, owner)| {
            Fact::UnixConnect { task, path, owner }
        }),
        2 => task().prop_map(|task| Fact::Fork { task }),
        1 => task().prop_map(|task| Fact::Exit { task }),
        2 => (task(), uid()).prop_map(|(task, uid)| Fact::IdentityChange { task, uid }),
    ]
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    vec(
        (time(), fact()).prop_map(|(time, fact)| Record { time, fact }),
        0..80,
    )
}

fn detected(records: &[Record]) -> Vec<Alert> {
    let mut detector = Detector::new(DetectionConfig::default());
    let mut alerts = Vec::new();
    for record in records {
        alerts.extend(detector.step(record).alerts);
    }
    alerts.extend(detector.finish());
    alerts
}

fn written(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, "6.18.0").unwrap();
    for record in records {
        writer.write(record).unwrap();
    }
    writer.flush().unwrap();
    drop(writer);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_facts_give_the_same_alerts_also_through_a_recording(records in records()) {
        let first = detected(&records);
        prop_assert_eq!(&detected(&records), &first);
        let mut replayed = Vec::new();
        let settings = DetectionConfig::default();
        let counted =
            recording::replay(&*written(&records), settings, |alert| replayed.push(alert)).unwrap();
        prop_assert_eq!(counted.facts, records.len() as u64);
        prop_assert_eq!(&replayed, &first);
        for alert in &first {
            // Every sum belongs to an alert that was shown, and repeated.
            if alert.status == AlertStatus::Ended {
                prop_assert!(alert.repeats > 0);
                let is_shown = |shown: &Alert| {
                    shown.status == AlertStatus::Open && shown.alert_id == alert.alert_id
                };
                prop_assert!(first.iter().any(is_shown));
            }
            prop_assert!(!alert.summary.is_empty() && !alert.alert_id.is_empty());
        }
    }

    #[test]
    fn a_damaged_recording_ends_in_one_error_after_the_alerts_before(
        at in any::<prop::sample::Index>(),
        with in option::of(any::<u8>()),
    ) {
        let mut story = Story::with_retired_key();
        story.read(&process(42));
        story.connect(&process(42), "192.0.2.7:22");
        story.lost("process_exec", None, 3);
        let mut bytes = story.bytes();
        let at = at.index(bytes.len());
        match with {
            Some(byte) => bytes[at] = byte,
            None => bytes.truncate(at),
        }
        let mut alerts = Vec::new();
        let settings = DetectionConfig::default();
        let outcome = recording::replay(&*bytes, settings, |alert| alerts.push(alert));
        let whole = story.alerts();
        if let Ok(replayed) = outcome {
            prop_assert!(replayed.facts <= story.records.len() as u64);
        }
        // Open alerts are those of the whole, as far as it goes; only the sums can be earlier.
        let shown = alerts.iter().filter(|alert| alert.status == AlertStatus::Open);
        let expected = whole.iter().filter(|alert| alert.status == AlertStatus::Open);
        prop_assert!(shown.zip(expected).all(|(shown, expected)| shown == expected));
    }

    #[test]
    fn any_bytes_behind_a_head_never_panic(noise in vec(any::<u8>(), 0..300)) {
        let mut bytes = Story::new().bytes();
        bytes.extend(noise);
        let _ = recording::replay(&*bytes, DetectionConfig::default(), drop);
    }
}
