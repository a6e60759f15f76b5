use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::Outcome;
use super::*;
use crate::config::DetectionConfig;
use crate::model::{
    ClusterUid, Credential, CredentialKind, DetectionId, Fact, FileId, Record, Severity,
};

const HOUR: i64 = 3_600_000_000_000;

fn step(detector: &mut Detector, time: i64, fact: Fact) -> Outcome {
    let time = Timestamp(time);
    detector.step(&Record { time, fact })
}

fn uid(text: &str) -> ClusterUid {
    text.parse().unwrap()
}

fn account(name: &str) -> Selector {
    Selector::kubernetes_account("prod", name).unwrap()
}

fn change(selector: &Selector, of: &str, present: bool) -> Fact {
    Fact::Cluster(ClusterChange {
        selector: selector.clone(),
        uid: uid(of),
        present,
    })
}

/// A token of `k8s:sa:prod/api`.
fn token(number: u64, bound: Option<Box<Bound>>) -> Fact {
    let credential = Credential {
        fingerprint: Fingerprint::new(format!("token-{number}")),
        kind: CredentialKind::KubernetesServiceAccountToken,
        label: None,
        subject: Some(account("api")),
        issued: None,
        expires: None,
        bound,
    };
    Fact::Located(LocatedFile {
        file: FileId {
            dev: 1,
            ino: number,
        },
        path: format!("/pods/{number}/token").into(),
        uid: 0,
        gid: 0,
        mode: 0o600,
        modified: Timestamp(0),
        credentials: vec![credential],
    })
}

fn detector() -> Detector {
    Detector::new(DetectionConfig::default())
}

fn is_retired(detector: &Detector, number: u64, now: i64) -> bool {
    let registry = &detector.state.registry;
    let fingerprint = Fingerprint::new(format!("token-{number}"));
    let entry = registry.credential(&fingerprint).unwrap();
    registry.standing(entry, None, Timestamp(now)).state == CredentialState::Retired
}

fn state_of(detector: &Detector, selector: &Selector) -> Option<CredentialState> {
    let entry = detector.state.registry.identity(selector)?;
    entry.declared.as_ref().map(|said| said.state)
}

#[test]
fn a_deleted_account_is_offboarded_with_its_tokens_after_its_time() {
    let mut detector = detector();
    step(&mut detector, 1, token(1, Bound::of(Some(uid("a")), None)));
    // As a token of a release that does not say so.
    step(&mut detector, 1, token(2, None));
    // Of an account of the same name in another cluster.
    step(&mut detector, 1, token(3, Bound::of(Some(uid("z")), None)));
    step(&mut detector, HOUR, change(&account("api"), "a", false));
    let early = step(&mut detector, 2 * HOUR - 1, Fact::Tick);
    assert_eq!(early.changes, []);
    let due = step(&mut detector, 2 * HOUR, Fact::Tick);
    let reasons: Vec<_> = due.changes.iter().map(|of| of.reason.as_deref()).collect();
    assert_eq!(due.changes.len(), 3, "{:?}", due.changes);
    assert!(
        reasons
            .iter()
            .all(|of| of.is_some_and(|of| of.starts_with("its service account"))),
        "{reasons:?}"
    );
    assert!(is_retired(&detector, 1, 2 * HOUR) && is_retired(&detector, 2, 2 * HOUR));
    assert!(!is_retired(&detector, 3, 2 * HOUR));
    let retired = Some(CredentialState::Retired);
    assert_eq!(state_of(&detector, &account("api")), retired);
    // One of the same name is another: it is good, and what the former had stays dead.
    step(&mut detector, 3 * HOUR, change(&account("api"), "b", true));
    assert_ne!(state_of(&detector, &account("api")), retired);
    assert!(is_retired(&detector, 1, 3 * HOUR));
}

#[test]
fn an_account_that_is_made_again_in_time_keeps_its_name_and_not_its_tokens() {
    let mut detector = detector();
    step(&mut detector, 1, token(1, Bound::of(Some(uid("a")), None)));
    step(&mut detector, HOUR, change(&account("api"), "a", false));
    step(&mut detector, HOUR + 5, change(&account("api"), "b", true));
    step(
        &mut detector,
        HOUR + 9,
        token(2, Bound::of(Some(uid("b")), None)),
    );
    step(&mut detector, 9 * HOUR, Fact::Tick);
    assert_eq!(state_of(&detector, &account("api")), None);
    assert!(is_retired(&detector, 1, 9 * HOUR));
    assert!(!is_retired(&detector, 2, 9 * HOUR));
}

#[test]
fn a_copy_that_is_found_later_was_dead_before() {
    let mut detector = detector();
    let pod = Selector::kubernetes_pod("prod", "api-1").unwrap();
    step(&mut detector, HOUR, change(&pod, "p", false));
    let bound = Bound::of(Some(uid("a")), Some(uid("p")));
    let found = step(&mut detector, 5 * HOUR, token(1, bound.clone()));
    assert_eq!(found.changes.len(), 1);
    assert_eq!(found.changes[0].since, Some(Timestamp(HOUR)));
    let reason = found.changes[0].reason.as_deref();
    assert_eq!(reason, Some("its pod k8s:pod:prod/api-1 was deleted"));
    // Who gives it back is not overruled because a daemon looks at its file again.
    let restored = RegistryChange {
        state: CredentialState::Active,
        by: "ana".to_owned(),
        ..found.changes[0].clone()
    };
    step(&mut detector, 6 * HOUR, Fact::Registry(restored));
    let again = step(&mut detector, 7 * HOUR, token(1, bound));
    assert_eq!(again.changes, []);
    assert!(!is_retired(&detector, 1, 7 * HOUR));
}

#[test]
fn accounts_that_nobody_knows_here_change_nothing() {
    let mut detector = detector();
    step(&mut detector, HOUR, change(&account("other"), "x", false));
    let due = step(&mut detector, 9 * HOUR, Fact::Tick);
    assert_eq!(due, Outcome::default());
}

#[test]
fn an_api_server_that_is_away_is_told_once_and_again_when_it_is_away_again() {
    let mut detector = detector();
    let away = || Fact::ClusterApi {
        away: Some("connection refused".to_owned()),
    };
    let told = step(&mut detector, HOUR, away()).alerts;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].id, DetectionId::HookFailed);
    assert_eq!(told[0].severity, Severity::Medium);
    assert!(
        told[0].summary.contains("connection refused"),
        "{}",
        told[0].summary
    );
    assert_eq!(step(&mut detector, HOUR + 1, away()).alerts, []);
    step(&mut detector, HOUR + 2, Fact::ClusterApi { away: None });
    assert_eq!(step(&mut detector, HOUR + 3, away()).alerts.len(), 1);
}

#[derive(Debug, Clone)]
enum Act {
    Token(Option<u8>, Option<u8>),
    Account(u8, bool),
    Pod(u8),
    Wait(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let uid = || 0..4u8;
    let act = prop_oneof![
        (prop::option::of(uid()), prop::option::of(uid())).prop_map(|(a, p)| Act::Token(a, p)),
        (uid(), any::<bool>()).prop_map(|(of, present)| Act::Account(of, present)),
        uid().prop_map(Act::Pod),
        (1..90u8).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 0..40)
}

proptest! {
    /// A token is retired exactly when its pod is gone, or its account for an hour.
    #[test]
    fn tokens_die_with_what_they_are_bound_to_and_no_others(acts in acts()) {
        let mut detector = detector();
        let mut now = HOUR;
        let (mut accounts, mut pods) = (BTreeMap::new(), BTreeMap::new());
        let mut tokens = Vec::new();
        for act in acts {
            now += 1;
            match act {
                Act::Token(account, pod) => {
                    tokens.push((account, pod));
                    let bound = Bound::of(
                        account.map(|of| uid(&format!("a{of}"))),
                        pod.map(|of| uid(&format!("p{of}"))),
                    );
                    step(&mut detector, now, token(tokens.len() as u64, bound));
                }
                Act::Account(of, present) => {
                    // Each uid has a name of its own: names are told apart by other tests.
                    let name = account(&format!("acc{of}"));
                    // An object that is gone never comes back.
                    if !present || !accounts.contains_key(&of) {
                        step(&mut detector, now, change(&name, &format!("a{of}"), present));
                    }
                    if !present {
                        accounts.entry(of).or_insert(now);
                    }
                }
                Act::Pod(of) => {
                    let name = Selector::kubernetes_pod("prod", &format!("pod{of}")).unwrap();
                    step(&mut detector, now, change(&name, &format!("p{of}"), false));
                    pods.entry(of).or_insert(now);
                }
                Act::Wait(minutes) => {
                    now += i64::from(minutes) * HOUR / 60;
                    step(&mut detector, now, Fact::Tick);
                }
            }
        }
        now += 1;
        step(&mut detector, now, Fact::Tick);
        for (number, (account, pod)) in (1..).zip(&tokens) {
            let account = account.and_then(|of| accounts.get(&of));
            let is_dead = account.is_some_and(|at| now - at >= HOUR)
                || pod.is_some_and(|of| pods.contains_key(&of));
            prop_assert_eq!(is_retired(&detector, number, now), is_dead);
        }
    }
}
