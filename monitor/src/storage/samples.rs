//! Writes for the tests of this module: one of each kind, and any.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Keep, Run, SealedWord, Write};
use crate::model::alert::{AlertAncestor, AlertCredential, AlertDestination, AlertProcess};
use crate::model::{
    AccountState, Alert, AlertStatus, BaselineWord, Blindness, Bound, CapabilitySet,
    ClusterRemoval, ClusterUid, Credential, CredentialKind, CredentialState, CredentialUser,
    DetectionId, Evidence, Exception, FileId, Fingerprint, Hole, Learning, Ledger, LocatedFile,
    PasswordField, ProgramRights, RegistryChange, Rhythm, Selector, Severity, ShellClass,
    Succession, Target, Timestamp, Usage, UsageKey, UsePattern, Word,
};

const KINDS: &[CredentialKind] = &[
    CredentialKind::SshPrivateKey,
    CredentialKind::SshAuthorizedKey,
    CredentialKind::X509Certificate,
    CredentialKind::KubernetesServiceAccountToken,
    CredentialKind::Opaque,
];
const STATES: &[CredentialState] = &[
    CredentialState::Active,
    CredentialState::Rotating,
    CredentialState::Retired,
    CredentialState::Revoked,
    CredentialState::Expired,
    CredentialState::Decoy,
];

/// One write of each kind; one alert of them is open.
pub(super) fn some_of_each() -> Vec<Write> {
    let time = Timestamp(1_777_644_201_123_456_789);
    let fingerprint = Fingerprint::new("SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8");
    let identity = Selector::unix_user("deploy");
    vec![
        Write::Located(
            time,
            LocatedFile {
                file: FileId {
                    dev: 65024,
                    ino: u64::MAX,
                },
                path: PathBuf::from("/srv/deploy/.ssh/id_ed25519"),
                uid: 1001,
                gid: 1001,
                mode: 0o600,
                modified: time,
                credentials: vec![Credential {
                    fingerprint: fingerprint.clone(),
                    kind: CredentialKind::SshPrivateKey,
                    label: Some("deploy@ci".to_owned()),
                    subject: None,
                    issued: None,
                    expires: None,
                    bound: None,
                }],
            },
        ),
        Write::Change(
            time,
            RegistryChange {
                target: Target::Credential(fingerprint.clone()),
                state: CredentialState::Retired,
                since: None,
                by: "root".to_owned(),
                reason: Some("moved to OIDC".to_owned()),
                owner: Some(identity.clone()),
            },
        ),
        Write::Usage(Usage {
            key: UsageKey {
                fingerprint: fingerprint.clone(),
                identity: identity.clone(),
                exe: "/usr/bin/ssh".to_owned(),
                destination: String::new(),
            },
            first: time,
            last: time,
            count: 3,
            name: None,
        }),
        Write::IdentitySeen {
            selector: identity.clone(),
            first: time,
            last: time,
        },
        Write::Succession(Succession {
            old: Fingerprint::new("SHA256:before"),
            new: fingerprint.clone(),
            path: PathBuf::from("/srv/deploy/.ssh/id_ed25519"),
            began: time,
        }),
        Write::Rhythm(Rhythm {
            target: Target::Credential(fingerprint.clone()),
            longest: 9_000_000_000,
            told: Some(time),
        }),
        Write::Alert(Box::new(alert("a-1", time, AlertStatus::Open))),
        Write::Learning(Learning {
            fingerprint: fingerprint.clone(),
            since: time,
        }),
        Write::User(CredentialUser {
            fingerprint: fingerprint.clone(),
            identity: identity.clone(),
            exe: "/usr/bin/ssh".to_owned(),
            own_mounts: false,
            since: time,
        }),
        Write::Allowed(Box::new(exception("a-1", time))),
        Write::Run(Run {
            started: time,
            pid: 4242,
            boot_id: "7a0c4bd5-64be-4a4c-92bd-1c9d7a5e9f30".to_owned(),
            last_seen: time,
            last_seen_boot: 7,
            ended: None,
        }),
    ]
}

/// A whole exception.
fn exception(id: &str, time: Timestamp) -> Exception {
    Exception {
        id: id.to_owned(),
        detection: DetectionId::OutsiderReads,
        severity: Severity::Medium,
        identity: Some(Selector::unix_user("deploy")),
        exe: Some("/usr/bin/cat".to_owned()),
        container: None,
        credential: Some(Fingerprint::new("hmac:1")),
        destination: Some(std::net::Ipv4Addr::new(192, 0, 2, 7).into()),
        path: None,
        target: None,
        reason: "a check".to_owned(),
        by: "root".to_owned(),
        since: Timestamp(time.0 / 1_000 * 1_000),
        expires: Some(Timestamp(1_777_644_201_123_456_000)),
    }
}

/// A whole alert.
pub(super) fn alert(alert_id: &str, time: Timestamp, status: AlertStatus) -> Alert {
    let whole = Timestamp(1_777_644_201_123_456_000);
    Alert {
        alert_id: alert_id.to_owned(),
        time,
        id: DetectionId::RetiredCredentialRead,
        severity: Severity::Critical,
        title: "A retired credential was read".to_owned(),
        summary: "deploy read a key that root had retired".to_owned(),
        identity: Some(Selector::unix_user("deploy")),
        process: Some(AlertProcess {
            pid: 4242,
            start_time: whole,
            uid: 1001,
            user: Some("deploy".to_owned()),
            exe: Some("/usr/bin/cat".to_owned()),
            unit: None,
            container: None,
            login_user: Some("ana".to_owned()),
            terminal: Some("pts0".to_owned()),
            ancestors: vec![AlertAncestor { pid: 1, exe: None }],
        }),
        credential: Some(AlertCredential {
            fingerprint: Fingerprint::new("SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8"),
            kind: CredentialKind::SshPrivateKey,
            path: Some("/srv/deploy/.ssh/id_ed25519".to_owned()),
            state: CredentialState::Retired,
            retired_at: Some(whole),
            retired_by: Some("root".to_owned()),
            reason: Some("moved to OIDC".to_owned()),
            last_used: None,
        }),
        destination: Some(AlertDestination {
            address: std::net::Ipv4Addr::new(192, 0, 2, 7).into(),
            port: 443,
            name: Some("api.example".to_owned()),
        }),
        target: None,
        path: None,
        evidence: Some(Evidence::ReadThenConnect),
        attack: vec!["T1552.004".to_owned()],
        owasp: vec!["NHI1".to_owned()],
        status,
        repeats: 2,
        last_time: time,
    }
}

/// Few keys, so that writes meet each other.
fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    (0..4u8).prop_map(|n| Fingerprint::new(format!("hmac:{n}")))
}

fn selector() -> impl Strategy<Value = Selector> {
    (0..4u32).prop_map(Selector::unix_uid)
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

fn file_id() -> impl Strategy<Value = FileId> {
    (0..2u64, select(vec![1, 2, u64::MAX])).prop_map(|(dev, ino)| FileId { dev, ino })
}

/// Any bytes at times, UTF-8 or not.
fn path() -> impl Strategy<Value = PathBuf> {
    prop_oneof![
        3 => (0..4u8).prop_map(|n| PathBuf::from(format!("/p/{n}"))),
        1 => vec(1..=255u8, 1..6).prop_map(|bytes| PathBuf::from(OsString::from_vec(bytes))),
    ]
}

fn credential() -> impl Strategy<Value = Credential> {
    (
        fingerprint(),
        select(KINDS),
        option::of(".*"),
        option::of(selector()),
        [(); 2].map(|()| option::of(time())),
        [(); 2].map(|()| option::of(uid())),
    )
        .prop_map(
            |(fingerprint, kind, label, subject, [issued, expires], [account, pod])| Credential {
                fingerprint,
                kind,
                label,
                subject,
                issued,
                expires,
                bound: Bound::of(account, pod),
            },
        )
}

fn located() -> impl Strategy<Value = LocatedFile> {
    (
        file_id(),
        path(),
        any::<(u32, u32, u32)>(),
        time(),
        vec(credential(), 0..4),
    )
        .prop_map(
            |(file, path, (uid, gid, mode), modified, credentials)| LocatedFile {
                file,
                path,
                uid,
                gid,
                mode,
                modified,
                credentials,
            },
        )
}

fn change() -> impl Strategy<Value = RegistryChange> {
    let target = prop_oneof![
        fingerprint().prop_map(Target::Credential),
        selector().prop_map(Target::Identity),
        path().prop_map(Target::Path),
    ];
    (
        target,
        select(STATES),
        option::of(time()),
        ".*",
        option::of(".*"),
        option::of(selector()),
    )
        .prop_map(|(target, state, since, by, reason, owner)| RegistryChange {
            target,
            state,
            since,
            by,
            reason,
            owner,
        })
}

fn usage() -> impl Strategy<Value = Usage> {
    (
        fingerprint(),
        selector(),
        "[ab]?",
        "[ab]?",
        time(),
        time(),
        0..=i64::MAX.cast_unsigned(),
    )
        .prop_map(
            |(fingerprint, identity, exe, destination, first, last, count)| Usage {
                key: UsageKey {
                    fingerprint,
                    identity,
                    exe,
                    destination,
                },
                first,
                last,
                count,
                name: None,
            },
        )
}

fn run() -> impl Strategy<Value = Run> {
    (
        0..3_i64,
        any::<u32>(),
        "[ab]",
        time(),
        any::<u64>(),
        option::of(time()),
    )
        .prop_map(
            |(started, pid, boot_id, last_seen, last_seen_boot, ended)| Run {
                started: Timestamp(started),
                pid,
                boot_id,
                last_seen,
                last_seen_boot,
                ended,
            },
        )
}

fn hole() -> impl Strategy<Value = Hole> {
    let cause = prop_oneof![
        any::<bool>().prop_map(|rebooted| Blindness::NotRunning { rebooted }),
        Just(Blindness::Held),
        Just(Blindness::ClockSet),
        "[ab]".prop_map(|hook| Blindness::Lost { hook }),
        "[ab]".prop_map(|hook| Blindness::Hook { hook }),
        Just(Blindness::Several),
    ];
    (time(), option::of(time()), cause).prop_map(|(from, to, cause)| Hole { from, to, cause })
}

fn keep() -> impl Strategy<Value = Keep> {
    let subject = prop_oneof![
        fingerprint().prop_map(Target::Credential),
        selector().prop_map(Target::Identity),
    ];
    let times = [(); 3].map(|()| option::of(time()));
    let counts = [(); 3].map(|()| 0..=i64::MAX.cast_unsigned());
    let pattern = (subject, times, counts).prop_map(|(subject, times, counts)| UsePattern {
        subject,
        present_since: times[0],
        first: times[1],
        last: times[2],
        uses: counts[0],
        longest: counts[1],
        alike: counts[2],
    });
    let fields = select(vec![
        PasswordField::None,
        PasswordField::Locked,
        PasswordField::Set,
        PasswordField::Empty,
    ]);
    let shells = select(vec![ShellClass::None, ShellClass::Login]);
    let account = (any::<(u32, bool)>(), fields, shells, option::of(time()));
    let account = account.prop_map(
        |((uid, is_system), password, shell, expires)| AccountState {
            uid,
            password,
            shell,
            expires,
            is_system,
        },
    );
    let ledger = (time(), time(), vec(hole(), 0..4));
    prop_oneof![
        ledger.prop_map(|(since, until, holes)| Keep::Ledger(Ledger {
            since,
            until,
            holes
        })),
        pattern.prop_map(Keep::Pattern),
        ("[ab]", option::of(account)).prop_map(|(name, state)| Keep::Account(name, state)),
        ("[ab]", any::<bool>()).prop_map(|(name, present)| Keep::Unit(name, present)),
        (selector(), option::of((time(), option::of(any::<u32>()))))
            .prop_map(|(selector, removal)| Keep::Removal(selector, removal)),
        (uid(), selector()).prop_map(|(uid, selector)| Keep::ClusterObject(uid, selector)),
        (uid(), selector(), time(), any::<bool>()).prop_map(|(uid, selector, at, settled)| {
            Keep::ClusterRemoved(ClusterRemoval {
                selector,
                uid,
                at,
                settled,
            })
        }),
        uid().prop_map(Keep::ClusterForgotten),
        selector().prop_map(Keep::Said),
        rights(),
    ]
}

fn uid() -> impl Strategy<Value = ClusterUid> {
    "[ab-]".prop_map(|uid| uid.parse().unwrap())
}

fn rights() -> impl Strategy<Value = Keep> {
    let times = (time(), option::of(time()), time());
    let of = (any::<[u32; 2]>(), any::<[u64; 3]>(), times);
    (selector(), "[ab/]{1,2}", option::of(of)).prop_map(|(identity, exe, of)| {
        let rights = of.map(|([uid, gid], sets, (since, started, last))| ProgramRights {
            identity: identity.clone(),
            exe: exe.clone(),
            uid,
            gid,
            given: CapabilitySet(sets[0]),
            ever_given: CapabilitySet(sets[1]),
            used: CapabilitySet(sets[2]),
            since,
            started,
            last,
        });
        Keep::Rights(identity, exe, rights)
    })
}

fn said() -> impl Strategy<Value = SealedWord> {
    let word = select(vec![
        Word::Approve,
        Word::Forget,
        Word::Freeze,
        Word::Unfreeze,
    ]);
    (time(), selector(), word, "[ab]", any::<String>()).prop_map(
        |(time, identity, word, by, reason)| SealedWord {
            time,
            said: BaselineWord {
                identity,
                word,
                by,
                reason,
            },
            seal: vec![7; 32],
            taken: false,
        },
    )
}

/// Any list of writes.
pub(super) fn writes(most: usize) -> impl Strategy<Value = Vec<Write>> {
    let write = prop_oneof![
        (time(), change()).prop_map(|(time, change)| Write::Change(time, change)),
        (time(), located()).prop_map(|(time, file)| Write::Located(time, file)),
        (time(), file_id(), path())
            .prop_map(|(time, file, path)| Write::Unlocated(time, file, path)),
        usage().prop_map(Write::Usage),
        (selector(), time(), time()).prop_map(|(selector, first, last)| Write::IdentitySeen {
            selector,
            first,
            last
        }),
        ("[a-d]", time(), any::<bool>()).prop_map(|(id, time, open)| {
            let status = if open {
                AlertStatus::Open
            } else {
                AlertStatus::Ended
            };
            Write::Alert(Box::new(alert(&id, time, status)))
        }),
        run().prop_map(Write::Run),
        ("[a-d]", "[a-d]", path(), time()).prop_map(|(old, new, path, began)| {
            Write::Succession(Succession {
                old: Fingerprint::new(old),
                new: Fingerprint::new(new),
                path,
                began,
            })
        }),
        (selector(), any::<u32>(), option::of(time())).prop_map(|(of, longest, told)| {
            Write::Rhythm(Rhythm {
                target: Target::Identity(of),
                longest: longest.into(),
                told,
            })
        }),
        fingerprint().prop_map(Write::Forgotten),
        (fingerprint(), time())
            .prop_map(|(fingerprint, since)| Write::Learning(Learning { fingerprint, since })),
        (fingerprint(), selector(), "[ab]?", any::<bool>(), time()).prop_map(
            |(fingerprint, identity, exe, own_mounts, since)| {
                Write::User(CredentialUser {
                    fingerprint,
                    identity,
                    exe,
                    own_mounts,
                    since,
                })
            }
        ),
        ("[a-d]", 0..4_000_000_000_000_000_000_i64)
            .prop_map(|(id, time)| Write::Allowed(Box::new(exception(&id, Timestamp(time))))),
        (time(), "[a-d]").prop_map(|(time, id)| Write::NotAllowed(time, id)),
        said().prop_map(|said| Write::Said(Box::new(said))),
        keep().prop_map(|keep| Write::Keep(Box::new(keep))),
    ];
    vec(write, 0..most)
}
