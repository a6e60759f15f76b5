//! What operators say of baselines, and what stays under the budget: `credwatch baseline
//! approve|forget|freeze|unfreeze|digest`.

use monitor::config::DetectionConfig;
use monitor::control::life::TransitionView;
use monitor::control::protocol::{
    BaselineList, DigestView, Habits, Standing, UntoldView, WordView,
};
use monitor::detection::{Detector, Outcome};
use monitor::model::{
    Alert, AlertStatus, BaselineWord, DetectionId, Fact, Record, Severity, Timestamp, Word,
};

use super::story::{Story, process};
use crate::cli::outcome;

const HOUR: i64 = 3_600_000;
const WHO: &str = "unix:user:deploy";

/// What a service does, day after day.
struct Service {
    story: Story,
    /// Facts before this one were stepped already.
    stepped: usize,
    detector: Detector,
}

impl Service {
    /// One that has called three others every hour for so many days.
    fn watched_for(days: usize) -> Self {
        Self::with_budget(days, 1.0)
    }

    fn with_budget(days: usize, budget: f64) -> Self {
        let mut settings = DetectionConfig::default();
        settings.baseline.budget = budget;
        let mut of = Self {
            story: Story::new(),
            stepped: 0,
            detector: Detector::new(settings),
        };
        of.story.exec(&process(42), "/usr/sbin/web");
        for _ in 0..days {
            assert_eq!(of.day(&[]), []);
        }
        of
    }

    fn calls(&mut self, to: &str, sent: u64) {
        self.story.connect(&process(42), to);
        self.story.wait(500);
        self.story.fact(Fact::SocketClose {
            task: process(42),
            socket: 9,
            destination: to.parse().unwrap(),
            sent,
            received: 900,
        });
    }

    /// A day, at noon of which it also calls others. Returns what was told first of a cause.
    fn day(&mut self, others: &[&str]) -> Vec<Alert> {
        for hour in 0..24 {
            for last in 1..=3 {
                self.calls(&format!("198.51.100.{last}:443"), 20_000);
            }
            if hour == 12 {
                others.iter().for_each(|other| self.calls(other, 2_000));
            }
            self.story.wait(HOUR - 3 * 500);
        }
        let told = self.outcomes().into_iter().flat_map(|of| of.alerts);
        told.filter(|of| of.status == AlertStatus::Open).collect()
    }

    fn say(&mut self, word: Word) -> Outcome {
        self.outcomes();
        self.story.fact(Fact::BaselineWord(BaselineWord {
            identity: WHO.parse().unwrap(),
            word,
            by: "ana".to_owned(),
            reason: "case 17".to_owned(),
        }));
        self.outcomes().remove(0)
    }

    fn outcomes(&mut self) -> Vec<Outcome> {
        let new: Vec<Record> = self.story.records[self.stepped..].to_vec();
        self.stepped = self.story.records.len();
        new.iter().map(|of| self.detector.step(of)).collect()
    }

    fn habits(&self) -> Habits {
        let baselines = &self.detector.state.baselines;
        let mut habits = baselines.habits(&WHO.parse().unwrap()).unwrap();
        habits.summary.frozen = None;
        habits
    }

    fn standing(&self, of: &str) -> Option<Standing> {
        let address: std::net::IpAddr = of.parse().unwrap();
        let habits = self.habits();
        let mut to = habits.where_to.iter();
        to.find(|to| to.address == address).map(|to| to.standing)
    }
}

fn ids(of: &[Alert]) -> Vec<DetectionId> {
    of.iter().map(|of| of.id).collect()
}

#[test]
fn what_is_frozen_is_told_and_not_learned() {
    let mut service = Service::watched_for(28);
    let before = service.habits();
    service.say(Word::Freeze);
    // An attacker who waits until a new place has become ordinary.
    let mut told = service.day(&["203.0.113.9:443"]);
    assert_eq!(ids(&told), [DetectionId::NewDestination]);
    for _ in 0..20 {
        told = service.day(&["203.0.113.9:443", "198.51.100.77:443"]);
        let new = told
            .iter()
            .filter(|of| of.id == DetectionId::NewDestination);
        assert!(new.count() <= 1, "{told:#?}");
    }
    assert_eq!(service.standing("203.0.113.9"), Some(Standing::Suspect));
    let beside = service.standing("198.51.100.77");
    assert!(
        matches!(beside, Some(Standing::New | Standing::Suspect)),
        "{beside:?}"
    );
    service.say(Word::Unfreeze);
    let after = service.habits();
    assert_eq!(after.week, before.week);
    assert_eq!(after.sent_by_hour, before.sent_by_hour);
    assert_eq!(after.summary.services, before.summary.services);
    let trusted = |of: &Habits| {
        let to = of.where_to.iter();
        to.filter(|to| to.standing == Standing::Trusted).count()
    };
    assert_eq!(trusted(&after), trusted(&before));
}

#[test]
fn what_is_approved_ends_and_is_not_told_again() {
    for is_frozen in [false, true] {
        let mut service = Service::watched_for(28);
        if is_frozen {
            service.say(Word::Freeze);
        }
        let told = service.day(&["203.0.113.9:443"]);
        assert_eq!(ids(&told), [DetectionId::NewDestination], "{told:#?}");
        // Another service at another place, a moment before the operator speaks.
        service.calls("203.0.113.10:22", 2_000);
        let outcome = service.say(Word::Approve);
        let ended = outcome.repeated.iter().chain(&outcome.alerts);
        let ended: Vec<_> = ended.map(|of| (of.id, of.status)).collect();
        assert_eq!(
            ended,
            [(DetectionId::NewDestination, AlertStatus::Ended)],
            "{outcome:#?}"
        );
        let view = service.detector.take_said().unwrap();
        assert_eq!((view.destinations, view.alerts), (2, 1));
        assert_eq!(view.frozen.is_some(), is_frozen);
        for _ in 0..4 {
            let again = service.day(&["203.0.113.9:443", "203.0.113.10:22"]);
            assert_eq!(again, [], "frozen: {is_frozen}");
        }
        let other = service.day(&["192.0.2.200:8080"]);
        assert_eq!(ids(&other), [DetectionId::NewDestination]);
    }
}

#[test]
fn what_is_forgotten_starts_cold() {
    let mut service = Service::watched_for(28);
    let told = service.day(&["203.0.113.9:443"]);
    assert!(told[0].severity > Severity::Low, "{told:#?}");
    service.say(Word::Forget);
    let baselines = &service.detector.state.baselines;
    assert!(baselines.is_empty());
    service.day(&[]);
    let summary = service.habits().summary;
    assert!(
        summary.hours < 25.0 && summary.destinations == 3,
        "{summary:?}"
    );
    let young = service.day(&["203.0.113.9:443"]);
    let is_low = |of: &Alert| of.severity == Severity::Low;
    assert!(young.iter().all(is_low), "{young:#?}");
}

#[test]
fn a_recording_with_words_replays_to_the_same() {
    let mut service = Service::watched_for(10);
    for word in [Word::Freeze, Word::Approve, Word::Unfreeze, Word::Forget] {
        service.day(&["203.0.113.9:443", "192.0.2.1:53"]);
        service.say(word);
        service.day(&["203.0.113.10:443"]);
    }
    let mut again = Detector::new(DetectionConfig::default());
    for record in monitor::recording::Reader::new(&*service.story.bytes()).unwrap() {
        again.step(&record.unwrap());
    }
    let who = WHO.parse().unwrap();
    let now = service.story.records.last().unwrap().time;
    assert_eq!(
        again.state.baselines.habits(&who),
        service.detector.state.baselines.habits(&who)
    );
    assert_eq!(
        again.state.baselines.take_unstored(now, 0),
        service.detector.state.baselines.take_unstored(now, 0)
    );
}

#[test]
fn what_stays_under_the_budget_is_in_the_digest() {
    let tight = 0.001;
    let mut service = Service::with_budget(28, tight);
    assert_eq!(service.day(&["203.0.113.9:443", "203.0.113.9:443"]), []);
    let yesterday = service.story.records.last().unwrap().time;
    let digest = service.detector.digest(Timestamp(0));
    let new = digest
        .untold
        .iter()
        .find(|of| of.id == DetectionId::NewDestination);
    let new = new.unwrap_or_else(|| panic!("{digest:#?}"));
    assert!(
        new.p > new.alpha && new.p < 0.05 && !new.held_back,
        "{new:?}"
    );
    assert!(
        new.summary
            .starts_with("unix:user:deploy by /usr/sbin/web, watched for 23 days: ")
            && new
                .summary
                .contains("203.0.113.9:443 over TCP: a network that is new to it"),
        "{new:?}"
    );
    assert!(digest.untold.is_sorted_by(|a, b| a.p <= b.p), "{digest:#?}");
    assert!(digest.asked >= digest.untold.len() as u64 && digest.told == 0);
    // What was told is an alert, and no part of it.
    let mut wide = Service::watched_for(28);
    assert_eq!(
        ids(&wide.day(&["203.0.113.9:443"])),
        [DetectionId::NewDestination]
    );
    let told = wide.detector.digest(Timestamp(0));
    let is_told = |of: &UntoldView| of.summary.contains("203.0.113.9:443 over TCP: a network");
    assert!(
        told.told == 1 && !told.untold.iter().any(is_told),
        "{told:#?}"
    );
    // Two days on it is forgotten.
    (0..3).for_each(|_| drop(service.day(&[])));
    let later = service.detector.digest(Timestamp(0));
    assert!(
        later.untold.iter().all(|of| of.time > yesterday),
        "{later:#?}"
    );
}

/// A state directory that has learned two weeks.
fn learned() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let recording = place.path().join("golden.rec");
    let mut service = Service::watched_for(14);
    service.day(&["203.0.113.9:443"]);
    std::fs::write(&recording, service.story.bytes()).unwrap();
    let state = place.path().to_str().unwrap();
    let recording = recording.to_str().unwrap();
    outcome(&["baseline", "learn", recording, "--state-dir", state], 0);
    place
}

#[test]
fn words_without_a_daemon_are_kept_shown_and_in_the_history() {
    let place = learned();
    let state = place.path().to_str().unwrap();
    let client = |args: &[&str], code| outcome(&[args, &["--state-dir", state]].concat(), code);
    let why = ["--reason", "case 17\u{1b}[2J"];
    let (said, note) = client(&[&["baseline", "freeze", WHO], &why[..]].concat(), 0);
    assert!(
        said.starts_with(WHO) && said.contains("nothing more is learned"),
        "{said}"
    );
    assert!(note.contains("no daemon answers"), "{note}");
    let (_, refused) = client(&[&["baseline", "freeze", WHO], &why[..]].concat(), 1);
    assert!(
        refused.contains("is frozen since") && refused.contains("credwatch baseline unfreeze"),
        "{refused}"
    );
    let (_, unknown) = client(
        &["baseline", "forget", "unix:user:deplay", "--reason", "x"],
        1,
    );
    assert!(
        unknown.contains("did you mean unix:user:deploy?"),
        "{unknown}"
    );
    let (_, usage) = client(&["baseline", "forget", WHO], 2);
    assert!(usage.contains("--reason"), "{usage}");

    let (list, _) = client(&["baseline", "list", "--output", "json"], 0);
    let list: BaselineList = serde_json::from_str(&list).unwrap();
    let frozen = list.baselines[0].frozen.clone().unwrap();
    assert_eq!(frozen.reason, "case 17\u{1b}[2J");
    let (shown, _) = client(&["baseline", "show", WHO], 0);
    let line = shown
        .lines()
        .find(|of| of.starts_with("frozen since"))
        .unwrap();
    assert!(
        line.contains(&frozen.by) && line.ends_with("case 17\\u{1b}[2J"),
        "{line}"
    );

    let (digest, _) = client(
        &["baseline", "digest", "--since", "520w", "--output", "json"],
        0,
    );
    let digest: DigestView = serde_json::from_str(&digest).unwrap();
    assert!(digest.told == 1 && digest.asked >= 1, "{digest:?}");
    let (text, _) = client(&["baseline", "digest"], 0);
    assert!(
        text.starts_with("Nothing unusual stayed under the budget."),
        "{text}"
    );

    let approve = ["baseline", "approve", WHO, "--reason", "it was the release"];
    let (view, _) = client(&[&approve[..], &["--output", "json"]].concat(), 0);
    let view: WordView = serde_json::from_str(&view).unwrap();
    assert_eq!((view.word, view.destinations), (Word::Approve, 1));
    assert!(view.frozen.is_some());
    client(&["baseline", "unfreeze", WHO, "--reason", "closed"], 0);
    let (list, _) = client(&["baseline", "list", "--output", "json"], 0);
    let list: BaselineList = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (list.baselines[0].suspect, &list.baselines[0].frozen),
        (0, &None)
    );
    client(&["baseline", "forget", WHO, "--reason", "another task"], 0);
    let (_, gone) = client(&["baseline", "show", WHO], 1);
    assert!(
        gone.contains("nothing was learned of unix:user:deploy"),
        "{gone}"
    );

    let (history, _) = client(&["history", WHO, "--output", "json"], 0);
    let steps: Vec<TransitionView> = serde_json::from_str(&history).unwrap();
    let words: Vec<_> = steps.iter().filter_map(|of| of.word).collect();
    assert_eq!(
        words,
        [Word::Freeze, Word::Approve, Word::Unfreeze, Word::Forget]
    );
    let (table, _) = client(&["history", WHO], 0);
    for part in [
        "baseline frozen",
        "baseline forgotten",
        "it was the release",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
}
