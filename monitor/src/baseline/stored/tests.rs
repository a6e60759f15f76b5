use proptest::prelude::*;

use super::*;
use crate::baseline::{Contact, Destination, Phase, Role, Way, Who};
use crate::model::Protocol;

const HOUR: u32 = 3_600;
const BEGIN: u32 = 20_000 * 86_400;

fn at(second: u32) -> Timestamp {
    Timestamp(i64::from(second) * 1_000_000_000)
}

fn user(name: u8) -> Selector {
    Selector::unix_user(&format!("svc{name}"))
}

fn contact(to: u8, port: u16, time: u32, phase: Phase) -> Contact {
    let address = std::net::Ipv4Addr::new(198, 51, to % 3, to).into();
    Contact {
        time: at(time),
        destination: Destination::new(address, port, Protocol::Tcp, Way::Out),
        domain: None,
        name: None,
        phase,
    }
}

#[derive(Debug, Clone)]
enum Act {
    Opens(u8, u8, u16),
    Sends(u8, u8, u64),
    Runs(u8, u8),
    Passes(u32),
    Unwatched(u32),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let port = prop::sample::select(vec![22_u16, 443, 5432]);
    let act = prop_oneof![
        4 => (0..4_u8, 0..90_u8, port).prop_map(|(who, to, port)| Act::Opens(who, to, port)),
        2 => (0..4_u8, 0..90_u8, 0..1_u64 << 30).prop_map(|(who, to, sent)| Act::Sends(who, to, sent)),
        1 => (0..4_u8, 0..5_u8).prop_map(|(who, program)| Act::Runs(who, program)),
        2 => (1..30 * HOUR).prop_map(Act::Passes),
        1 => (1..30 * HOUR).prop_map(Act::Unwatched),
    ];
    prop::collection::vec(act, 1..120)
}

/// Takes them in from a moment on. Returns what was told, and the moment at which it ends.
fn take(baselines: &mut Baselines, begin: u32, acts: &[Act]) -> (Vec<String>, u32) {
    let (mut now, mut told) = (begin, Vec::new());
    for act in acts {
        let program = |of: u8| format!("/usr/bin/{of}");
        let mut contacted = |baselines: &mut Baselines, who: u8, contact: &Contact| {
            let (identity, program) = (user(who), program(who));
            let who = Who {
                identity: &identity,
                program: Some(&program),
                role: Role::Program,
            };
            let anomalies = baselines.contact(who, contact);
            told.extend(anomalies.iter().map(|of| format!("{of:?}")));
        };
        match act {
            Act::Opens(who, to, port) => {
                contacted(baselines, *who, &contact(*to, *port, now, Phase::Opened));
            }
            Act::Sends(who, to, sent) => {
                let phase = Phase::Carried {
                    sent: *sent,
                    received: sent / 3,
                    is_over: true,
                };
                contacted(baselines, *who, &contact(*to, 443, now, phase));
            }
            Act::Runs(who, of) => {
                let (identity, program) = (user(*who), program(*of));
                let who = Who {
                    identity: &identity,
                    program: Some(&program),
                    role: Role::Program,
                };
                let anomalies = baselines.began(who, at(now));
                told.extend(anomalies.iter().map(|of| format!("{of:?}")));
            }
            Act::Passes(seconds) => now += seconds,
            Act::Unwatched(seconds) => {
                baselines.unwatched(at(now), at(now + seconds));
                now += seconds;
            }
        }
    }
    (told, now)
}

fn all_of(baselines: &mut Baselines, now: u32) -> Vec<StoredBaseline> {
    for (_, baseline) in &mut baselines.identities {
        baseline.is_unstored = true;
    }
    baselines.take_unstored(at(now), 0).changed
}

fn restored(from: &[StoredBaseline]) -> Baselines {
    let mut baselines = Baselines::new(1.0);
    from.iter().for_each(|of| baselines.restore(of));
    assert_eq!(baselines.take_refused(), []);
    baselines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_stored_comes_back_to_the_last_bit(acts in acts()) {
        let mut baselines = Baselines::new(1.0);
        let (_, now) = take(&mut baselines, BEGIN, &acts);
        let stored = all_of(&mut baselines, now);
        let mut back = restored(&stored);
        for ((name, before), (other, after)) in baselines.identities.iter().zip(&back.identities) {
            prop_assert_eq!((name, &before.destinations), (other, &after.destinations));
        }
        prop_assert_eq!(&back.host.kept, &baselines.host.kept);
        prop_assert_eq!(&back.host.budget, &baselines.host.budget);
        prop_assert_eq!(all_of(&mut back, now), stored);
    }

    #[test]
    fn two_that_take_back_the_same_go_on_alike(acts in acts(), more in acts()) {
        let mut baselines = Baselines::new(1.0);
        let (_, now) = take(&mut baselines, BEGIN, &acts);
        let stored = all_of(&mut baselines, now);
        let (mut one, mut other) = (restored(&stored), restored(&stored));
        prop_assert_eq!(take(&mut one, now, &more), take(&mut other, now, &more));
        prop_assert_eq!(all_of(&mut one, now), all_of(&mut other, now));
    }

    #[test]
    fn damage_is_refused_or_harmless(
        acts in acts(),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut baselines = Baselines::new(1.0);
        let (_, now) = take(&mut baselines, BEGIN, &acts);
        let mut back = Baselines::new(1.0);
        for mut of in all_of(&mut baselines, now) {
            for (place, value) in &places {
                let index = place.index(of.body.len());
                of.body[index] ^= value;
            }
            if let Some(cut) = cut {
                of.body.truncate(cut.index(of.body.len()));
            }
            back.restore(&of);
        }
        take(&mut back, now, &acts);
    }
}

/// Four weeks of a backup at two in the morning.
fn backup() -> (Baselines, u32) {
    let mut baselines = Baselines::new(1.0);
    let night = |day: u32| {
        [
            Act::Opens(0, 7, 443),
            Act::Sends(0, 7, 200_000 + u64::from(day) * 1_000),
            Act::Passes(24 * HOUR),
        ]
    };
    let acts: Vec<_> = (0..28).flat_map(night).collect();
    let (told, now) = take(&mut baselines, BEGIN + 2 * HOUR, &acts);
    assert_eq!(told.len(), 0, "{told:?}");
    (baselines, now)
}

#[test]
fn a_stranger_stays_one_after_a_restart() {
    let (mut baselines, now) = backup();
    let stored = all_of(&mut baselines, now);
    let stranger = [Act::Opens(0, 80, 22)];
    let (told, _) = take(&mut baselines, now, &stranger);
    assert_eq!(told.len(), 1);
    let (told_after, _) = take(&mut restored(&stored), now, &stranger);
    assert_eq!(
        told_after, told,
        "the same, to the last digit of its chance"
    );
    let (usual, _) = take(&mut restored(&stored), now, &[Act::Opens(0, 7, 443)]);
    assert_eq!(usual, Vec::<String>::new());
}

#[test]
fn peers_are_made_of_the_identities() {
    let mut baselines = Baselines::new(1.0);
    let daily = |_| [Act::Opens(1, 9, 443), Act::Passes(24 * HOUR)];
    let acts: Vec<_> = (0..10).flat_map(daily).collect();
    let (_, now) = take(&mut baselines, BEGIN, &acts);
    let stored = all_of(&mut baselines, now);
    let mut back = restored(&stored);
    // Taken in twice, one identity is one peer.
    stored.iter().for_each(|of| back.restore(of));
    let (program, of) = (
        crate::baseline::hash(&"/usr/bin/1"),
        contact(9, 443, 0, Phase::Opened),
    );
    let thing = crate::baseline::hash(&of.destination);
    let level = crate::baseline::Level::Destination;
    let before = baselines.host.groups.tell(program, level, thing);
    assert_eq!(before.users, 1);
    assert_eq!(back.host.groups.tell(program, level, thing), before);
}

#[test]
fn another_version_is_refused_and_learned_anew() {
    let (mut baselines, now) = backup();
    let stored = all_of(&mut baselines, now);
    let mut back = Baselines::new(1.0);
    for of in &stored {
        back.restore(&StoredBaseline {
            version: VERSION + 1,
            ..of.clone()
        });
    }
    let refused = back.take_refused();
    let said: Vec<_> = refused.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].contains("unix:user:svc0") && said[0].contains("learned anew"),
        "{said:?}"
    );
    assert!(back.is_empty());
    take(&mut back, now, &[Act::Opens(0, 7, 443)]);
    assert_eq!(back.len(), 1);
}

#[test]
fn only_what_changed_is_handed_out_and_no_sooner_than_it_may() {
    let (mut baselines, now) = backup();
    let first = baselines.take_unstored(at(now), 300);
    assert_eq!(first.changed.len(), 2, "the identity and the host");
    assert!(baselines.take_unstored(at(now), 300).is_empty());
    take(&mut baselines, now, &[Act::Opens(0, 7, 443)]);
    assert!(baselines.take_unstored(at(now + 299), 300).is_empty());
    assert_eq!(baselines.take_unstored(at(now + 300), 300).changed.len(), 2);
    take(&mut baselines, now, &[Act::Opens(0, 7, 443)]);
    assert_eq!(
        baselines.take_unstored(at(now + 301), 0).changed.len(),
        2,
        "at the end"
    );
}

#[test]
fn time_that_nobody_watched_teaches_no_silence() {
    let mut baselines = Baselines::new(1.0);
    let hourly = |_| [Act::Opens(0, 7, 443), Act::Passes(HOUR)];
    let acts: Vec<_> = (0..24 * 14).flat_map(hourly).collect();
    let (_, now) = take(&mut baselines, BEGIN, &acts);
    let hours = |of: &Baselines| of.identities[&user(0)].calendar.hours();
    let (before, week) = (hours(&baselines), now + 7 * 24 * HOUR);
    baselines.unwatched(at(now), at(week));
    assert!((hours(&baselines) - before).abs() <= 1.0);
    // What is told again of a time that is over changes nothing.
    let stored = all_of(&mut baselines, week);
    baselines.unwatched(at(now), at(week));
    baselines.unwatched(at(BEGIN), at(BEGIN + HOUR));
    assert_eq!(all_of(&mut baselines, week), stored);
    // Six hours of silence that were watched, before a restart of an hour.
    let silent = week + 6 * HOUR;
    baselines.unwatched(at(silent), at(silent + HOUR));
    let counted = hours(&baselines) - before;
    assert!((5.0..7.0).contains(&counted), "{counted}");
    // A clock that goes back a day begins its hours anew.
    baselines.clock_set(at(silent + HOUR), at(silent - 23 * HOUR));
    let hour = baselines.identities[&user(0)].calendar.hour();
    assert_eq!(hour, (silent - 23 * HOUR) / HOUR);
}
