//! One alert a cause, and the sum of its repeats.

use std::time::Duration;

use monitor::model::{CredentialState, Target, Task};

use super::story::{KEY, PATH, Story, by_fingerprint, by_selector, check, check_from, process};

const READ: &str = "+0ms CW-101 unix:user:deploy /usr/bin/cat KEY at /srv/deploy/.ssh/id_ed25519";

fn sum(times: u32) -> String {
    READ.replace("CW-101", &format!("CW-101 ended x{times}"))
}

fn later(milliseconds: u32) -> String {
    READ.replace("+0ms", &format!("+{milliseconds}ms"))
}

/// `cat` run as process 42, 43, … of the same user, `pause` milliseconds after one another.
fn cats(story: &mut Story, count: u32, pause: i64) {
    for pid in 42..42 + count {
        if pid > 42 {
            story.wait(pause);
        }
        story.exec(&process(pid), "/usr/bin/cat");
        story.read(&process(pid));
        story.exit(&process(pid));
    }
}

#[test]
fn a_loop_in_a_shell_is_one_cause() {
    check(|story| cats(story, 5, 10_000), &[READ, &sum(4)]);
}

#[test]
fn it_ends_when_it_has_been_quiet() {
    let told = |quiet: i64| {
        move |story: &mut Story| {
            cats(story, 2, 1_000);
            story.wait(quiet);
            story.tick();
            cats(story, 1, 0);
        }
    };
    check(told(59_999), &[READ, &sum(2)]);
    check(told(60_000), &[READ, &sum(1), &later(61_000)]);
}

#[test]
fn time_passes_also_where_nothing_tells_of_it() {
    check(
        |story| cats(story, 3, 60_000),
        &[READ, &later(60_000), &later(120_000)],
    );
}

#[test]
fn what_never_rests_is_summed_now_and_then() {
    let mut story = Story::with_retired_key();
    story.settings.fold_max = Duration::from_secs(100);
    check_from(
        story,
        |story| cats(story, 12, 10_000),
        &[
            READ,
            &sum(9),
            &later(100_000),
            &later(100_000).replace("CW-101", "CW-101 ended x1"),
        ],
    );
}

#[test]
fn a_reader_that_never_pauses_stays_open_and_goes_on_counting() {
    // One process that reads ten times a second for two minutes, an hour's fold.
    check(
        |story| {
            for _ in 0..1_200 {
                story.read(&process(42));
                story.wait(100);
            }
        },
        &[READ, &sum(11)],
    );
}

#[test]
fn another_program_user_login_or_credential_is_another_cause() {
    let other_user = Task {
        uid: 0,
        euid: 0,
        ..process(43)
    };
    let login = Task {
        login_uid: Some(1000),
        ..process(44)
    };
    check(
        |story| {
            story.read(&process(42));
            story.exec(&other_user, "/usr/bin/cat");
            story.read(&other_user);
            story.exec(&login, "/usr/bin/cat");
            story.read(&login);
            story.exec(&process(45), "/usr/bin/tac");
            story.read(&process(45));
        },
        &[
            READ,
            "+0ms CW-101 unix:user:root /usr/bin/cat KEY at /srv/deploy/.ssh/id_ed25519",
            READ,
            "+0ms CW-101 unix:user:deploy /usr/bin/tac KEY at /srv/deploy/.ssh/id_ed25519",
        ],
    );
}

#[test]
fn each_address_is_a_destination_and_each_port_of_it_a_repeat() {
    let to = |address: &str| {
        format!("+0ms CW-102 unix:user:deploy /usr/bin/cat KEY at {PATH} to {address}")
    };
    check(
        |story| {
            story.read(&process(42));
            story.connect(&process(42), "192.0.2.7:22");
            story.connect(&process(42), "192.0.2.8:22");
            story.connect(&process(42), "192.0.2.7:2222");
        },
        &[
            READ,
            &to("192.0.2.7:22"),
            &to("192.0.2.8:22"),
            &to("192.0.2.7:22").replace("CW-102", "CW-102 ended x1"),
        ],
    );
}

#[test]
fn a_word_of_the_operator_starts_a_cause_anew() {
    for target in [by_fingerprint(KEY), Target::Path(PATH.into())] {
        let mut story = Story::with_key();
        story.exec(&process(42), "/usr/bin/cat");
        check_from(
            story,
            |story| {
                story.retire(target.clone());
                cats(story, 2, 2_000);
                story.restore(target.clone());
                cats(story, 2, 2_000);
                story.retire(target);
                cats(story, 2, 2_000);
            },
            &[
                READ,
                &sum(1),
                &later(4_000),
                &later(4_000).replace("CW-101", "CW-101 ended x1"),
            ],
        );
    }
}

#[test]
fn whatever_runs_under_a_retired_account_is_one_cause() {
    let mut story = Story::new();
    story.retire(by_selector("unix:user:svc-legacy"));
    let service = |pid| Task {
        uid: 998,
        euid: 998,
        ..process(pid)
    };
    check_from(
        story,
        |story| {
            story.exec(&service(50), "/bin/sh");
            story.exec(&service(51), "/usr/bin/rsync");
            story.connect(&service(51), "192.0.2.7:873");
            story.said(
                by_selector("unix:user:svc-legacy"),
                CredentialState::Revoked,
            );
            story.exec(&service(52), "/bin/sh");
        },
        &[
            "+0ms CW-103 unix:user:svc-legacy /bin/sh",
            "+0ms CW-103 unix:user:svc-legacy /usr/bin/rsync to 192.0.2.7:873",
            "+0ms CW-103 ended x1 unix:user:svc-legacy /bin/sh",
            "+0ms CW-103 unix:user:svc-legacy /bin/sh",
        ],
    );
}

#[test]
fn a_clock_that_is_set_back_hides_nothing() {
    check(
        |story| {
            story.wait(3_600_000);
            cats(story, 2, 1_000);
            story.wait(-3_600_000 - 1_000);
            cats(story, 1, 0);
            story.connect(&process(43), "192.0.2.7:22");
        },
        &[
            &later(3_600_000),
            &later(3_600_000).replace("CW-101", "CW-101 ended x1"),
            READ,
        ],
    );
}

#[test]
fn a_few_events_that_come_late_change_nothing() {
    check(
        |story| {
            story.wait(100);
            story.read(&process(42));
            story.wait(-100);
            story.connect(&process(42), "192.0.2.7:22");
            story.exec(&process(43), "/usr/bin/cat");
            story.read(&process(43));
        },
        &[
            &later(100),
            &format!("+0ms CW-102 unix:user:deploy /usr/bin/cat KEY at {PATH} to 192.0.2.7:22"),
            &later(100).replace("CW-101", "CW-101 ended x1"),
        ],
    );
}
