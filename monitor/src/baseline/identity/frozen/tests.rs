use proptest::prelude::*;

use super::*;
use crate::baseline::destinations::Known;
use crate::baseline::{
    Anomaly, Baselines, Contact, IDENTITIES, Phase, Role, Test, VERSION, Way, Who, WordError,
};
use crate::model::{BaselineWord, Protocol, Selector, StoredBaseline, Timestamp, Word};

const HOUR: u32 = 3_600;
const DAY: u32 = 24 * HOUR;
/// A Monday.
const BEGIN: u32 = 1_772_409_600;

fn web() -> Selector {
    Selector::systemd_unit("web.service")
}

fn at(second: u32) -> Timestamp {
    Timestamp::from_unix_seconds(second.into())
}

fn to(last: u8, port: u16) -> Destination {
    let address = std::net::Ipv4Addr::new(198, 51, last % 5, last);
    Destination::new(address.into(), port, Protocol::Tcp, Way::Out)
}

fn stranger() -> Destination {
    let address = std::net::Ipv4Addr::new(203, 0, 113, 9);
    Destination::new(address.into(), 443, Protocol::Tcp, Way::Out)
}

fn by<'a>(identity: &'a Selector, program: &'a str) -> Who<'a> {
    Who {
        identity,
        program: Some(program),
        role: Role::Program,
    }
}

/// A host with one service, and what is told of it.
struct Bench(Baselines);

impl Bench {
    /// Four weeks of a service that calls three others every half hour.
    fn ordinary() -> Self {
        let mut bench = Self(Baselines::new(1.0));
        assert_eq!(bench.days(0..28), []);
        bench
    }

    fn call(&mut self, when: u32, destination: Destination, sent: u64) -> Vec<Anomaly> {
        let identity = web();
        let who = by(&identity, "/usr/sbin/web");
        let contact = |phase| Contact {
            time: at(when),
            destination,
            domain: None,
            name: None,
            phase,
        };
        let mut told = self.0.contact(who, &contact(Phase::Opened));
        let carried = Phase::Carried {
            sent,
            received: 400,
            is_over: true,
        };
        told.extend(self.0.contact(who, &contact(carried)));
        told
    }

    fn runs(&mut self, when: u32, program: &str) -> Vec<Anomaly> {
        self.0.began(by(&web(), program), at(when))
    }

    fn days(&mut self, days: std::ops::Range<u32>) -> Vec<Anomaly> {
        let mut told = Vec::new();
        for when in (days.start * DAY..days.end * DAY).step_by(600) {
            if when % HOUR == 0 {
                told.extend(self.runs(BEGIN + when, "/usr/sbin/web"));
            }
            for last in 1..=3 {
                let when = BEGIN + when + u32::from(last);
                let sent = 2_000 + u64::from(when % 977);
                told.extend(self.call(when, to(last, 443), sent));
            }
        }
        told
    }

    fn say(&mut self, word: Word, when: u32) -> crate::baseline::WordView {
        self.0.may_say(&web(), word).unwrap();
        let said = BaselineWord {
            identity: web(),
            word,
            by: "ana".to_owned(),
            reason: "case 17".to_owned(),
        };
        self.0.say(&said, at(when))
    }

    fn of(&self) -> &Baseline {
        &self.0.identities[&web()]
    }

    fn standing(&self, of: Destination) -> Option<Standing> {
        let mut table = self.of().destinations.iter();
        table
            .find(|known| known.destination == of)
            .map(|known| known.standing)
    }

    /// How many of the host are said to have used it.
    fn users(&mut self, of: Destination) -> u32 {
        let program = crate::baseline::hash(&"/usr/sbin/other");
        let level = Level::Destination;
        let thing = thing(of, level);
        self.0.host.groups.tell(program, level, thing).users
    }

    fn stored(&mut self, when: u32) -> Vec<StoredBaseline> {
        for (_, baseline) in &mut self.0.identities {
            baseline.is_unstored = true;
        }
        self.0.take_unstored(at(when), 0).changed
    }

    fn restarted(&mut self, when: u32) -> Self {
        let mut back = Baselines::new(1.0);
        for of in self.stored(when) {
            back.restore(&of);
        }
        assert_eq!(back.take_refused(), []);
        Self(back)
    }
}

fn reference(of: &Baseline) -> Vec<u8> {
    let frozen = of.spoken.frozen.as_ref().expect("it is frozen");
    postcard::to_stdvec(&frozen.reference).unwrap()
}

#[test]
fn repeating_something_makes_it_ordinary_unless_it_is_frozen() {
    let beside = to(6, 443);
    for is_frozen in [false, true] {
        let mut bench = Bench::ordinary();
        // Whoever stays under the budget is told of by nobody.
        bench.0.set_budget(1e-6);
        let programs = bench.of().programs.len();
        if is_frozen {
            bench.say(Word::Freeze, BEGIN + 28 * DAY);
        }
        for day in 28..48 {
            assert_eq!(bench.days(day..day + 1), []);
            let noon = BEGIN + day * DAY + 12 * HOUR;
            assert_eq!(bench.call(noon, beside, 2_000), []);
            assert_eq!(bench.runs(noon, "/usr/bin/backup"), []);
        }
        // What a day has taught is lost with the next.
        bench.days(48..49);
        let learned = bench.of().programs.len() - programs;
        let standing = bench.standing(beside);
        let users = bench.users(beside);
        let expected = if is_frozen {
            (Some(Standing::New), 0, 0)
        } else {
            (Some(Standing::Trusted), 1, 1)
        };
        assert_eq!((standing, learned, users), expected);
    }
}

#[test]
fn what_grows_while_it_is_frozen_is_held_against_what_was() {
    let grow = |bench: &mut Bench| {
        let mut told = Vec::new();
        let mut sent = 200_000_f64;
        for day in 28..58 {
            sent *= 1.12;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bytes of a test"
            )]
            let of_hour = sent as u64;
            for hour in 0..24 {
                let when = BEGIN + day * DAY + hour * HOUR;
                for anomaly in bench.call(when, to(1, 443), of_hour) {
                    told.push((day, anomaly.test));
                }
            }
        }
        told
    };
    let mut frozen = Bench::ordinary();
    frozen.say(Word::Freeze, BEGIN + 28 * DAY);
    let before = reference(frozen.of());
    let told_frozen = grow(&mut frozen);
    assert_eq!(reference(frozen.of()), before);
    let slow = |told: &[(u32, Test)]| {
        let all = told.iter();
        all.filter(|(_, test)| matches!(test, Test::Leak | Test::Drift | Test::Volume))
            .count()
    };
    let told = grow(&mut Bench::ordinary());
    assert!(
        slow(&told_frozen) >= slow(&told).max(1),
        "{told_frozen:?} {told:?}"
    );
    // What it sends at the end is told of as long as it lasts.
    let last = told_frozen.iter().map(|(day, _)| *day).max();
    assert!(last >= Some(54), "{told_frozen:?}");
}

#[test]
fn what_is_frozen_from_its_first_hour_tells_nobody_by_which_program_it_connects() {
    let callers = |bench: &mut Bench| {
        let program = super::super::caller_thing(crate::baseline::hash(&"/usr/sbin/web"));
        let groups = &mut bench.0.host.groups;
        groups
            .tell(super::super::CALLERS, Level::Service, program)
            .users
    };
    for (is_frozen, users) in [(true, 0), (false, 1)] {
        let mut bench = Bench(Baselines::new(1.0));
        bench.runs(BEGIN, "/usr/sbin/web");
        if is_frozen {
            bench.say(Word::Freeze, BEGIN + 1);
        }
        bench.call(BEGIN + 2, to(1, 443), 2_000);
        assert_eq!(callers(&mut bench), users, "{is_frozen}");
    }
}

#[test]
fn a_stranger_is_told_once_and_stays_one_until_it_is_approved() {
    let mut bench = Bench::ordinary();
    let begin = BEGIN + 28 * DAY;
    bench.say(Word::Freeze, begin);
    let mut told = Vec::new();
    for day in 28..40 {
        told.extend(bench.days(day..day + 1));
        told.extend(bench.call(BEGIN + day * DAY + 12 * HOUR, stranger(), 2_000));
    }
    let new = told.iter().filter(|of| of.test == Test::First).count();
    assert_eq!(new, 1, "{told:#?}");
    assert_eq!(bench.standing(stranger()), Some(Standing::Suspect));
    let mut back = bench.restarted(BEGIN + 40 * DAY);
    assert_eq!((back.users(stranger()), bench.users(stranger())), (0, 0));

    let view = bench.say(Word::Approve, BEGIN + 40 * DAY);
    assert_eq!((view.destinations, view.programs), (1, 0));
    assert!(view.frozen.is_some(), "it stays frozen");
    assert!(bench.users(stranger()) > 0);
    for day in 40..44 {
        told = bench.days(day..day + 1);
        told.extend(bench.call(BEGIN + day * DAY + 12 * HOUR, stranger(), 2_000));
        assert_eq!(told, []);
    }
    let standing = bench.standing(stranger()).unwrap();
    assert!(
        matches!(standing, Standing::Trusted | Standing::Approved),
        "{standing:?}"
    );
    let other = Destination::new([203, 0, 113, 10].into(), 22, Protocol::Tcp, Way::Out);
    assert_eq!(bench.call(BEGIN + 44 * DAY, other, 2_000).len(), 1);
}

#[test]
fn approving_makes_what_was_told_ordinary() {
    let mut bench = Bench::ordinary();
    let when = BEGIN + 28 * DAY;
    assert_eq!(bench.call(when, stranger(), 2_000).len(), 1);
    assert_eq!(bench.runs(when, "/tmp/x").len(), 1);
    // Told again on the next day, for it was not learned.
    assert_eq!(bench.runs(when + DAY, "/tmp/x").len(), 1);
    let view = bench.say(Word::Approve, when + DAY + HOUR);
    assert_eq!((view.destinations, view.programs), (1, 1));
    assert_eq!(view.frozen, None);
    assert_eq!(bench.standing(stranger()), Some(Standing::Approved));
    assert_eq!(bench.runs(when + 2 * DAY, "/tmp/x"), []);
    assert_eq!(bench.call(when + 2 * DAY, stranger(), 2_000), []);
    let again = bench.say(Word::Approve, when + 2 * DAY + HOUR);
    assert_eq!((again.destinations, again.programs), (0, 0));
}

#[test]
fn what_is_forgotten_starts_cold() {
    let mut bench = Bench::ordinary();
    let when = BEGIN + 28 * DAY;
    bench.say(Word::Freeze, when);
    bench.say(Word::Forget, when + 60);
    assert!(bench.0.is_empty() && bench.0.habits(&web()).is_none());
    let unstored = bench.0.take_unstored(at(when + 60), 300);
    assert_eq!(
        (unstored.forgotten, unstored.said),
        (vec![web()], vec![web()])
    );
    bench.call(when + 120, to(1, 443), 2_000);
    assert!(bench.of().maturity().hours < 1.0);
    assert_eq!(bench.standing(to(1, 443)), Some(Standing::New));
    assert!(bench.of().spoken.frozen.is_none());
}

#[test]
fn it_is_learned_again_from_where_it_was_frozen() {
    let mut bench = Bench::ordinary();
    let begin = BEGIN + 28 * DAY;
    let hours = bench.of().maturity().hours;
    bench.say(Word::Freeze, begin);
    bench.days(28..35);
    assert!((bench.of().maturity().hours - hours).abs() < 0.1);
    let view = bench.say(Word::Unfreeze, BEGIN + 35 * DAY);
    assert_eq!(view.frozen, None);
    assert_eq!(bench.days(35..42), []);
    let learned = bench.of().maturity().hours - hours;
    assert!(learned > 100.0, "{learned}");
}

#[test]
fn a_word_that_cannot_be_taken_says_why() {
    let mut bench = Bench::ordinary();
    let when = BEGIN + 28 * DAY;
    let may = |bench: &Bench, word| bench.0.may_say(&web(), word).unwrap_err().to_string();
    assert!(may(&bench, Word::Unfreeze).contains("is not frozen"));
    bench.say(Word::Freeze, when);
    let again = may(&bench, Word::Freeze);
    assert!(
        again.contains("by ana") && again.contains("unfreeze"),
        "{again}"
    );
    let like = Selector::systemd_unit("wep.service");
    let error = bench.0.may_say(&like, Word::Approve).unwrap_err();
    assert_eq!(
        error,
        WordError::Unknown {
            identity: like,
            nearest: Some(web())
        }
    );
    assert!(
        error
            .to_string()
            .ends_with("did you mean systemd:unit:web.service?")
    );
    let other = bench.0.may_say(&Selector::unix_user("ana"), Word::Forget);
    let other = other.unwrap_err().to_string();
    assert!(other.ends_with("`credwatch baseline list` says of whom something was"));
    // In a recording of another host it changes nothing.
    let said = BaselineWord {
        identity: Selector::unix_user("ana"),
        word: Word::Freeze,
        by: "ana".to_owned(),
        reason: "why".to_owned(),
    };
    bench.0.say(&said, at(when));
    assert_eq!(bench.0.len(), 1);
}

#[test]
fn what_is_frozen_leaves_for_nobody() {
    let mut bench = Bench(Baselines::new(1.0));
    bench.call(BEGIN, to(1, 443), 100);
    bench.say(Word::Freeze, BEGIN + 1);
    for of in 0..u32::try_from(IDENTITIES).unwrap() + 10 {
        let identity = Selector::systemd_unit(&format!("unit-{of}"));
        let contact = Contact {
            time: at(BEGIN + 2 + of),
            destination: to(1, 443),
            domain: None,
            name: None,
            phase: Phase::Opened,
        };
        bench.0.contact(by(&identity, "/usr/sbin/x"), &contact);
    }
    assert_eq!(bench.0.len(), IDENTITIES);
    assert!(bench.of().spoken.frozen.is_some());
}

#[test]
fn what_the_form_before_stored_is_read() {
    let mut bench = Bench::ordinary();
    let stored = bench.stored(BEGIN + 28 * DAY);
    let mut back = Baselines::new(1.0);
    for of in &stored {
        assert_eq!(of.version, VERSION);
        let mut body = of.body.clone();
        // No program was told and nothing is frozen: two bytes.
        let behind = match of.identity {
            Some(_) => vec![0, 0],
            None => postcard::to_stdvec(&bench.0.digest).unwrap(),
        };
        assert_eq!(body.split_off(body.len() - behind.len()), behind);
        back.restore(&StoredBaseline {
            version: VERSION - 1,
            body,
            ..of.clone()
        });
    }
    assert_eq!(back.take_refused(), []);
    let mut back = Bench(back);
    assert_eq!(back.of().destinations, bench.of().destinations);
    assert_eq!(back.stored(BEGIN + 28 * DAY)[0], stored[0]);
}

#[test]
fn what_a_frozen_one_takes_in_memory_is_counted() {
    let mut bench = Bench::ordinary();
    let before = bench.0.bytes(&web()).unwrap();
    bench.say(Word::Freeze, BEGIN + 28 * DAY);
    let frozen = bench.0.bytes(&web()).unwrap();
    assert!(
        frozen > 5 * before / 2 && frozen < 7 * before / 2,
        "{before} {frozen}"
    );
}

#[derive(Debug, Clone)]
enum Act {
    Calls(u8, u16, u64),
    Runs(u8),
    Passes(u32),
    Unwatched(u32),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let port = prop::sample::select(vec![22_u16, 443, 5432]);
    let act = prop_oneof![
        5 => (0..90_u8, port, 0..1_u64 << 30).prop_map(|(to, port, sent)| Act::Calls(to, port, sent)),
        1 => (0..5_u8).prop_map(Act::Runs),
        3 => (1..30 * HOUR).prop_map(Act::Passes),
        1 => (1..30 * HOUR).prop_map(Act::Unwatched),
    ];
    prop::collection::vec(act, 1..120)
}

impl Bench {
    fn take(&mut self, mut now: u32, acts: &[Act]) -> (Vec<Anomaly>, u32) {
        let mut told = Vec::new();
        for act in acts {
            match act {
                Act::Calls(last, port, sent) => {
                    told.extend(self.call(now, to(*last, *port), *sent))
                }
                Act::Runs(of) => told.extend(self.runs(now, &format!("/usr/bin/{of}"))),
                Act::Passes(seconds) => now += seconds,
                Act::Unwatched(seconds) => {
                    self.0.unwatched(at(now), at(now + seconds));
                    now += seconds;
                }
            }
        }
        (told, now)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_that_is_done_moves_the_reference(before in acts(), after in acts()) {
        let mut bench = Bench(Baselines::new(20.0));
        bench.call(BEGIN, to(1, 443), 100);
        let (_, now) = bench.take(BEGIN, &before);
        let groups = bench.users(stranger());
        bench.say(Word::Freeze, now);
        let frozen = reference(bench.of());
        let known = bench.of().spoken.frozen.clone().unwrap().reference;
        let is_known = |of: &Known| known.destinations.find(of.destination) != Place::None;
        let kept = bench.0.host.kept.clone();
        let mut restarted = bench.restarted(now);
        let (_, end) = bench.take(now, &after);
        prop_assert_eq!(reference(bench.of()), frozen.clone());
        prop_assert_eq!(&bench.0.host.kept, &kept, "nothing is taught to the host");
        prop_assert_eq!(bench.users(stranger()), groups);
        restarted.take(now, &after);
        prop_assert_eq!(reference(restarted.of()), frozen);
        for _ in 0..2 {
            let trusted = bench.of().destinations.iter().filter(|of| of.is_trusted());
            prop_assert!(trusted.into_iter().all(is_known));
            bench.say(Word::Unfreeze, end);
            bench.say(Word::Freeze, end);
        }
    }
}
