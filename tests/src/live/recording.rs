//! Record on the live kernel, replay anywhere.

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use monitor::model::{Alert, DetectionId};

use super::daemon::{Daemon, Place, open_to_all, patiently};
use super::host::{Account, Done, SshKey, act, command, exe, run};
use super::turn::shared;

/// Records while a retired key is read; gives the act and the file.
fn recorded(place: &Place, key: &SshKey) -> (Done, std::path::PathBuf) {
    let file = place.at("live.rec");
    let duration = format!("{}s", patiently(Duration::from_secs(6)).as_secs());
    let mut record = place.client(&["record", file.to_str().unwrap(), "--duration", &duration]);
    // The file itself may be empty for long: where little happens, it is written at the end.
    let said = place.at("recorder");
    record
        .stdout(Stdio::null())
        .stderr(fs::File::create(&said).unwrap());
    let mut child: Child = record.spawn().unwrap();
    place.until("the recording has begun", || {
        fs::read_to_string(&said).unwrap().contains("recording to")
    });
    std::thread::sleep(patiently(Duration::from_millis(700)));
    let done = run(&mut command("cat", &[&key.path]));
    let status = child.wait().unwrap();
    assert!(status.success());
    (done, file)
}

/// Replays where there is neither root nor a state directory.
fn replay(place: &Place, account: &Account, file: &std::path::Path, format: &str) -> Output {
    let copy = place.at("credwatch");
    if !copy.exists() {
        fs::copy(super::daemon::program(), &copy).unwrap();
        open_to_all(&copy);
    }
    let mut replay: Command = command(
        "setpriv",
        &[
            &format!("--reuid={}", account.uid),
            &format!("--regid={}", account.gid),
            &"--clear-groups",
            &"--no-new-privs",
            &copy,
            &"replay",
            &file,
            &"--output",
            &format,
        ],
    );
    act(&mut replay).output
}

#[test]
fn a_recording_of_this_kernel_replays_the_same_for_everybody() {
    let _host = shared();
    let place = Place::new();
    let account = Account::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    place.retire(&key.path);
    let (done, file) = recorded(&place, &key);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "it tells paths and names of this host");
    // The owner hands it to somebody else.
    open_to_all(&file);

    let first = replay(&place, &account, &file, "json");
    assert!(first.status.success(), "{first:?}");
    let alerts: Vec<Alert> = String::from_utf8(first.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mine: Vec<_> = alerts.iter().filter(|alert| key.is_in(alert)).collect();
    assert_eq!(mine.len(), 1, "{alerts:#?}");
    assert!(done.is(DetectionId::RetiredCredentialRead)(mine[0]));
    done.assert_time(mine[0]);
    let process = mine[0].process.as_ref().unwrap();
    assert_eq!(process.exe, Some(exe("cat")));
    assert_eq!(process.user.as_deref(), Some("root"));
    let test = std::process::id();
    assert!(process.ancestors.iter().any(|of| of.pid == test));
    for _ in 0..2 {
        let again = replay(&place, &account, &file, "json");
        assert_eq!(again.stdout, first.stdout, "to the byte");
    }
    let text = replay(&place, &account, &file, "text");
    let other = replay(&place, &account, &file, "text");
    assert_eq!(text.stdout, other.stdout);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("CW-101") && text.contains(&key.fingerprint),
        "{text}"
    );

    // Damaged in every way: a clear error, never a panic, never half an answer taken for all.
    let good = fs::read(&file).unwrap();
    let damaged = place.at("damaged.rec");
    let mut cases = vec![
        ("empty", Vec::new()),
        ("a word", b"hello\n".to_vec()),
        ("cut in the middle", good[..good.len() / 2].to_vec()),
        ("cut at the end", good[..good.len() - 3].to_vec()),
    ];
    for at in [1, 20, good.len() / 3, good.len() / 2, good.len() - 5] {
        let mut flipped = good.clone();
        flipped[at] ^= 0x10;
        cases.push(("a bit flipped", flipped));
    }
    for (what, content) in cases {
        fs::write(&damaged, content).unwrap();
        open_to_all(&damaged);
        let output = replay(&place, &account, &damaged, "json");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {errors}");
        assert!(errors.contains("damaged.rec"), "{what}: {errors}");
        assert!(!errors.contains("panicked"), "{what}: {errors}");
    }
    let missing = replay(&place, &account, &place.at("none.rec"), "json");
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn a_recording_beside_a_daemon_changes_nothing_and_overwrites_nothing() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    place.retire(&key.path);
    let (done, file) = recorded(&place, &key);
    let alert = place.wait(
        "the daemon goes on",
        done.is(DetectionId::RetiredCredentialRead),
    );
    assert!(key.is_in(&alert));
    let before = fs::read(&file).unwrap();
    let again = act(&mut place.client(&["record", file.to_str().unwrap(), "--duration", "1s"]));
    assert_eq!(again.output.status.code(), Some(1));
    assert_eq!(fs::read(&file).unwrap(), before);
}
