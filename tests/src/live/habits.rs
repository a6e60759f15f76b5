//! CW-302, CW-305, CW-306, CW-307: what is not as usual for an account whose last four weeks the daemon knows
//! from a recording; and baselines that outlive the daemon.

use std::fs::{self, File};
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use monitor::control::life::TransitionView;
use monitor::control::protocol::{BaselineList, Habits};
use monitor::model::{
    Account as Named, AccountClass, Alert, DetectionId, Fact, FileId, Password, Protocol, Record,
    Severity, Task, Timestamp, Word,
};
use monitor::recording::{Reader, Writer};

use super::daemon::{Daemon, Place, patiently};
use super::host::{Account, act, exe, python, run};
use super::scored::{about, calls, is};
use super::turn::shared;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600;
const WEEKS: i64 = 4;
/// Where the account always connects.
const USUAL: &str = "198.51.100.1:443";

fn second(of: i64) -> Timestamp {
    Timestamp(of * SECOND)
}

fn now() -> i64 {
    Timestamp::now().0 / SECOND
}

/// What an account did, as a sensor would have told it.
struct Past {
    facts: Vec<Record>,
    uid: u32,
    socket: u64,
}

impl Past {
    fn of(account: &Account, begin: i64) -> Self {
        let name = Fact::UserName {
            uid: account.uid,
            name: Some(account.name.clone()),
            account: Some(Named {
                class: AccountClass::System,
                shell: false,
                password: Password::default(),
            }),
        };
        Self {
            facts: vec![Record {
                time: second(begin),
                fact: name,
            }],
            uid: account.uid,
            socket: 1,
        }
    }

    fn add(&mut self, at: i64, fact: Fact) {
        self.facts.push(Record {
            time: second(at),
            fact,
        });
    }

    fn task(&self, at: i64) -> Task {
        Task {
            pid: 4_000_000,
            start: second(at),
            ppid: 1,
            parent_start: Timestamp(0),
            uid: self.uid,
            euid: self.uid,
            gid: self.uid,
            login_uid: None,
            session: None,
            cgroup: 0,
            cgroup_v1: 0,
            exe: FileId { dev: 1, ino: 1 },
            tty: None,
        }
    }

    /// A program that makes a few connections, a second each, and sends so much over each of them.
    fn sitting(&mut self, at: i64, connections: i64, sent: u64) {
        let task = self.task(at);
        let destination: SocketAddr = USUAL.parse().unwrap();
        let path = exe("python3");
        self.add(
            at,
            Fact::Exec {
                task: task.clone(),
                path,
                permitted: None,
            },
        );
        for connection in 0..connections {
            self.socket += 1;
            let (task, socket, at) = (task.clone(), self.socket, at + connection);
            let protocol = Protocol::Tcp;
            self.add(
                at,
                Fact::Connect {
                    task: task.clone(),
                    socket,
                    protocol,
                    destination,
                },
            );
            self.add(
                at,
                Fact::SocketClose {
                    task,
                    socket,
                    destination,
                    sent,
                    received: 4,
                },
            );
        }
        self.add(at + connections, Fact::Exit { task });
    }

    fn write(&self, to: PathBuf) -> PathBuf {
        let file = File::create(&to).unwrap();
        let mut writer = Writer::new(file, "of a test").unwrap();
        for record in &self.facts {
            writer.write(record).unwrap();
        }
        writer.flush().unwrap();
        to
    }
}

/// Some connections in each hour of four weeks, or in those that are wanted; up to a minute ago.
fn weeks(account: &Account, is_wanted: impl Fn(i64) -> bool) -> Past {
    let end = now() - 60;
    let begin = (end - WEEKS * 7 * 24 * HOUR) / HOUR * HOUR;
    let mut past = Past::of(account, begin);
    for hour in (begin..end - 600)
        .step_by(3_600)
        .filter(|at| is_wanted(at / HOUR))
    {
        past.sitting(
            hour + 120,
            3 + hour / HOUR % 3,
            2_000 + hour.unsigned_abs() % 977,
        );
    }
    past.add(end, Fact::Tick);
    past
}

/// A daemon that knows these weeks.
fn knows(place: &Place, past: &Past) {
    let file = past.write(place.at("weeks.rec"));
    let learned = run(&mut place.client(&["baseline", "learn", file.to_str().unwrap()]));
    let said = String::from_utf8(learned.output.stdout).unwrap();
    assert!(said.contains("1 identities are known"), "{said}");
}

fn scored(alert: &Alert) -> bool {
    alert.id.as_str().starts_with("CW-3")
}

fn habits(place: &Place, account: &Account) -> Habits {
    place.ask(&["baseline", "show", &account.selector()])
}

#[test]
fn many_more_connections_than_ever_are_told() {
    let _host = shared();
    let (place, account) = (Place::new(), Account::system());
    knows(&place, &weeks(&account, |_| true));
    let _daemon = Daemon::start(&place);
    let known = habits(&place, &account);
    assert!((0.9..=1.0).contains(&known.summary.maturity), "{known:#?}");
    calls(&account, &["198.51.100.1 443 200 0 100"]);
    let alert = place.wait("a flood", is(DetectionId::UnusualRate, &account));
    assert!(alert.severity >= Severity::Medium, "{alert:#?}");
    assert!(
        alert.summary.contains("connections in this hour, where"),
        "{}",
        alert.summary
    );
}

#[test]
fn an_act_at_an_hour_without_any_is_told() {
    let _host = shared();
    let (place, account) = (Place::new(), Account::system());
    // Never within ten hours of this one.
    let this = now() / HOUR;
    knows(
        &place,
        &weeks(&account, |hour| {
            (10..14).contains(&((hour - this).rem_euclid(24)))
        }),
    );
    let _daemon = Daemon::start(&place);
    calls(&account, &["198.51.100.1 443 1 0 2000"]);
    let alert = place.wait("an act at night", is(DetectionId::UnusualHour, &account));
    assert!(alert.summary.contains("of such hours"), "{}", alert.summary);
}

#[test]
fn a_program_that_never_ran_under_the_identity_is_told() {
    let _host = shared();
    // Others of this host begin programs that are new, and each takes a part of the budget.
    let place = Place::with("[detection.baseline]\nbudget = 20");
    let account = Account::system();
    knows(&place, &weeks(&account, |_| true));
    let _daemon = Daemon::start(&place);
    // Of this test alone, so that no other identity of the host runs it.
    let tool = place.at("tool");
    fs::copy("/bin/true", &tool).unwrap();
    let done = run(&mut account.runs(tool.to_str().unwrap(), &[]));
    let alert = place.wait("a new program", done.is(DetectionId::NewProgram));
    assert!(about(&account)(&alert), "{alert:#?}");
    assert!(
        alert.summary.contains("a program that never ran as it"),
        "{}",
        alert.summary
    );
}

#[test]
fn what_an_account_always_does_raises_nothing() {
    let _host = shared();
    let (place, account) = (Place::new(), Account::system());
    knows(&place, &weeks(&account, |_| true));
    let daemon = Daemon::start(&place);
    calls(&account, &["198.51.100.1 443 4 0.2 2300"]);
    run(&mut account.runs("python3", &[&"-c", &"pass"]));
    let about = about(&account);
    place.silent("ordinary acts", |alert| scored(alert) && about(alert));
    // It was seen all the same.
    let known = habits(&place, &account);
    assert_eq!(known.where_to.len(), 1, "{known:#?}");
    assert!(Timestamp::now().since(known.where_to[0].last) < Duration::from_mins(2));
    daemon.stop();
}

/// What the kernel tells of an account that sends so much, by a recording.
fn recorded(place: &Place, account: &Account, size: &str) -> Vec<Record> {
    let file = place.at("live.rec");
    let duration = format!("{}s", patiently(Duration::from_secs(6)).as_secs());
    let mut record = place.client(&["record", file.to_str().unwrap(), "--duration", &duration]);
    let said = place.at("recorder");
    record
        .stdout(Stdio::null())
        .stderr(File::create(&said).unwrap());
    let mut child = record.spawn().unwrap();
    place.until("the recording has begun", || {
        fs::read_to_string(&said).unwrap().contains("recording to")
    });
    std::thread::sleep(patiently(Duration::from_millis(700)));
    calls(account, &[&format!("198.51.100.1 443 4 0.1 {size}")]);
    assert!(child.wait().unwrap().success());
    let reader = Reader::new(BufReader::new(File::open(&file).unwrap())).unwrap();
    let facts: Vec<_> = reader.map(Result::unwrap).collect();
    fs::remove_file(file).unwrap();
    let is_its = |of: &Record| {
        let task = of.fact.task();
        let is_wanted = matches!(of.fact, Fact::Connect { .. } | Fact::SocketClose { .. });
        is_wanted && task.is_some_and(|task| task.uid == account.uid)
    };
    let its: Vec<_> = facts.into_iter().filter(is_its).collect();
    let closed = its
        .iter()
        .filter(|of| matches!(of.fact, Fact::SocketClose { .. }));
    assert_eq!(closed.count(), 4, "{its:#?}");
    its
}

/// Alerts of a leak after four weeks, and two days in which each hour had what the kernel has told of one:
/// nobody can wait for these.
fn leaks(size: &str) -> Vec<Alert> {
    let _host = shared();
    let (place, account) = (Place::new(), Account::system());
    let told = recorded(&place, &account, size);
    let mut past = weeks(&account, |_| true);
    let begin = past.facts.last().unwrap().time.0 / SECOND / HOUR * HOUR + HOUR;
    let first = told[0].time.0;
    for hour in 1..=48 {
        for of in &told {
            let time = Timestamp((begin + hour * HOUR + 60) * SECOND + of.time.0 - first);
            past.facts.push(Record {
                time,
                fact: of.fact.clone(),
            });
        }
    }
    let file = past.write(place.at("leak.rec"));
    let replay = ["replay", file.to_str().unwrap(), "--output", "json"];
    let replayed = run(&mut place.client(&replay));
    let text = String::from_utf8(replayed.output.stdout).unwrap();
    let alerts = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let is_leak = is(DetectionId::SlowExfiltration, &account);
    alerts.filter(is_leak).collect()
}

#[test]
fn more_than_usual_hour_after_hour_is_told() {
    let alerts = leaks("9000");
    let first = alerts.first().expect("a leak");
    assert!(
        first.summary.contains("hours, where") && first.summary.contains("is usual"),
        "{}",
        first.summary
    );
}

#[test]
fn as_much_as_usual_hour_after_hour_raises_nothing() {
    assert_eq!(leaks("2300"), []);
}

#[test]
fn what_was_learned_outlives_the_daemon() {
    let _host = shared();
    let (place, account) = (Place::new(), Account::system());
    let daemon = Daemon::start(&place);
    calls(
        &account,
        &["198.51.100.1 443 3 0 2000", "198.51.100.2 443 1 0 700"],
    );
    place.until("it is learned", || {
        let all: BaselineList = place.ask(&["baseline", "list"]);
        let selector = account.selector();
        all.baselines
            .iter()
            .any(|of| of.identity.as_str() == selector && of.destinations == 2)
    });
    let before = habits(&place, &account);
    daemon.stop();
    assert_eq!(habits(&place, &account), before, "without a daemon");
    let daemon = Daemon::start(&place);
    assert_eq!(habits(&place, &account), before, "after a restart");
    calls(&account, &["198.51.100.1 443 1 0 2000"]);
    // It is written within some seconds, as it was not for minutes.
    std::thread::sleep(patiently(Duration::from_secs(12)));
    let before = habits(&place, &account);
    daemon.kill();
    let _daemon = Daemon::start(&place);
    assert_eq!(habits(&place, &account), before, "after SIGKILL");
    assert_eq!(place.all(|of| of.id == DetectionId::Tampered), []);
}

/// Flips a bit in what is stored of an account.
const FLIP: &str = "import sqlite3, sys\n\
    db = sqlite3.connect(sys.argv[1])\n\
    (body,) = db.execute('SELECT body FROM baseline WHERE identity = ?', [sys.argv[2]]).fetchone()\n\
    body = bytearray(body); body[len(body) // 2] ^= 1\n\
    db.execute('UPDATE baseline SET body = ? WHERE identity = ?', [bytes(body), sys.argv[2]])\n\
    db.commit()\n";

fn flip(state: &Path, account: &Account) {
    let database = state.join("credwatch.db");
    run(&mut python(FLIP, &[&database, &account.selector()]));
}

#[test]
fn a_baseline_that_somebody_changed_is_told_and_learned_anew() {
    let _host = shared();
    let (place, account) = (Place::new(), Account::system());
    knows(&place, &weeks(&account, |_| true));
    flip(place.state(), &account);
    let _daemon = Daemon::start(&place);
    let alert = place.wait("a changed baseline", |of| of.id == DetectionId::Tampered);
    assert!(
        alert.summary.contains(&account.selector()),
        "{}",
        alert.summary
    );
    assert!(alert.summary.contains("learned anew"), "{}", alert.summary);
    let unknown = act(&mut place.client(&["baseline", "show", &account.selector()]));
    assert!(!unknown.output.status.success());
    calls(&account, &["198.51.100.1 443 1 0 2000"]);
    place.until("it is learned anew", || {
        let all: BaselineList = place.ask(&["baseline", "list"]);
        let selector = account.selector();
        all.baselines
            .iter()
            .any(|of| of.identity.as_str() == selector)
    });
    assert!(habits(&place, &account).summary.maturity < 0.01);
}

#[test]
fn what_an_operator_says_of_a_baseline_outlives_the_daemon() {
    let _host = shared();
    let (place, account) = (Place::new(), Account::system());
    knows(&place, &weeks(&account, |_| true));
    let who = account.selector();
    let say = |word: &str, reason: &str| {
        run(&mut place.client(&["baseline", word, &who, "--reason", reason]));
    };
    let reason = || habits(&place, &account).summary.frozen.map(|of| of.reason);
    let daemon = Daemon::start(&place);
    let before = habits(&place, &account);
    say("freeze", "case 17");
    // What was answered is stored.
    daemon.kill();
    assert_eq!(reason().as_deref(), Some("case 17"), "without a daemon");
    let daemon = Daemon::start(&place);
    assert_eq!(reason().as_deref(), Some("case 17"), "after SIGKILL");
    let again = act(&mut place.client(&["baseline", "freeze", &who, "--reason", "why"]));
    let refused = String::from_utf8_lossy(&again.output.stderr).into_owned();
    assert!(
        !again.output.status.success() && refused.contains("is frozen since"),
        "{refused}"
    );
    say("unfreeze", "case 17 is closed");
    daemon.stop();
    let after = habits(&place, &account);
    assert_eq!((reason(), &after.week), (None, &before.week));
    let daemon = Daemon::start(&place);
    say("forget", "another task");
    daemon.kill();
    let _daemon = Daemon::start(&place);
    let gone = act(&mut place.client(&["baseline", "show", &who]));
    assert!(!gone.output.status.success());
    let steps: Vec<TransitionView> = place.ask(&["history", &who]);
    let words: Vec<_> = steps.iter().filter_map(|of| of.word).collect();
    assert_eq!(words, [Word::Freeze, Word::Unfreeze, Word::Forget]);
    assert_eq!(place.all(|of| of.id == DetectionId::Tampered), []);
}
