//! Dormancy and age: what rests too long and wakes up, and what lives too long.

use std::time::Duration;

use monitor::model::{
    Access, Credential, CredentialKind, Fact, FileId, Fingerprint, Gap, Rhythm, Target, Timestamp,
};

use super::story::{BEGIN, FILE, KEY, PATH, Story, key, process};

const DAY: i64 = 86_400_000;

/// A use by a process that ends at once.
fn use_by(story: &mut Story, pid: u32, exe: &str) {
    let task = process(pid);
    story.exec(&task, exe);
    story.read(&task);
    story.exit(&task);
}

fn wakes(story: &Story) -> Vec<String> {
    let told = story.told().into_iter();
    told.filter(|line| line.contains("CW-104") && line.contains("SSH private key"))
        .collect()
}

#[test]
fn a_credential_that_rested_for_longer_than_its_rhythm_is_told_when_it_is_used() {
    let mut story = Story::with_key();
    use_by(&mut story, 42, "/usr/bin/ssh");
    story.wait(29 * DAY);
    use_by(&mut story, 43, "/usr/bin/ssh");
    assert_eq!(wakes(&story), Vec::<String>::new());
    // Three times 29 days from now on.
    story.wait(86 * DAY);
    use_by(&mut story, 44, "/usr/bin/ssh");
    assert_eq!(wakes(&story), Vec::<String>::new());
    story.wait(300 * DAY);
    use_by(&mut story, 45, "/usr/bin/cat");
    let expected = format!(
        "medium CW-104: unix:user:deploy by /usr/bin/cat (pid 45) read the SSH private key {KEY} at \
         {PATH}: nobody had used it for 300 d 0 h; it is dormant after 258 d 0 h"
    );
    assert_eq!(wakes(&story), [expected]);
}

#[test]
fn one_that_was_never_used_must_have_been_known_for_as_long() {
    let mut story = Story::with_key();
    story.wait(31 * DAY);
    use_by(&mut story, 42, "/usr/bin/ssh");
    let told = wakes(&story);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("it had not been used since it was found for 31 d 0 h"),
        "{told:?}"
    );
    let mut story = Story::with_key();
    story.wait(29 * DAY);
    use_by(&mut story, 42, "/usr/bin/ssh");
    assert_eq!(wakes(&story), Vec::<String>::new());
    // Found by a daemon before this one.
    story.records.insert(
        4,
        monitor::model::Record {
            time: BEGIN,
            fact: Fact::FirstFound {
                fingerprint: Fingerprint::new(KEY),
                at: Timestamp(BEGIN.0 - 2 * DAY * 1_000_000),
            },
        },
    );
    assert_eq!(wakes(&story).len(), 1);
}

#[test]
fn who_has_used_it_before_is_low() {
    let mut story = Story::with_key();
    use_by(&mut story, 42, "/usr/bin/ssh");
    story.wait(31 * DAY);
    use_by(&mut story, 43, "/usr/bin/ssh");
    let told = wakes(&story);
    assert!(told.len() == 1 && told[0].starts_with("low"), "{told:?}");
}

#[test]
fn what_a_process_holds_is_in_use() {
    let mut story = Story::with_key();
    let server = process(42);
    story.exec(&server, "/usr/sbin/server");
    story.read(&server);
    story.wait(60 * DAY);
    use_by(&mut story, 43, "/usr/sbin/server");
    assert_eq!(wakes(&story), Vec::<String>::new());
    // It is started anew.
    story.wait(60 * DAY);
    story.exit(&server);
    story.wait(1_000);
    use_by(&mut story, 44, "/usr/sbin/server");
    assert_eq!(wakes(&story), Vec::<String>::new());
}

#[test]
fn time_that_nobody_watched_is_no_rest() {
    let wakes_after = |not_watched: Fact| {
        let mut story = Story::with_key();
        use_by(&mut story, 42, "/usr/bin/ssh");
        story.wait(40 * DAY);
        story.fact(not_watched);
        use_by(&mut story, 43, "/usr/bin/cat");
        wakes(&story).len()
    };
    let at = |days: i64| Timestamp(BEGIN.0 + days * DAY * 1_000_000);
    let nanoseconds = |days: u64| days * 86_400_000_000_000;
    assert_eq!(wakes_after(Fact::Tick), 1);
    assert_eq!(
        wakes_after(Fact::Unwatched {
            from: at(5),
            to: at(16)
        }),
        0
    );
    assert_eq!(
        wakes_after(Fact::Unwatched {
            from: at(5),
            to: at(14)
        }),
        1
    );
    let gaps = [
        Gap::Held {
            lasted: nanoseconds(11),
        },
        Gap::ClockSet {
            from: at(5),
            to: at(16),
        },
        Gap::Unsaid {
            pid: 1,
            started: at(1),
            last_seen: at(29),
            unwatched: nanoseconds(11),
            rebooted: true,
        },
    ];
    for gap in gaps {
        assert_eq!(wakes_after(Fact::Gap { gap }), 0);
    }
    // A rhythm that a daemon before this one has learned.
    let target = Target::Credential(Fingerprint::new(KEY));
    let longest = nanoseconds(14);
    let told = None;
    assert_eq!(
        wakes_after(Fact::Rhythm(Rhythm {
            target,
            longest,
            told
        })),
        0
    );
}

#[test]
fn an_identity_that_rested_is_told_once() {
    let mut story = Story::new();
    story.exec(&process(42), "/usr/bin/job");
    story.wait(10 * DAY);
    story.exec(&process(43), "/usr/bin/job");
    assert_eq!(story.told(), Vec::<String>::new());
    story.wait(35 * DAY);
    story.exec(&process(44), "/usr/bin/job");
    story.exec(&process(45), "/usr/bin/job");
    assert_eq!(
        story.told(),
        [
            "low CW-104: unix:user:deploy by /usr/bin/job (pid 44): nothing was seen of \
          unix:user:deploy for 35 d 0 h; it is dormant after 30 d 0 h"
        ]
    );
}

fn days_ago(days: i64) -> Option<Timestamp> {
    Some(Timestamp(BEGIN.0 - days * DAY * 1_000_000))
}

/// One of a kind, in a file of its own that was written when stories begin.
fn lies(story: &mut Story, name: &str, kind: CredentialKind, life: [Option<Timestamp>; 2]) {
    let [issued, expires] = life;
    let of = Credential {
        kind,
        issued,
        expires,
        ..key(name)
    };
    let ino = 200 + story.records.len() as u64;
    story.located(&format!("/srv/{name}"), FileId { ino, ..FILE }, &[of]);
}

fn days(story: &mut Story, number: i64) {
    for _ in 0..number {
        story.wait(DAY);
        story.tick();
    }
}

#[test]
fn what_lives_too_long_is_one_alert_a_kind_and_not_before_a_day() {
    use CredentialKind::{AwsAccessKey, GitCredential, Jwt, SshPrivateKey, X509Certificate};
    let mut story = Story::new();
    for number in 0..7 {
        lies(
            &mut story,
            &format!("token{number}"),
            Jwt,
            [days_ago(400 + number), None],
        );
    }
    lies(&mut story, "fine", Jwt, [days_ago(400), days_ago(200)]);
    lies(&mut story, "ended", Jwt, [days_ago(900), days_ago(1)]);
    lies(
        &mut story,
        "cert",
        X509Certificate,
        [days_ago(10), days_ago(-3_640)],
    );
    lies(
        &mut story,
        "short",
        X509Certificate,
        [days_ago(10), days_ago(-380)],
    );
    lies(&mut story, "ssh", SshPrivateKey, [days_ago(4_000), None]);
    lies(&mut story, "aws", AwsAccessKey, [None, None]);
    lies(&mut story, "session", AwsAccessKey, [None, days_ago(-1)]);
    lies(&mut story, "git", GitCredential, [None, None]);
    story.tick();
    assert_eq!(story.told(), Vec::<String>::new());
    days(&mut story, 20);
    let expected = [
        "low CW-108: 1 X.509 certificate lives longer than the 825 d 0 h that life.longest allows: \
         cert at /srv/cert was issued for 3650 d 0 h",
        "low CW-108: 7 credentials of the kind JSON web token live longer than the 365 d 0 h that \
         life.longest allows: token6 at /srv/token6 was issued 407 d 0 h ago and has no end; \
         token5 at /srv/token5 was issued 406 d 0 h ago and has no end; \
         token4 at /srv/token4 was issued 405 d 0 h ago and has no end; \
         token3 at /srv/token3 was issued 404 d 0 h ago and has no end; \
         token2 at /srv/token2 was issued 403 d 0 h ago and has no end; and 2 more",
    ];
    assert_eq!(story.told(), expected);
    // Again after a month; and by then nothing else is older than a year.
    days(&mut story, 20);
    assert_eq!(story.told().len(), 4);
    days(&mut story, 330);
    let by_file = "low CW-108: 1 AWS access key lives longer than the 365 d 0 h that life.longest \
                   allows: aws at /srv/aws lies in a file that was last written 366 d 0 h ago and \
                   has no end";
    assert!(
        story.told().iter().any(|line| line == by_file),
        "{:#?}",
        story.told()
    );
    story.settings.life.longest.clear();
    assert_eq!(story.told(), Vec::<String>::new());
}

#[test]
fn what_was_told_before_is_not_told_by_the_next_daemon() {
    let mut story = Story::new();
    lies(
        &mut story,
        "token",
        CredentialKind::Jwt,
        [days_ago(400), None],
    );
    story.fact(Fact::Rhythm(Rhythm {
        target: Target::Credential(Fingerprint::new("token")),
        longest: 0,
        told: Some(BEGIN),
    }));
    days(&mut story, 29);
    assert_eq!(story.told(), Vec::<String>::new());
    days(&mut story, 2);
    assert_eq!(story.told().len(), 1);
}

#[test]
fn the_times_are_those_of_the_configuration() {
    let mut story = Story::with_key();
    story.settings.life.dormancy = Duration::from_secs(2);
    story.settings.life.review = Duration::from_secs(2);
    use_by(&mut story, 42, "/usr/bin/ssh");
    story.wait(3_000);
    story.access(&process(43), FILE, Access::Read, None);
    let limit = Duration::from_secs(1);
    story
        .settings
        .life
        .longest
        .insert(CredentialKind::SshPrivateKey, limit);
    story.tick();
    let ids: Vec<_> = story
        .alerts()
        .iter()
        .map(|alert| alert.id.as_str())
        .collect();
    assert_eq!(ids, ["CW-104", "CW-104", "CW-108"]);
}
