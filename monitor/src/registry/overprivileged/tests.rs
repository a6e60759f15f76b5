//! What is not used is named, and nothing else.

use super::super::Run;
use super::*;
use crate::model::{
    Credential, CredentialKind, FileId, Fingerprint, LocatedFile, Target, UsageKey,
};

const DAY: i64 = 86_400;
const NEEDED: Duration = Duration::from_secs(30 * 86_400);
const CHOWN: u64 = 1;
const KILL: u64 = 1 << 5;
const ADMIN: u64 = 1 << 21;

fn at(days: i64) -> Timestamp {
    Timestamp::from_unix_seconds(days * DAY)
}

fn service() -> Selector {
    Selector::systemd_unit("api.service")
}

/// A host that is watched from the first day on.
fn host() -> Registry {
    let mut registry = Registry::default();
    registry.observed.begin(None, false, at(0));
    registry
}

fn start(registry: &mut Registry, given: u64, is_start: bool, day: i64) {
    let run = Run {
        identity: &service(),
        exe: "/usr/bin/api",
        uid: 998,
        gid: 998,
        given: CapabilitySet(given),
        is_start,
    };
    registry.rights.runs(&run, at(day));
}

fn uses(registry: &mut Registry, set: u64, exact: bool) {
    let capability = CapabilitySet(set);
    let rights = &mut registry.rights;
    rights.uses(&[service()], "/usr/bin/api", capability, exact);
}

fn ask(registry: &mut Registry, day: i64) -> LeastPrivilege {
    registry.observed.pass(at(day));
    least_privilege(registry, &service(), NEEDED, at(day))
}

fn codes(of: &LeastPrivilege) -> Vec<&str> {
    of.reasons.iter().map(|reason| &*reason.code).collect()
}

#[test]
fn exactly_what_is_unused_is_named_and_only_after_long_enough() {
    let mut registry = host();
    start(&mut registry, CHOWN | KILL, true, 1);
    uses(&mut registry, CHOWN, true);
    let early = ask(&mut registry, 30);
    assert_eq!(early.verdict, Verdict::CannotTell);
    assert_eq!(codes(&early), ["too-short"]);
    assert_eq!(early.capabilities.unclear, ["CAP_KILL"]);
    let late = ask(&mut registry, 31);
    assert_eq!(late.verdict, Verdict::No);
    assert_eq!(late.capabilities.unused, ["CAP_KILL"]);
    assert_eq!(late.capabilities.used, ["CAP_CHOWN"]);
    let text = &late.reasons[0].text;
    assert!(text.starts_with("it was given 2 capabilities and has not used 1 capability"));
    uses(&mut registry, KILL, true);
    let used = ask(&mut registry, 31);
    assert_eq!(
        (used.verdict, codes(&used)),
        (Verdict::Yes, vec!["all-used"])
    );
}

#[test]
fn what_was_not_seen_is_never_called_unused() {
    // A program that ran already.
    let mut registry = host();
    start(&mut registry, KILL, false, 1);
    assert_eq!(codes(&ask(&mut registry, 90)), ["older-processes"]);
    // One whose start fell into a time in which events were lost.
    let mut registry = host();
    start(&mut registry, KILL, true, 1);
    registry.observed.lost("capability_use", at(1));
    assert_eq!(codes(&ask(&mut registry, 90)), ["older-processes"]);
    // A kernel that does not tell.
    let mut registry = host();
    start(&mut registry, KILL, true, 1);
    registry.observed.hook_failed("capability_use", at(2));
    let blind = ask(&mut registry, 90);
    assert_eq!(blind.verdict, Verdict::CannotTell);
    assert!(codes(&blind).contains(&"not-seen-here"), "{blind:#?}");
    // What is asked for all the time, where that is not told from a use.
    let mut registry = host();
    start(&mut registry, CHOWN | ADMIN, true, 1);
    uses(&mut registry, CHOWN, false);
    assert_eq!(codes(&ask(&mut registry, 90)), ["not-told"]);
    uses(&mut registry, CHOWN, true);
    let exact = ask(&mut registry, 90);
    assert_eq!(exact.capabilities.unused, ["CAP_SYS_ADMIN"]);
    // Losses of other hooks hide nothing.
    let mut registry = host();
    start(&mut registry, KILL, true, 1);
    registry.observed.lost("dns", at(1));
    assert_eq!(ask(&mut registry, 90).verdict, Verdict::No);
    assert_eq!(ask(&mut host(), 90).verdict, Verdict::CannotTell);
}

/// A key of the service's account.
fn key(registry: &mut Registry, name: &str, mode: u32) {
    let located = LocatedFile {
        file: FileId {
            dev: 1,
            ino: u64::from(name.as_bytes()[0]),
        },
        path: format!("/srv/{name}").into(),
        uid: 998,
        gid: 998,
        mode,
        modified: at(0),
        credentials: vec![Credential {
            fingerprint: Fingerprint::new(name),
            kind: CredentialKind::SshPrivateKey,
            label: None,
            subject: None,
            issued: None,
            expires: None,
            bound: None,
        }],
    };
    registry.locate(&located, at(1));
    let name = Fingerprint::new(name);
    registry.observed.present(&name, true, at(1));
}

#[test]
fn a_credential_that_it_can_read_and_never_does_is_named() {
    let mut registry = host();
    start(&mut registry, 0, true, 1);
    for (name, mode) in [("used", 0o600), ("idle", 0o600), ("none", 0o060)] {
        key(&mut registry, name, mode);
    }
    let of = UsageKey {
        fingerprint: Fingerprint::new("used"),
        identity: service(),
        exe: "/usr/bin/api".to_owned(),
        destination: String::new(),
    };
    registry.usage.note(of, 1, at(2));
    let early = ask(&mut registry, 20);
    assert_eq!(codes(&early), ["unclear-credentials"]);
    let late = ask(&mut registry, 40);
    let told = late.credentials.iter();
    let told: Vec<_> = told
        .map(|of| (of.fingerprint.as_str(), of.verdict, of.given_by))
        .collect();
    let expected = [
        ("idle", Verdict::No, GivenBy::Owner),
        ("used", Verdict::Yes, GivenBy::Owner),
    ];
    assert_eq!(told, expected, "the owner has no right to `none`");
    assert_eq!(codes(&late), ["unused-credentials"]);
    // A read that was lost is none that was not done.
    registry.observed.lost("file_read", at(20));
    let subject = Target::Credential(Fingerprint::new("idle"));
    assert!(registry.observed.pattern(&subject).is_some());
    registry.observed.hook_failed("file_read", at(2));
    let blind = ask(&mut registry, 40);
    assert_eq!(blind.verdict, Verdict::CannotTell, "{blind:#?}");
}
