//! A yes is never wrong where use is regular, and is said at last where use has ended.

use proptest::prelude::*;

use super::super::Observed;
use super::*;
use crate::model::{Credential, FileId, Fingerprint, LocatedFile, RegistryChange, UsageKey};

const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;
const REQUIREMENTS: Requirements = Requirements {
    least: Duration::from_secs(30 * 86_400),
    unknown_rhythm: Duration::from_secs(400 * 86_400),
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn key() -> Fingerprint {
    Fingerprint::new("x")
}

/// A host that is watched from `start` on, with one key.
fn host(start: i64) -> Registry {
    let mut registry = Registry::default();
    let credential = Credential {
        fingerprint: key(),
        kind: CredentialKind::SshPrivateKey,
        label: None,
        subject: None,
        issued: None,
        expires: None,
        bound: None,
    };
    let located = LocatedFile {
        file: FileId { dev: 1, ino: 1 },
        path: "/srv/key".into(),
        uid: 1_001,
        gid: 1_001,
        mode: 0o600,
        modified: at(0),
        credentials: vec![credential],
    };
    registry.locate(&located, at(start));
    registry.observed.begin(None, false, at(start));
    registry.observed.present(&key(), true, at(start));
    registry
}

fn used(registry: &mut Registry, time: i64) {
    let key = UsageKey {
        fingerprint: key(),
        identity: Selector::unix_user("svc"),
        exe: "/usr/bin/ssh".to_owned(),
        destination: String::new(),
    };
    registry.observed.used(&key.fingerprint, 1, at(time));
    registry.usage.note(key, 1, at(time));
}

fn ask(registry: &mut Registry, living: &Living, time: i64) -> Assessment {
    registry.observed.pass(at(time));
    let subject = Target::Credential(key());
    assess(registry, &subject, living, REQUIREMENTS, at(time))
}

fn verdict(registry: &mut Registry, time: i64) -> Verdict {
    ask(registry, &Living::default(), time).verdict
}

fn codes(of: &Assessment) -> Vec<&str> {
    of.reasons.iter().map(|reason| &*reason.code).collect()
}

/// What hides a use.
#[derive(Debug, Clone, Copy)]
enum Hides {
    Stop,
    Boot,
    Held,
    Loss,
    Hook,
}

#[derive(Debug, Clone)]
struct History {
    /// Seconds between uses, on average.
    period: i64,
    /// Each pause as thousandths of the period.
    pauses: Vec<i64>,
    /// The first use, as thousandths of the period.
    phase: i64,
    /// How many uses there are at all.
    lives: usize,
    /// Beginning and length of what is not seen, in seconds.
    holes: Vec<(i64, i64, Hides)>,
}

const YEARS: i64 = 3 * 365 * DAY;

fn histories() -> impl Strategy<Value = History> {
    let hides = prop::sample::select(vec![
        Hides::Stop,
        Hides::Boot,
        Hides::Held,
        Hides::Loss,
        Hides::Hook,
    ]);
    let length = prop_oneof![
        3 => 1..HOUR,
        2 => HOUR..5 * DAY,
        1 => 5 * DAY..120 * DAY
    ];
    let holes = proptest::collection::vec((0..YEARS, length, hides), 0..12);
    let period = prop_oneof![HOUR..2 * DAY, 2 * DAY..60 * DAY, 60 * DAY..260 * DAY];
    let pauses = (0..=500i64)
        .prop_flat_map(|jitter| proptest::collection::vec(1_000 - jitter..=1_000 + jitter, 2_000));
    (period, pauses, 0..1_500i64, 0..2_000usize, holes).prop_map(
        |(period, pauses, phase, lives, holes)| History {
            period,
            pauses,
            phase,
            lives,
            holes,
        },
    )
}

impl History {
    fn uses(&self) -> Vec<i64> {
        let mut time = self.period * self.phase / 1_000;
        let mut uses = Vec::new();
        for pause in self.pauses.iter().take(self.lives) {
            uses.push(time);
            time += self.period * pause / 1_000;
        }
        uses.retain(|time| *time < YEARS);
        uses
    }

    /// Holes one after the other: a daemon that does not run is not held.
    fn holes(&self) -> Vec<(i64, i64, Hides)> {
        let mut holes = self.holes.clone();
        holes.sort_by_key(|hole| hole.0);
        let mut free = 0;
        holes.retain_mut(|(from, length, _)| {
            let is_free = *from > free;
            if is_free {
                free = *from + *length + 120;
            }
            is_free
        });
        holes
    }

    /// Plays it and asks every few days. Every yes is compared with what was really used later.
    fn play(&self) -> Result<(), TestCaseError> {
        let mut registry = host(0);
        let uses = self.uses();
        let holes = self.holes();
        let is_hidden = |time: i64| {
            let mut holes = holes.iter();
            holes.any(|(from, length, _)| (*from..=from + length).contains(&time))
        };
        let mut moments: Vec<(i64, Option<usize>)> = Vec::new();
        for (number, (from, length, _)) in holes.iter().enumerate() {
            moments.push((from + length, Some(number)));
        }
        moments.extend(
            (0..YEARS)
                .step_by(usize::try_from(3 * DAY).unwrap())
                .map(|t| (t, None)),
        );
        moments.extend(uses.iter().map(|time| (*time, None)));
        moments.sort_by_key(|of| of.0);
        let mut next_use = uses.iter().peekable();
        for (now, hole) in moments {
            while let Some(time) = next_use.next_if(|time| **time <= now) {
                if !is_hidden(*time) {
                    used(&mut registry, *time);
                }
            }
            if let Some((from, length, hides)) = hole.map(|hole| holes[hole]) {
                let to = at(from + length);
                let observed = &mut registry.observed;
                match hides {
                    Hides::Stop => observed.begin(Some(at(from)), false, to),
                    Hides::Boot => observed.begin(Some(at(from)), true, to),
                    Hides::Held => observed.held(length.unsigned_abs() * 1_000_000_000, to),
                    Hides::Loss => (from..=from + length)
                        .step_by(60)
                        .for_each(|time| observed.lost("file_read", at(time))),
                    Hides::Hook => {
                        observed.hook_failed("file_read", at(from));
                        observed.hook_works("file_read", to);
                    }
                }
                continue;
            }
            if is_hidden(now) {
                continue;
            }
            let said = ask(&mut registry, &Living::default(), now);
            if said.verdict == Verdict::Yes {
                let later = uses.iter().find(|time| **time > now);
                prop_assert_eq!(later, None, "at day {}: {:#?}", now / DAY, said);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_yes_is_followed_by_a_use(history in histories()) {
        history.play()?;
    }
}

#[test]
fn what_was_used_daily_and_has_ended_is_safe_after_the_least_time() {
    let mut registry = host(0);
    for day in 1..=60 {
        used(&mut registry, day * DAY);
    }
    let now = |days| 60 * DAY + days * DAY;
    assert_eq!(verdict(&mut registry, now(1)), Verdict::No);
    assert_eq!(verdict(&mut registry, now(20)), Verdict::CannotTell);
    let said = ask(&mut registry, &Living::default(), now(31));
    assert_eq!((said.verdict, codes(&said)), (Verdict::Yes, vec!["quiet"]));
    assert_eq!(said.last_used, Some(at(60 * DAY)));
    assert_eq!(said.last_used_by, Some(Selector::unix_user("svc")));
    assert!(
        said.caveats
            .iter()
            .any(|text| text.contains("only this host"))
    );
}

#[test]
fn what_was_used_monthly_needs_more_than_the_double_of_its_longest_pause() {
    let mut registry = host(0);
    let days = [10, 40, 75, 105, 135, 165, 195, 225];
    days.iter().for_each(|day| used(&mut registry, day * DAY));
    assert_eq!(
        verdict(&mut registry, 255 * DAY),
        Verdict::No,
        "within its rhythm"
    );
    assert_eq!(
        verdict(&mut registry, (225 + 69) * DAY),
        Verdict::CannotTell
    );
    assert_eq!(verdict(&mut registry, (225 + 91) * DAY), Verdict::Yes);
}

#[test]
fn a_burst_tells_nothing_of_the_month_and_what_was_never_used_needs_a_year() {
    let mut registry = host(0);
    for minute in 0..10 {
        used(&mut registry, DAY + minute * 60);
    }
    assert_eq!(verdict(&mut registry, 100 * DAY), Verdict::CannotTell);
    assert_eq!(verdict(&mut registry, 402 * DAY), Verdict::Yes);
    let mut never = host(0);
    assert_eq!(verdict(&mut never, 399 * DAY), Verdict::CannotTell);
    assert_eq!(verdict(&mut never, 401 * DAY), Verdict::Yes);
}

#[test]
fn a_short_gap_hides_a_rare_use_and_not_a_frequent_one() {
    for (pause, expected) in [(30 * DAY, Verdict::CannotTell), (DAY, Verdict::Yes)] {
        let mut registry = host(0);
        let last = 12 * 30 * DAY;
        (0..=last)
            .step_by(pause.unsigned_abs() as usize)
            .for_each(|time| used(&mut registry, time));
        let boot = last + pause;
        registry.observed.begin(Some(at(boot)), true, at(boot + 60));
        let said = ask(&mut registry, &Living::default(), last + 85 * DAY);
        assert_eq!(said.verdict, expected, "{said:#?}");
        if expected == Verdict::CannotTell {
            assert_eq!(codes(&said), ["reboots"]);
        }
    }
}

#[test]
fn who_lives_with_it_speaks_against_it() {
    let mut registry = host(0);
    (1..=60).for_each(|day| used(&mut registry, day * DAY));
    let holder = || {
        vec![Holder {
            pid: 42,
            exe: Some("/usr/sbin/nginx".to_owned()),
        }]
    };
    let (none, now) = (Living::default(), 120 * DAY);
    for (living, verdict, code) in [
        (none.clone(), Verdict::Yes, "quiet"),
        (
            Living {
                holders: holder(),
                ..none.clone()
            },
            Verdict::No,
            "held",
        ),
        (
            Living {
                older: holder(),
                ..none.clone()
            },
            Verdict::CannotTell,
            "older-processes",
        ),
    ] {
        let said = ask(&mut registry, &living, now);
        assert_eq!((said.verdict, codes(&said)[0]), (verdict, code));
    }
    let mut said = ask(&mut registry, &none, now);
    said.add_open(&[], 2);
    assert_eq!(said.verdict, Verdict::Yes);
    said.add_open(&holder(), 0);
    assert_eq!((said.verdict, codes(&said)[0]), (Verdict::No, "open"));
}

#[test]
fn what_lies_nowhere_or_was_used_after_it_was_retired_or_is_a_decoy_is_no_yes() {
    let mut registry = host(0);
    (1..=60).for_each(|day| used(&mut registry, day * DAY));
    let now = 120 * DAY;
    let mut gone = registry.clone();
    gone.observed.present(&key(), false, at(now));
    assert_eq!(codes(&ask(&mut gone, &Living::default(), now)), ["nowhere"]);
    for (state, code) in [
        (CredentialState::Retired, "used-since-retired"),
        (CredentialState::Decoy, "decoy"),
    ] {
        let change = RegistryChange {
            target: Target::Credential(key()),
            state,
            since: None,
            by: "ana".to_owned(),
            reason: None,
            owner: None,
        };
        let mut registry = registry.clone();
        registry.change(&change, at(50 * DAY));
        let said = ask(&mut registry, &Living::default(), now);
        assert_eq!((said.verdict, codes(&said)[0]), (Verdict::No, code));
    }
}

#[test]
fn a_host_that_was_never_watched_or_is_not_any_more_cannot_tell() {
    let mut registry = host(0);
    (1..=60).for_each(|day| used(&mut registry, day * DAY));
    let subject = Target::Credential(key());
    let living = Living::default();
    registry.observed.pass(at(61 * DAY));
    let said = assess(&registry, &subject, &living, REQUIREMENTS, at(200 * DAY));
    assert_eq!(said.verdict, Verdict::CannotTell);
    registry.observed = Observed::default();
    let said = assess(&registry, &subject, &living, REQUIREMENTS, at(200 * DAY));
    assert_eq!(codes(&said), ["not-watched"]);
}
