//! The usage map that a recording leaves.

use monitor::model::{Fact, Fingerprint, Timestamp, Usage, UsageKey};

use super::story::{BEGIN, KEY, Story, child_of, key, process};

#[test]
fn rows_are_by_credential_identity_program_and_destination() {
    let mut story = Story::with_key();
    let child = child_of(&process(42), 43);
    story.exec(&process(42), "/usr/bin/ssh");
    story.read(&process(42));
    story.wait(5);
    story.read(&process(42));
    story.wait(1_500);
    story.read(&process(42));
    story.connect(&process(42), "192.0.2.7:22");
    story.fork(&child);
    story.wait(10);
    story.connect(&child, "192.0.2.7:22");
    // Of a process without a known program, and of one that read nothing.
    story.read(&process(44));
    story.connect(&process(45), "192.0.2.9:22");
    assert_eq!(
        story.usage(),
        [
            "KEY unix:user:deploy - - +1515ms..+1515ms x1",
            "KEY unix:user:deploy /usr/bin/ssh - +0ms..+1505ms x2",
            "KEY unix:user:deploy /usr/bin/ssh 192.0.2.7:22 +1505ms..+1515ms x2",
        ]
    );
    assert_eq!(story.alerts(), []);
}

#[test]
fn what_was_known_before_is_counted_on_and_told_as_the_last_use() {
    let mut story = Story::with_retired_key();
    let before = Timestamp(BEGIN.0 - 1_000_000_000);
    story.fact(Fact::Usage(Usage {
        key: UsageKey {
            fingerprint: Fingerprint::new(KEY),
            identity: "unix:user:deploy".parse().unwrap(),
            exe: "/usr/bin/cat".to_owned(),
            destination: String::new(),
        },
        first: before,
        last: before,
        count: 6,
        name: None,
    }));
    story.read(&process(42));
    story.connect(&process(42), "192.0.2.7:22");
    assert_eq!(
        story.usage()[0],
        "KEY unix:user:deploy /usr/bin/cat - +-1000ms..+0ms x7"
    );
    for alert in story.alerts() {
        let credential = alert.credential.unwrap();
        assert_eq!(credential.last_used, Some(before), "{}", alert.id);
    }
}

#[test]
fn a_file_of_several_credentials_is_a_use_of_each() {
    let mut story = Story::new();
    story.located(
        "/home/a/.aws/credentials",
        super::story::FILE,
        &[key("aws:A"), key("aws:B")],
    );
    story.exec(&process(42), "/usr/bin/aws");
    story.read(&process(42));
    assert_eq!(
        story.usage(),
        [
            "aws:A unix:user:deploy /usr/bin/aws - +0ms..+0ms x1",
            "aws:B unix:user:deploy /usr/bin/aws - +0ms..+0ms x1",
        ]
    );
}
