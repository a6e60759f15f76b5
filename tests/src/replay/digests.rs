//! Programs that are allowed by their digest: it comes after their first acts, and what it does not
//! allow is told all the same.

use monitor::config::{ActorPattern, CredentialPattern, DeclaredUsers};
use monitor::model::{Fact, MemoryAccess, Sha256Digest, Task};

use super::story::{KEY, Story, of_root, process, with_program};

const DAY: i64 = 86_400_000;
const ALLOWED: Sha256Digest = Sha256Digest([1; 32]);
const OTHER: Sha256Digest = Sha256Digest([2; 32]);

/// A key whose users are no longer learned, and which a program with the digest may use.
fn declared() -> Story {
    let mut story = Story::with_key();
    story.runs(&with_program(process(42)), "/usr/bin/restic");
    story.read(&with_program(process(42)));
    story.wait(8 * DAY);
    story.settings.declared_users = vec![DeclaredUsers {
        credentials: vec![CredentialPattern::new(KEY).unwrap()],
        allowed: vec![ActorPattern::new(&format!("sha256:{ALLOWED}")).unwrap()],
    }];
    story
}

fn digest(story: &mut Story, task: &Task, digest: Option<Sha256Digest>) {
    story.fact(Fact::ProgramDigest {
        file: task.exe,
        digest,
    });
}

fn is_told(story: &Story) -> bool {
    story.told().iter().any(|line| line.contains("CW-201"))
}

#[test]
fn the_digest_decides_whether_it_comes_before_or_after_the_act() {
    for (known, is_outsider) in [(ALLOWED, false), (OTHER, true)] {
        let task = of_root(43);
        let mut before = declared();
        before.runs(&task, "/usr/bin/cat");
        digest(&mut before, &task, Some(known));
        before.read(&task);
        assert_eq!(is_told(&before), is_outsider, "{:?}", before.told());
        let mut after = declared();
        after.runs(&task, "/usr/bin/cat");
        after.read(&task);
        after.wait(1_000);
        digest(&mut after, &task, Some(known));
        assert_eq!(is_told(&after), is_outsider, "{:?}", after.told());
    }
}

#[test]
fn what_has_no_digest_is_told_after_a_while_and_a_changed_file_has_none() {
    let task = of_root(43);
    let mut story = declared();
    story.runs(&task, "/usr/bin/cat");
    story.read(&task);
    story.wait(6_000);
    story.tick();
    assert!(is_told(&story), "{:?}", story.told());
    let mut story = declared();
    story.runs(&task, "/usr/bin/cat");
    digest(&mut story, &task, Some(ALLOWED));
    digest(&mut story, &task, None);
    story.read(&task);
    story.wait(6_000);
    story.tick();
    assert!(is_told(&story), "{:?}", story.told());
    // At the end of a recording nothing is kept back.
    let mut story = declared();
    story.runs(&task, "/usr/bin/cat");
    story.read(&task);
    let alerts = story.alerts();
    assert!(alerts.iter().any(|alert| alert.id.as_str() == "CW-201"));
}

#[test]
fn lists_of_detections_know_digests_too() {
    for (known, is_outsider) in [(ALLOWED, false), (OTHER, true)] {
        let mut story = Story::with_key();
        let pattern = ActorPattern::new(&format!("sha256:{ALLOWED}")).unwrap();
        story.settings.process_memory.allowed = vec![pattern];
        let (debugger, target) = (of_root(60), with_program(process(70)));
        story.runs(&target, "/usr/bin/restic");
        story.read(&target);
        story.runs(&debugger, "/usr/bin/python3");
        story.reaches(&debugger, &target, MemoryAccess::ProcessVm, true);
        digest(&mut story, &debugger, Some(known));
        let told = story.told();
        let is_told = told.iter().any(|line| line.contains("CW-206"));
        assert_eq!(is_told, is_outsider, "{told:?}");
    }
}
