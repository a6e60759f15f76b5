//! The control socket of a running daemon: what it tells, and whom.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::daemon::{Daemon, Place, is_own, open_to_all};
use super::host::{Account, SshKey, act, change_accounts, command, program, run};
use super::turn::{alone, shared};

#[test]
fn status_tells_that_every_hook_is_in_place_and_fires() {
    // Any alert at all would be wrong, so nothing else may act here.
    let _host = alone();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let daemon = Daemon::start(&place);
    run(&mut command("cat", &[&key.path]));
    let status: Value = place.ask(&["status"]);
    assert_eq!(status["ready"], true);
    assert_eq!(status["pid"], daemon.pid());
    assert_eq!(status["lost"], 0);
    assert_eq!(status["credentials"], 1);
    let hooks = status["hooks"].as_array().unwrap();
    assert!(hooks.len() >= 20, "{hooks:#?}");
    // Only the operator takes a hook on every system call, where that is the last rung.
    for hook in hooks.iter().filter(|hook| hook["name"] != "key_read") {
        assert_eq!(hook["attached"], true, "{hook}");
        assert!(hook["fired"].as_u64().unwrap() > 0, "{hook}");
        assert_eq!(hook["lost"], 0, "{hook}");
        assert!(
            hook["backend"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(status["kernel"], release.trim());
    assert_eq!(status["sinks"][0]["failed"], 0);
    let identities: Value = place.ask(&["identities"]);
    let root = identities.as_array().unwrap().iter();
    assert!(root.clone().any(|row| row["selector"] == "unix:user:root"));
    place.silent("a healthy daemon complains of nothing", is_own);
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused() {
    let _host = shared();
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let mut second = place.client(&["run", "--config"]);
    second.arg(place.at("credwatch.toml"));
    let done = act(&mut second);
    let errors = String::from_utf8_lossy(&done.output.stderr);
    assert_eq!(done.output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("another credwatch is running"), "{errors}");
    assert!(errors.contains(&daemon.pid().to_string()), "{errors}");
    // The first one goes on.
    assert_eq!(place.status().pid, daemon.pid());
    daemon.stop();
}

#[test]
fn garbage_is_answered_and_harms_nobody() {
    let _host = shared();
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let connect = || UnixStream::connect(place.state().join("control.sock")).unwrap();
    let garbage: [&[u8]; 5] = [
        b"\n",
        b"hello\n",
        b"{\"request\":\"format-disk\"}\n",
        b"\xff\xfe\x00\n",
        b"{\"request\":\"retire\",\"target\":\"relative/path\",\"reason\":null}\n",
    ];
    for line in garbage {
        let mut stream = connect();
        stream.write_all(line).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["response"], "error", "{line:?}: {answer}");
    }
    let mut endless = connect();
    // It may hang up before it has read all of it.
    let _ = endless.write_all(&vec![b'x'; 200_000]);
    let mut answer = Vec::new();
    let _ = endless.read_to_end(&mut answer);
    // Many that say nothing do not keep others out.
    let idle: Vec<_> = (0..20).map(|_| connect()).collect();
    assert!(place.status().ready);
    drop(idle);
    daemon.stop();
}

/// The client where every account may run it.
fn public_client(place: &Place, account: &Account, groups: &str) -> Command {
    let copy: PathBuf = place.at("credwatch");
    if !copy.exists() {
        std::fs::copy(super::daemon::program(), &copy).unwrap();
        open_to_all(&copy);
    }
    command(
        "setpriv",
        &[
            &format!("--reuid={}", account.uid),
            &format!("--regid={}", account.gid),
            &groups,
            &copy,
            &"status",
            &"--output",
            &"json",
            &"--state-dir",
            &place.state(),
        ],
    )
}

#[test]
fn strangers_are_refused() {
    let _host = shared();
    let place = Place::new();
    let account = Account::new();
    let _daemon = Daemon::start(&place);
    let socket = place.state().join("control.sock");
    let metadata = std::fs::symlink_metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let done = act(&mut public_client(&place, &account, "--clear-groups"));
    assert_eq!(done.output.status.code(), Some(1));
    // Even where somebody has opened the doors: the daemon asks the kernel who it is.
    open_to_all(place.state());
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    let done = act(&mut public_client(&place, &account, "--clear-groups"));
    let errors = String::from_utf8_lossy(&done.output.stderr);
    assert_eq!(done.output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("may not"), "{errors}");
    assert!(done.output.stdout.is_empty());
}

/// A group, for as long as this lives.
struct Group(String);

impl Drop for Group {
    fn drop(&mut self) {
        change_accounts(&mut command("groupdel", &[&self.0]));
    }
}

#[test]
fn members_of_the_group_may_ask() {
    let _host = shared();
    let group = Group(format!("cwlive-group-{}", std::process::id()));
    change_accounts(&mut command("groupadd", &[&group.0]));
    let account = Account::new();
    let stranger = Account::new();
    let place = Place::with(&format!("[control]\ngroup = {:?}", group.0));
    std::fs::create_dir(place.state()).unwrap();
    let entry = run(&mut command("getent", &[&"group", &group.0]));
    let entry = String::from_utf8(entry.output.stdout).unwrap();
    let gid: u32 = entry.split(':').nth(2).unwrap().parse().unwrap();
    chown(place.state(), Some(0), Some(gid)).unwrap();
    std::fs::set_permissions(place.state(), std::fs::Permissions::from_mode(0o750)).unwrap();
    let daemon = Daemon::start(&place);
    let member = format!("--groups={gid}");
    let done = run(&mut public_client(&place, &account, &member));
    let status: Value = serde_json::from_slice(&done.output.stdout).unwrap();
    assert_eq!(status["pid"], daemon.pid());
    let done = act(&mut public_client(&place, &stranger, "--clear-groups"));
    assert_eq!(done.output.status.code(), Some(1));
    assert!(program("groupdel").exists());
}
