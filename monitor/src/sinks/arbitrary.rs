//! Alerts for tests: one that is plain, and any that there can be.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::model::alert::{AlertAncestor, AlertCredential, AlertDestination, AlertProcess};
use crate::model::{
    Alert, AlertStatus, CredentialKind, CredentialState, DetectionId, Evidence, Fingerprint,
    Selector, Severity, Timestamp,
};

/// A time of 2026 in UTC.
pub(crate) fn time(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap();
    Timestamp(i64::try_from(at.as_nanosecond()).unwrap())
}

/// The alert of the design's sample.
pub(crate) fn sample() -> Alert {
    Alert {
        alert_id: "9f2c4e".into(),
        time: time("2026-10-12T14:03:21Z"),
        id: DetectionId::RetiredCredentialRead,
        severity: Severity::Critical,
        title: "A retired credential was read".into(),
        summary: "unix:user:deploy read the retired SSH private key \
                  SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8"
            .into(),
        identity: Some(Selector::unix_user("deploy")),
        process: Some(AlertProcess {
            pid: 4242,
            start_time: time("2026-10-12T14:03:20Z"),
            uid: 1001,
            user: Some("deploy".into()),
            exe: Some("/usr/bin/cat".into()),
            unit: Some("session-4.scope".into()),
            container: None,
            login_user: Some("ana".into()),
            terminal: Some("pts/0".into()),
            ancestors: vec![
                AlertAncestor {
                    pid: 4200,
                    exe: Some("/usr/bin/bash".into()),
                },
                AlertAncestor {
                    pid: 4100,
                    exe: Some("/usr/sbin/sshd".into()),
                },
            ],
        }),
        credential: Some(AlertCredential {
            fingerprint: Fingerprint::new("SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8"),
            kind: CredentialKind::SshPrivateKey,
            path: Some("/srv/deploy/.ssh/id_ed25519".into()),
            state: CredentialState::Retired,
            retired_at: Some(time("2026-05-01T09:00:00Z")),
            retired_by: Some("root".into()),
            reason: Some("moved to OIDC".into()),
            last_used: Some(time("2026-05-01T08:00:00Z")),
        }),
        destination: None,
        target: None,
        path: None,
        evidence: Some(Evidence::Read),
        attack: vec!["T1552.004".into()],
        owasp: vec!["NHI1".into()],
        status: AlertStatus::Open,
        repeats: 0,
        last_time: time("2026-10-12T14:03:21Z"),
    }
}

/// Text with all that may do harm, and much of it.
fn text() -> impl Strategy<Value = String> {
    let hostile = prop_oneof![
        Just('\n'),
        Just('\r'),
        Just('\0'),
        Just('\x1b'),
        Just('\u{9b}'),
        Just('"'),
        Just('\\'),
        Just(']'),
        Just('['),
        Just('='),
        Just(' '),
        Just('\u{202e}'),
        Just('\u{feff}'),
        Just('\''),
        Just('$'),
        Just('ü'),
        any::<char>(),
    ];
    prop_oneof![
        4 => vec(hostile, 0..40).prop_map(String::from_iter),
        1 => "[a-z/]{0,30}",
        1 => Just("\"\\]ü".repeat(2000)),
    ]
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

fn process() -> impl Strategy<Value = AlertProcess> {
    let ancestor =
        (any::<u32>(), option::of(text())).prop_map(|(pid, exe)| AlertAncestor { pid, exe });
    let names = [(); 6].map(|()| option::of(text()));
    (any::<(u32, u32)>(), any_time(), names, vec(ancestor, 0..7)).prop_map(
        |((pid, uid), start_time, names, ancestors)| {
            let [user, exe, unit, container, login_user, terminal] = names;
            AlertProcess {
                pid,
                start_time,
                uid,
                user,
                exe,
                unit,
                container,
                login_user,
                terminal,
                ancestors,
            }
        },
    )
}

fn credential() -> impl Strategy<Value = AlertCredential> {
    let kind = prop_oneof![
        Just(CredentialKind::SshPrivateKey),
        Just(CredentialKind::KubernetesServiceAccountToken),
    ];
    let names = [(); 3].map(|()| option::of(text()));
    let times = [(); 2].map(|()| option::of(any_time()));
    (text(), kind, names, times).prop_map(|(fingerprint, kind, names, times)| {
        let [path, retired_by, reason] = names;
        let [retired_at, last_used] = times;
        AlertCredential {
            fingerprint: Fingerprint::new(fingerprint),
            kind,
            path,
            state: CredentialState::Retired,
            retired_at,
            retired_by,
            reason,
            last_used,
        }
    })
}

/// Any alert.
pub(crate) fn alert() -> impl Strategy<Value = Alert> {
    let head = (
        prop_oneof![
            Just(DetectionId::RetiredCredentialRead),
            Just(DetectionId::EventsLost)
        ],
        prop_oneof![Just(Severity::Low), Just(Severity::Critical)],
        prop_oneof![Just(AlertStatus::Open), Just(AlertStatus::Ended)],
        prop_oneof![Just(None), Just(Some(Evidence::ReadThenConnect))],
    );
    let destination =
        (any::<(IpAddr, u16)>(), option::of(text())).prop_map(|((address, port), name)| {
            AlertDestination {
                address,
                port,
                name,
            }
        });
    let parts = (
        option::of(process()),
        option::of(credential()),
        option::of(destination),
        option::of(process()),
        option::of(text()),
        option::of(text().prop_map(|name| Selector::unix_user(&name))),
    );
    let lists = (vec(text(), 0..3), vec(text(), 0..3));
    (
        head,
        parts,
        lists,
        [text(), text(), text()],
        [any_time(), any_time()],
        any::<u64>(),
    )
        .prop_map(|(head, parts, (attack, owasp), texts, times, repeats)| {
            let (id, severity, status, evidence) = head;
            let (process, credential, destination, target, path, identity) = parts;
            let [alert_id, title, summary] = texts;
            let [time, last_time] = times;
            Alert {
                alert_id,
                time,
                id,
                severity,
                title,
                summary,
                identity,
                process,
                credential,
                destination,
                target,
                path,
                evidence,
                attack,
                owasp,
                status,
                repeats,
                last_time,
            }
        })
}
