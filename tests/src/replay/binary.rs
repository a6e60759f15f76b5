//! `credwatch replay` itself: the same bytes anywhere and any day, and clear errors.

use std::path::PathBuf;
use std::process::Output;

use monitor::model::Alert;

use super::story::{Story, by_selector, child_of, process};
use crate::cli::credwatch;

/// A story with an alert of several kinds.
fn story() -> Story {
    let mut story = Story::with_retired_key();
    story.retire(by_selector("unix:user:svc-legacy"));
    story.read(&process(42));
    story.wait(1_234);
    story.connect(&process(42), "192.0.2.7:22");
    let child = child_of(&process(42), 43);
    story.fork(&child);
    story.exec(&child, "/usr/bin/cürl\n\u{1b}[31m");
    story.read(&child);
    story.connect(&child, "169.254.169.254:80");
    story.lost("process_exec", Some(0), 7);
    story.wait(2_000);
    story.read(&process(42));
    story.takes_uid(&process(44), 998);
    story
}

struct Recording {
    directory: tempfile::TempDir,
}

impl Recording {
    fn of(bytes: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("story.rec"), bytes).unwrap();
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("story.rec")
    }

    fn replay(&self, format: &str, environment: &[(&str, &str)]) -> Output {
        let mut command = credwatch();
        command.arg("replay").arg(self.path());
        command.args(["--output", format]);
        command.envs(environment.iter().copied());
        command.output().unwrap()
    }

    /// What is said on stderr when it cannot be replayed to its end, and how many alerts were
    /// before.
    fn error(&self) -> (String, usize) {
        let output = self.replay("json", &[]);
        assert_eq!(output.status.code(), Some(1));
        let alerts = String::from_utf8(output.stdout).unwrap().lines().count();
        let said = String::from_utf8(output.stderr).unwrap();
        (
            said.replace(&self.path().display().to_string(), "FILE"),
            alerts,
        )
    }
}

#[test]
fn a_replay_is_the_same_to_the_byte_anywhere_and_any_day() {
    let recording = Recording::of(&story().bytes());
    for format in ["json", "text"] {
        let first = recording.replay(format, &[]);
        assert_eq!(first.status.code(), Some(0));
        assert!(!first.stdout.is_empty());
        for environment in [
            &[][..],
            &[("TZ", "Pacific/Kiritimati")],
            &[("TZ", "America/St_Johns"), ("LC_ALL", "de_DE.UTF-8")],
            &[("LC_ALL", "C"), ("LANG", "tr_TR.UTF-8"), ("COLUMNS", "50")],
            &[("CLICOLOR_FORCE", "1"), ("TERM", "xterm-256color")],
            &[("RUST_LOG", "off"), ("HOME", "/nonexistent")],
        ] {
            let again = recording.replay(format, environment);
            assert_eq!(
                String::from_utf8_lossy(&again.stdout),
                String::from_utf8_lossy(&first.stdout),
                "{environment:?}"
            );
            assert_eq!(again.status.code(), Some(0));
        }
    }
}

/// The day is the machine's: another one for a process needs faketime, so this looks at what the
/// output is made of instead: every time in it is the story's.
#[test]
fn every_time_in_it_is_of_the_recording() {
    let recording = Recording::of(&story().bytes());
    for format in ["json", "text"] {
        let output = recording.replay(format, &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        let today = monitor::model::Timestamp::now().to_string();
        assert!(!text.contains(&today[..10]), "{text}");
        assert!(text.contains("2026-05-01"), "{text}");
    }
}

#[test]
fn json_is_the_alerts_of_the_library_and_text_is_for_people() {
    let story = story();
    let recording = Recording::of(&story.bytes());
    let output = recording.replay("json", &[]);
    let printed: Vec<Alert> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut expected = story.alerts();
    for alert in &mut expected {
        // JSON has microseconds.
        alert.time.0 = alert.time.0 / 1_000 * 1_000;
        alert.last_time.0 = alert.last_time.0 / 1_000 * 1_000;
    }
    assert_eq!(printed, expected);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        format!("{} facts, {} alerts\n", story.records.len(), expected.len())
    );
    let text = String::from_utf8(recording.replay("text", &[]).stdout).unwrap();
    insta::assert_snapshot!("text", text);
}

#[test]
fn a_recording_without_alerts_prints_nothing() {
    let output = Recording::of(&Story::new().bytes()).replay("json", &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"");
    assert_eq!(output.stderr, b"3 facts, 0 alerts\n");
}

#[test]
fn what_is_damaged_is_told_with_its_line_after_what_stood_before() {
    let story = story();
    let bytes = story.bytes();
    let lines = story.records.len() + 1;
    let damaged = |line: usize, what: &str| {
        format!(
            "error: FILE: the recording is damaged in line {line}: {what}. What stands before was \
             replayed; the rest cannot be trusted\n"
        )
    };
    let cut = Recording::of(&bytes[..bytes.len() - 1]).error();
    assert_eq!(cut.0, damaged(lines, "it is cut off"));
    assert!(cut.1 > 0);

    let mut flipped = bytes.clone();
    let at = flipped.len() - 5;
    flipped[at] ^= 1;
    let flipped = Recording::of(&flipped).error();
    assert_eq!(flipped.0, damaged(lines, "its checksum does not match"));

    // A line that is missing checksums, in the middle.
    let text = String::from_utf8(bytes.clone()).unwrap();
    let mut edited: Vec<_> = text.lines().collect();
    edited[2] = "{}";
    let edited = Recording::of(edited.join("\n").as_bytes()).error();
    assert_eq!(edited, (damaged(3, "it has no checksum"), 0));
}

#[test]
fn a_fact_of_a_newer_version_is_not_taken_for_damage_of_the_disk() {
    let mut bytes = Story::new().bytes();
    let fact = r#"{"time":1,"fact":"teleported"}"#;
    let line = format!("{:08x} {fact}\n", crc32(fact.as_bytes()));
    bytes.extend(line.into_bytes());
    let (said, _) = Recording::of(&bytes).error();
    assert!(
        said.contains("line 5: it is whole, and no fact that this version knows"),
        "{said}"
    );
}

#[test]
fn a_newer_form_names_what_wrote_it() {
    let text = String::from_utf8(story().bytes()).unwrap();
    let newer = text
        .replacen("\"credwatch_recording\":1", "\"credwatch_recording\":2", 1)
        .replacen(
            concat!("credwatch ", env!("CARGO_PKG_VERSION")),
            "credwatch 9.1.0",
            1,
        );
    assert_eq!(
        Recording::of(newer.as_bytes()).error(),
        (
            "error: FILE: this recording is of form 2, and this credwatch reads up to 1: replay \
             it with the version that wrote it (credwatch 9.1.0) or a newer one\n"
                .to_owned(),
            0
        )
    );
}

#[test]
fn what_is_no_recording_is_told_so() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice();
    for bytes in [
        b"".as_slice(),
        b"\n",
        b"{}\n",
        b"hello\n",
        png,
        &[0; 10_000],
    ] {
        assert_eq!(
            Recording::of(bytes).error(),
            (
                "error: FILE: this is no credwatch recording: its first line is not the head of \
                 one\n"
                    .to_owned(),
                0
            ),
            "{bytes:?}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error() {
    let output = credwatch()
        .args(["replay", "/nonexistent.rec"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: cannot open /nonexistent.rec: No such file or directory (os error 2)\n"
    );
    let output = credwatch().args(["replay", "/tmp"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Is a directory"), "{said}");
}

/// CRC-32 as in IEEE 802.3, so that a line can be written without the code under test.
fn crc32(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    !crc
}
