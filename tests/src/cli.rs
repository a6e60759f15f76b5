//! The command line by itself: help, usage errors, exit codes, broken pipes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The program, built once for this run of the tests from the same sources and profile. A machine
/// without cargo names a built one in `CREDWATCH_BIN`.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("CREDWATCH_BIN") {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

fn build() -> PathBuf {
    let profile = if cfg!(debug_assertions) {
        "dev"
    } else {
        "release"
    };
    let output = Command::new(env!("CARGO"))
        .args(["build", "--package", "monitor", "--bin", "credwatch"])
        .args(["--profile", profile, "--message-format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "building credwatch failed");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| {
            let is_it = message["target"]["name"] == "credwatch";
            message["executable"]
                .as_str()
                .filter(|_| is_it)
                .map(PathBuf::from)
        })
        .unwrap()
}

/// The program, away from what this machine's environment says.
pub(crate) fn credwatch() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(program());
    for name in ["CREDWATCH_STATE_DIR", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

/// Runs it, expects an exit code, and gives stdout and stderr.
pub(crate) fn outcome(args: &[&str], code: i32) -> (String, String) {
    let output = credwatch()
        .args(args)
        .assert()
        .code(code)
        .get_output()
        .clone();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

const SUBCOMMANDS: &[&str] = &[
    "run",
    "check",
    "status",
    "credentials",
    "identities",
    "alerts",
    "usage",
    "retire",
    "restore",
    "record",
    "replay",
    "evaluate",
    "explain",
    "completions",
    "man",
];

#[test]
fn help_goes_to_stdout_and_names_everything() {
    let (help, errors) = outcome(&["--help"], 0);
    assert_eq!(errors, "");
    assert!(help.contains("Exit codes:"));
    for command in SUBCOMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
        let (help, errors) = outcome(&[command, "--help"], 0);
        assert!(help.contains("Examples:\n"), "{command}: {help}");
        assert_eq!(errors, "");
    }
    let (version, _) = outcome(&["--version"], 0);
    assert!(version.starts_with("credwatch "), "{version}");
}

#[test]
fn usage_errors_end_with_2_and_leave_stdout_alone() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "Usage:"),
        (&["statsu"], "'status'"),
        (&["status", "--output", "xml"], "table, json"),
        (&["retire"], "<TARGET>"),
        (&["retire", ""], "is no path"),
        (&["retire", "unix:user:"], "is no selector"),
        (&["alerts", "--limit=-1"], "--limit"),
        (&["record", "f", "--duration", "soon"], "1h30m"),
        (&["explain", "CW-999"], "`CW-101`"),
        (&["explain", "\u{1b}[31m"], "CW-101"),
        (&["completions", "tcl"], "bash"),
    ];
    for (args, hint) in cases {
        let (data, errors) = outcome(args, 2);
        assert_eq!(data, "", "{args:?}");
        assert!(errors.contains(hint), "{args:?}: {errors}");
    }
}

#[test]
fn without_a_daemon_clients_say_what_to_do() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().to_str().unwrap();
    let socket = state.path().join("control.sock");
    let (_, errors) = outcome(&["status", "--state-dir", directory], 1);
    let expected = format!("no daemon answers at {}", socket.display());
    assert!(errors.contains(&expected), "{errors}");
    assert!(errors.contains("credwatch run"), "{errors}");
    for command in ["credentials", "identities", "alerts", "usage"] {
        let (data, errors) = outcome(&[command, "--state-dir", directory], 1);
        assert_eq!(data, "");
        assert!(errors.contains("there is no database at"), "{errors}");
        assert!(errors.contains("credwatch run"), "{errors}");
    }
    // The directory may come from the environment too.
    let assert = credwatch()
        .arg("status")
        .env("CREDWATCH_STATE_DIR", directory)
        .assert()
        .code(1);
    let errors = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(errors.contains(&expected), "{errors}");
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for args in [&["man"][..], &["completions", "zsh"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(program())
            .args(args)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = Command::new(program())
        .arg("man")
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"));
}

#[test]
fn completions_are_scripts_that_name_the_subcommands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (script, _) = outcome(&["completions", shell], 0);
        for command in SUBCOMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    // The one shell that every machine with these tests has can say whether it is one.
    let (script, _) = outcome(&["completions", "bash"], 0);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let status = Command::new("bash").arg("-n").arg(file.path()).status();
    assert!(status.unwrap().success());
}

#[test]
fn every_subcommand_has_a_manual_page() {
    let (page, _) = outcome(&["man"], 0);
    assert!(page.contains(".TH credwatch 1"), "{page}");
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("man/man1");
    outcome(&["man", directory.to_str().unwrap()], 0);
    for command in SUBCOMMANDS {
        let page = std::fs::read_to_string(directory.join(format!("credwatch-{command}.1")));
        assert!(page.unwrap().contains("Examples:"), "{command}");
    }
}

#[test]
fn every_mistake_of_a_configuration_has_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    std::fs::write(&file, "[sensor]\nring_byte = 5\n[control]\ngruop = \"x\"\n").unwrap();
    let output = Command::new(program())
        .arg("check")
        .arg("--config")
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let errors = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(lines.len(), 2, "{errors}");
    assert!(
        lines[0].contains(":2:") && lines[0].contains("`ring_bytes`"),
        "{errors}"
    );
    assert!(
        lines[1].contains(":4:") && lines[1].contains("`group`"),
        "{errors}"
    );
}
