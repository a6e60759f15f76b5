//! Openers wait for the daemon's word: what that means when it is stopped, killed, or has no disk.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use monitor::model::{CredentialState, DetectionId};
use rustix::process::Signal;

use super::daemon::{Daemon, Place, patiently};
use super::host::{SshKey, command, run, signal, stop};
use super::turn::alone;

const READ: DetectionId = DetectionId::RetiredCredentialRead;

fn cat(key: &SshKey) -> Child {
    command("cat", &[&key.path])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

fn ended(child: &mut Child, within: Duration) -> bool {
    let deadline = Instant::now() + patiently(within);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// The price of marks that hold an opener until it is noted: a daemon that is stopped holds it.
#[test]
fn a_stopped_daemon_holds_openers_until_it_goes_on() {
    let _host = alone();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let free = place.root().join("notes");
    fs::write(&free, "nobody watches this\n").unwrap();
    let daemon = Daemon::start(&place);
    place.retire(&key.path);
    stop(daemon.pid());
    let mut reader = cat(&key);
    let held = !ended(&mut reader, Duration::from_secs(2));
    // Others are not held up: only marked files are.
    run(&mut command("cat", &[&free]));
    signal(daemon.pid(), Signal::CONT);
    assert!(held, "an open of a watched file waits for its answer");
    assert!(ended(&mut reader, Duration::from_secs(5)), "and gets it");
    let pid = reader.id();
    place.wait("the read that waited", |alert| {
        alert.id == READ && alert.process.as_ref().is_some_and(|of| of.pid == pid)
    });
    daemon.stop();
}

#[test]
fn a_killed_daemon_lets_openers_go() {
    let _host = alone();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let daemon = Daemon::start(&place);
    place.retire(&key.path);
    stop(daemon.pid());
    let mut reader = cat(&key);
    assert!(!ended(&mut reader, Duration::from_millis(500)));
    daemon.kill();
    assert!(ended(&mut reader, Duration::from_secs(5)));
    run(&mut command("cat", &[&key.path]));
}

/// A small tmpfs, for as long as this lives.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn new(place: &Place) -> Self {
        let at = place.at("small-disk");
        fs::create_dir(&at).unwrap();
        run(&mut command(
            "mount",
            &[
                &"-t",
                &"tmpfs",
                &"-o",
                &"size=3m,mode=0700",
                &"credwatch-live",
                &at,
            ],
        ));
        Self(at)
    }

    /// Writes until nothing more fits.
    fn fill(&self) -> std::path::PathBuf {
        use std::io::Write;
        let path = self.0.join("ballast");
        let mut file = fs::File::create(&path).unwrap();
        for size in [65_536, 4_096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the daemon may have it open still.
        let _ = command("umount", &[&"--lazy", &self.0]).output();
    }
}

#[test]
fn a_full_disk_keeps_no_alert_back() {
    let _host = alone();
    let mut place = Place::new();
    let disk = SmallDisk::new(&place);
    place.keep_state_in(&disk.0.join("state"));
    let keys: Vec<_> = (0..4)
        .map(|n| SshKey::ed25519(place.root().join(format!("deploy{n}"))))
        .collect();
    let daemon = Daemon::start(&place);
    for key in &keys {
        place.retire(&key.path);
    }
    let see = |key: &SshKey, what: &str| {
        let done = run(&mut command("cat", &[&key.path]));
        place.wait(what, done.is(READ))
    };
    let mut shown = vec![see(&keys[0], "with room")];
    let ballast = disk.fill();
    shown.push(see(&keys[1], "on a full disk"));
    shown.push(see(&keys[2], "and again"));
    // A word that cannot be kept is refused and not half in force.
    let refused = place
        .client(&["restore", keys[3].path.to_str().unwrap()])
        .output()
        .unwrap();
    let state = place.known(&keys[3].path).state;
    assert_eq!(
        refused.status.success(),
        state == CredentialState::Active,
        "{refused:?}"
    );
    fs::remove_file(ballast).unwrap();
    if refused.status.success() {
        place.retire(&keys[3].path);
    }
    shown.push(see(&keys[3], "with room again"));
    place.until("all is stored", || {
        let stored = place
            .client(&["alerts", "--output", "json"])
            .output()
            .unwrap();
        let stored = String::from_utf8_lossy(&stored.stdout).into_owned();
        shown.iter().all(|alert| stored.contains(&alert.alert_id))
    });
    daemon.stop();
    let stored = place.stored_alerts();
    for alert in &shown {
        assert!(stored.iter().any(|of| of.alert_id == alert.alert_id));
    }
}
