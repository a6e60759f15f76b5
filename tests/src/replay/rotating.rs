//! Rotations: what is one, what is none, how the old version ends, and who still holds it.

use monitor::model::{Access, Credential, CredentialKind, CredentialState, FileId, Timestamp};

use super::story::{FILE, PATH, Story, by_fingerprint, child_of, key, process};

const HOUR: i64 = 3_600_000;
const NEW: FileId = FileId { ino: 78, ..FILE };
const OTHER: FileId = FileId { ino: 90, ..FILE };

fn with_label(fingerprint: &str, label: &str) -> Credential {
    Credential {
        label: Some(label.to_owned()),
        ..key(fingerprint)
    }
}

fn token(fingerprint: &str, issued: i64, expires: Option<i64>) -> Credential {
    let at = |seconds: i64| Timestamp(super::story::BEGIN.0 + seconds * 1_000_000_000);
    Credential {
        kind: CredentialKind::Jwt,
        issued: Some(at(issued)),
        expires: expires.map(at),
        ..with_label(fingerprint, "svc by https://issuer.example")
    }
}

/// One with a file that holds these, as it was an hour ago.
fn holding(credentials: &[Credential]) -> Story {
    let mut story = Story::new();
    story.located(PATH, FILE, credentials);
    story.wait(HOUR);
    story
}

#[track_caller]
fn derives(story: &Story, expected: &[&str]) {
    assert_eq!(story.derived(), expected);
}

#[test]
fn a_new_key_in_the_place_of_another_rotates_it_and_the_window_retires_it() {
    let mut story = holding(&[key("old")]);
    story.located(PATH, NEW, &[key("new")]);
    story.wait(23 * HOUR);
    story.tick();
    let rotating = format!("+3600000ms old rotating: succeeded by new at {PATH}");
    derives(&story, &[&rotating]);
    story.wait(HOUR);
    story.tick();
    story.tick();
    let retired = format!(
        "+90000000ms old retired: succeeded by new at {PATH}, and its window of 1 d 0 h is over"
    );
    derives(&story, &[&rotating, &retired]);
    // From then on it is told of, and not as loud as a word of somebody.
    story.located("/root/old", OTHER, &[key("old")]);
    story.exec(&process(42), "/usr/bin/cat");
    story.access(&process(42), OTHER, Access::Read, None);
    let told = story.told();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("medium CW-101: unix:user:deploy by /usr/bin/cat"),
        "{told:?}"
    );
    assert!(
        told[0].contains("by credwatch: \"succeeded by new at"),
        "{told:?}"
    );
    story.settings.life.retire_rotated = false;
    derives(&story, &[&rotating]);
}

#[test]
fn by_whatever_way_the_file_is_replaced() {
    let rotating = format!("+3600000ms old rotating: succeeded by new at {PATH}");
    // Written anew in place, by way of an empty file.
    let mut story = holding(&[key("old")]);
    story.located(PATH, FILE, &[]);
    story.located(PATH, FILE, &[key("new")]);
    derives(&story, &[&rotating]);
    // Removed, or moved aside as a backup, and made anew.
    let mut story = holding(&[key("old")]);
    story.unlocated(PATH, FILE);
    story.located("/srv/deploy/.ssh/id_ed25519.bak", FILE, &[key("old")]);
    story.located(PATH, NEW, &[key("new")]);
    derives(&story, &[&rotating]);
    // Written beside it, and renamed over it.
    let mut story = holding(&[key("old")]);
    story.located("/srv/deploy/.ssh/.id.tmp", NEW, &[key("new")]);
    story.unlocated("/srv/deploy/.ssh/.id.tmp", NEW);
    story.located(PATH, NEW, &[key("new")]);
    derives(&story, &[&rotating]);
    // Copied to a backup first.
    let mut story = holding(&[key("old")]);
    story.located("/root/backup", OTHER, &[key("old")]);
    story.located(PATH, FILE, &[key("new")]);
    derives(&story, &[&rotating]);
}

#[test]
fn what_is_moved_copied_linked_added_or_removed_is_no_rotation() {
    let known = || {
        let mut story = holding(&[key("a")]);
        story.located("/srv/b", OTHER, &[key("b")]);
        story.wait(HOUR);
        story
    };
    let mut story = known();
    story.unlocated(PATH, FILE);
    story.located("/srv/elsewhere", FILE, &[key("a")]);
    story.located("/srv/link", FILE, &[key("a")]);
    story.located("/srv/copy", NEW, &[key("a")]);
    derives(&story, &[]);
    // Another key of old is copied over it.
    let mut story = known();
    story.located(PATH, NEW, &[key("b")]);
    derives(&story, &[]);
    // Two files are swapped.
    let mut story = known();
    story.unlocated(PATH, FILE);
    story.unlocated("/srv/b", OTHER);
    story.located(PATH, OTHER, &[key("b")]);
    story.located("/srv/b", FILE, &[key("a")]);
    derives(&story, &[]);
    // One more, and one less.
    let mut story = known();
    story.located(PATH, FILE, &[key("a"), key("more")]);
    story.located(PATH, FILE, &[key("more")]);
    derives(&story, &[]);
    // Of another kind.
    let mut story = known();
    story.located(PATH, FILE, &[token("t", 0, None)]);
    derives(&story, &[]);
    // Who is let in is edited.
    let let_in = |name: &str| Credential {
        kind: CredentialKind::SshAuthorizedKey,
        ..key(name)
    };
    let mut story = holding(&[let_in("ana")]);
    story.located(PATH, FILE, &[let_in("ben")]);
    derives(&story, &[]);
}

#[test]
fn two_files_that_are_swapped_soon_after_they_were_made_are_set_right() {
    let mut story = Story::new();
    story.located("/srv/a", FILE, &[key("a")]);
    story.located("/srv/b", OTHER, &[key("b")]);
    story.located("/srv/a", OTHER, &[key("b")]);
    story.located("/srv/b", FILE, &[key("a")]);
    derives(
        &story,
        &[
            "+0ms a rotating: succeeded by b at /srv/a",
            "+0ms a active: came back to /srv/b in place of b",
        ],
    );
}

#[test]
fn what_is_replaced_all_the_time_is_a_session() {
    let mut story = holding(&[token("t0", 0, None)]);
    for minute in 1..60 {
        story.wait(60_000);
        story.located(
            PATH,
            FILE,
            &[token(&format!("t{minute}"), minute * 60, None)],
        );
    }
    assert_eq!(story.derived().len(), 3);
    story.wait(30 * HOUR);
    story.tick();
    story.located(PATH, FILE, &[token("next", 31 * 3_600, None)]);
    assert_eq!(
        story.derived().len(),
        7,
        "three windows are over, and one begins"
    );
}

#[test]
fn several_of_one_file_are_paired_by_their_labels() {
    let mut story = holding(&[
        with_label("a1", "profile a"),
        with_label("b1", "profile b"),
        with_label("c1", "profile c"),
    ]);
    story.located(
        PATH,
        FILE,
        &[
            with_label("c2", "profile c"),
            with_label("a2", "profile a"),
            with_label("b1", "profile b"),
        ],
    );
    let mut derived = story.derived();
    derived.sort();
    assert_eq!(
        derived,
        [
            format!("+3600000ms a1 rotating: succeeded by a2 at {PATH}"),
            format!("+3600000ms c1 rotating: succeeded by c2 at {PATH}"),
        ]
    );
    // Without labels nobody can tell which followed which.
    let mut story = holding(&[key("a1"), key("b1")]);
    story.located(PATH, FILE, &[key("a2"), key("b2")]);
    derives(&story, &[]);
}

#[test]
fn the_old_one_that_comes_back_is_active_and_the_other_rotates() {
    let mut story = holding(&[key("old")]);
    story.located(PATH, NEW, &[key("new")]);
    story.wait(HOUR);
    story.located(PATH, FILE, &[key("old")]);
    let expected = [
        format!("+3600000ms old rotating: succeeded by new at {PATH}"),
        format!("+7200000ms old active: came back to {PATH} in place of new"),
        format!("+7200000ms new rotating: succeeded by old at {PATH}"),
    ];
    derives(&story, &expected.each_ref().map(String::as_str));
    // And after its window too: the program's own conclusion was wrong.
    let mut story = holding(&[key("old")]);
    story.located(PATH, NEW, &[key("new")]);
    story.wait(25 * HOUR);
    story.tick();
    story.located(PATH, FILE, &[key("old")]);
    assert_eq!(story.derived().len(), 4);
    story.exec(&process(42), "/usr/bin/cat");
    story.read(&process(42));
    assert_eq!(story.told(), Vec::<String>::new());
}

#[test]
fn the_words_of_operators_win() {
    let states = [
        CredentialState::Retired,
        CredentialState::Decoy,
        CredentialState::Revoked,
    ];
    for state in states {
        // Before it,
        let mut story = holding(&[key("old")]);
        story.said(by_fingerprint("old"), state);
        story.located(PATH, NEW, &[key("new")]);
        story.wait(25 * HOUR);
        story.tick();
        derives(&story, &[]);
        // at its path,
        let mut story = holding(&[key("old")]);
        story.said(monitor::model::Target::Path(PATH.into()), state);
        story.located(PATH, FILE, &[key("new")]);
        story.wait(25 * HOUR);
        story.tick();
        derives(&story, &[]);
        // and after it.
        let mut story = holding(&[key("old")]);
        story.located(PATH, NEW, &[key("new")]);
        story.said(by_fingerprint("old"), state);
        story.wait(25 * HOUR);
        story.tick();
        story.located(PATH, FILE, &[key("old")]);
        assert_eq!(story.derived().len(), 1, "{state}: {:?}", story.derived());
    }
    let mut story = holding(&[key("old")]);
    story.located(PATH, NEW, &[key("new")]);
    story.restore(by_fingerprint("old"));
    story.wait(25 * HOUR);
    story.tick();
    assert_eq!(story.derived().len(), 1, "what was restored stays active");
}

#[test]
fn tokens_follow_each_other_by_name_and_those_of_an_hour_are_quiet() {
    let long = Some(90 * 86_400);
    let mut story = Story::new();
    story.located("/srv/tokens/1", FILE, &[token("t1", 0, long)]);
    story.located("/srv/tokens/2", NEW, &[token("t2", 60, long)]);
    story.located("/srv/elsewhere/3", OTHER, &[token("t3", 120, long)]);
    derives(
        &story,
        &["+0ms t1 rotating: succeeded by t2 at /srv/tokens/2"],
    );
    // Projected into a pod: another directory for each version, and an end of its own.
    for (kind, lifetime) in [
        (CredentialKind::Jwt, 3_600),
        (CredentialKind::KubernetesServiceAccountToken, 365 * 86_400),
    ] {
        let mut story = Story::new();
        for hour in 0..48 {
            let of = Credential {
                kind,
                ..token(
                    &format!("t{hour}"),
                    hour * 3_600,
                    Some(hour * 3_600 + lifetime),
                )
            };
            let path = format!("/var/run/secrets/token/..2026_{hour}/token");
            let file = FileId {
                ino: 100 + u64::try_from(hour).unwrap(),
                ..FILE
            };
            story.located(&path, file, std::slice::from_ref(&of));
            story.located("/var/run/secrets/token/token", file, &[of]);
            story.exec(&process(42), "/usr/bin/api");
            story.access(&process(42), file, Access::Read, None);
            story.wait(HOUR);
            story.tick();
        }
        derives(&story, &[]);
        assert_eq!(story.told(), Vec::<String>::new());
    }
    // A secret in such a volume has no end of its own: that is a rotation.
    let mut story = Story::new();
    story.located("/vol/..2026_1/tls.key", FILE, &[key("k1")]);
    story.wait(HOUR);
    story.located("/vol/..2026_2/tls.key", NEW, &[key("k2")]);
    story.unlocated("/vol/..2026_1/tls.key", FILE);
    derives(
        &story,
        &["+3600000ms k1 rotating: succeeded by k2 at /vol/..2026_2/tls.key"],
    );
}

/// Three services have read the old version; the second reads the new one too, the third ends.
fn held() -> Story {
    let mut story = holding(&[key("old")]);
    for pid in [42, 43, 44] {
        story.exec(&process(pid), &format!("/usr/bin/service-{pid}"));
        story.read(&process(pid));
    }
    story.fork(&child_of(&process(42), 50));
    story.wait(HOUR);
    story.located(PATH, NEW, &[key("new")]);
    story.access(&process(43), NEW, Access::Read, None);
    story.exit(&process(44));
    story.wait(24 * HOUR);
    story.tick();
    story
}

#[test]
fn at_the_end_of_the_window_those_that_hold_the_old_one_are_named_once() {
    let mut story = held();
    story.tick();
    let held = format!(
        "medium CW-106: unix:user:deploy by /usr/bin/service-42 (pid 42) and pid 50 still may hold \
         the SSH private key old, read on 2026-05-01T15:03:20.000000Z: new replaced it at {PATH} 1 d \
         0 h ago, and was not read since"
    );
    assert_eq!(story.told(), [held.as_str()]);
    // One of them connects.
    story.wait(HOUR);
    story.connect(&process(42), "192.0.2.7:443");
    story.connect(&process(42), "192.0.2.7:443");
    story.connect(&process(43), "192.0.2.7:443");
    let connected = format!(
        "medium CW-106: unix:user:deploy by /usr/bin/service-42 (pid 42) connected to \
         192.0.2.7:443 while it still may hold the SSH private key old, which new has replaced at \
         {PATH} 1 d 1 h ago"
    );
    assert_eq!(story.told(), [held.as_str(), &connected]);
}

#[test]
fn whoever_reads_the_new_one_or_runs_another_program_is_not_named() {
    let mut story = held();
    story.access(&process(42), NEW, Access::Read, None);
    story.connect(&process(42), "192.0.2.7:443");
    assert_eq!(story.told().len(), 1, "read after it was named");
    let mut story = holding(&[key("old")]);
    story.exec(&process(42), "/usr/bin/service");
    story.read(&process(42));
    story.wait(HOUR);
    story.located(PATH, NEW, &[key("new")]);
    story.exec(&process(42), "/usr/bin/service");
    story.wait(24 * HOUR);
    story.tick();
    assert_eq!(story.told(), Vec::<String>::new());
}

#[test]
fn the_old_version_is_read_from_a_backup() {
    let mut story = holding(&[key("old")]);
    story.unlocated(PATH, FILE);
    story.located("/root/old.bak", FILE, &[key("old")]);
    story.located(PATH, NEW, &[key("new")]);
    story.wait(HOUR);
    story.exec(&process(42), "/usr/bin/ssh");
    story.access(&process(42), NEW, Access::Read, None);
    assert_eq!(story.told(), Vec::<String>::new());
    story.access(&process(42), FILE, Access::Read, None);
    let expected = format!(
        "low CW-106: unix:user:deploy by /usr/bin/ssh (pid 42) read the SSH private key old at \
         /root/old.bak, which new has replaced at {PATH} 1 h 0 min ago"
    );
    assert_eq!(story.told(), [expected]);
}
