//! What the daemon says about itself: who stopped it, when it did not watch, what was changed under
//! it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use monitor::model::{Alert, DetectionId, Severity};
use rustix::process::Signal;

use super::daemon::{Daemon, Place, program};
use super::host::{SshKey, command, exe, python, run, signal, stop};
use super::turn::{alone, shared};

/// Files are looked at every 5 seconds, and those that settle at two looks. This machine may be
/// busy.
const LOOKS: Duration = Duration::from_secs(25);

fn not_watched(alert: &Alert) -> bool {
    alert.id == DetectionId::NotWatched
}

pub(super) fn tampered(text: &str) -> impl Fn(&Alert) -> bool {
    move |alert| alert.id == DetectionId::Tampered && alert.summary.contains(text)
}

/// The alert, however long files take to be looked at.
pub(super) fn wait_long(place: &Place, what: &str, is: impl Fn(&Alert) -> bool) -> Alert {
    let deadline = Instant::now() + LOOKS;
    while !place.alerts().iter().any(&is) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    place.wait(what, is)
}

/// So long that every file has been looked at twice.
fn let_it_look() {
    std::thread::sleep(Duration::from_secs(12));
}

#[test]
fn who_stops_it_is_said_before_it_ends() {
    let _host = shared();
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let pid = daemon.pid().to_string();
    // Not the shell's own: a process that is gone when the daemon hears of its signal.
    let killer = run(&mut command("kill", &[&"-TERM", &pid]));
    daemon.ended_well();
    let alerts = place.all(not_watched);
    let [alert] = &alerts[..] else {
        panic!("{alerts:#?}")
    };
    assert_eq!(alert.severity, Severity::High);
    let said = format!(
        "Credwatch was told to stop (SIGTERM) by unix:user:root by {} (pid {}",
        exe("kill"),
        killer.pid
    );
    assert!(alert.summary.starts_with(&said), "{}", alert.summary);
    let process = alert.process.as_ref().unwrap();
    assert_eq!(process.pid, killer.pid);
    let test = std::process::id();
    assert!(process.ancestors.iter().any(|of| of.pid == test));
    killer.assert_time(alert);
    let stored = place.stored_alerts();
    assert!(stored.iter().any(|of| of.alert_id == alert.alert_id));
    // It has said so: the next run has nothing to add.
    let _daemon = Daemon::start(&place);
    place.silent("a run that said that it ends", |other| {
        not_watched(other) && other.alert_id != alert.alert_id
    });
}

/// `rt_sigqueueinfo` lets its caller write who it is.
#[test]
fn a_sender_that_gives_itself_out_as_init_is_not_believed() {
    let _host = shared();
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let pid = daemon.pid().to_string();
    run(&mut python(
        "import ctypes, struct, sys\n\
         info = struct.pack('iiiiII', 15, 0, -1, 0, 1, 0) + bytes(104)\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         assert libc.syscall(129, int(sys.argv[1]), 15, info) == 0, ctypes.get_errno()",
        &[&pid],
    ));
    daemon.ended_well();
    let alert = place.wait("the stop", not_watched);
    assert_eq!(alert.severity, Severity::High);
    assert!(alert.summary.contains("may be false"), "{}", alert.summary);
}

#[test]
fn a_signal_that_means_nothing_ends_nothing() {
    let _host = shared();
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let pid = daemon.pid().to_string();
    for name in [
        "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "STKFLT", "XCPU", "34", "64",
    ] {
        run(&mut command("kill", &[&format!("-{name}"), &pid]));
    }
    place.until("it says so", || {
        place.log().contains("signal=\"SIGUSR1\"") && place.log().contains("signal 64")
    });
    assert_eq!(place.status().pid, daemon.pid());
    daemon.stop();
}

#[test]
fn a_run_that_was_killed_is_told_by_the_next_one() {
    let _host = shared();
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let killed = daemon.pid();
    daemon.kill();
    assert_eq!(place.all(not_watched), []);
    std::thread::sleep(Duration::from_secs(2));
    let daemon = Daemon::start(&place);
    let alert = place.wait("the former run", not_watched);
    assert_eq!(alert.severity, Severity::High);
    let said = format!(
        "The former run of Credwatch (pid {killed}) ended without saying so, as kill -9 does: it \
         was last known to run at "
    );
    assert!(alert.summary.starts_with(&said), "{}", alert.summary);
    let (_, unwatched) = alert
        .summary
        .rsplit_once("nothing was watched for ")
        .unwrap();
    let seconds: u64 = unwatched.strip_suffix(" s").unwrap().parse().unwrap();
    // Since its last beat, which was its start, and at least the two seconds of nothing.
    assert!((2..60).contains(&seconds), "{}", alert.summary);
    daemon.stop();
    // Told once; and this one has said that it ends.
    let _daemon = Daemon::start(&place);
    place.silent("told once", |other| {
        not_watched(other)
            && other.alert_id != alert.alert_id
            && !other.summary.contains("told to stop")
    });
}

#[test]
fn a_run_of_another_boot_is_told_as_such() {
    let _host = shared();
    let place = Place::new();
    Daemon::start(&place).kill();
    // No reboot here: the mark is made that of another boot.
    sqlite(&place, "UPDATE run SET boot_id = 'another'");
    let _daemon = Daemon::start(&place);
    let alert = place.wait("the former run", not_watched);
    assert_eq!(alert.severity, Severity::Medium);
    let said = "ended when the host went down without a shutdown";
    assert!(alert.summary.contains(said), "{}", alert.summary);
}

#[test]
fn a_daemon_that_was_held_says_so() {
    let _host = alone();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let daemon = Daemon::start(&place);
    place.retire(&key.path);
    stop(daemon.pid());
    std::thread::sleep(Duration::from_secs(5));
    signal(daemon.pid(), Signal::CONT);
    let alert = place.wait("held", not_watched);
    assert_eq!(alert.severity, Severity::High);
    let held = ["4 s", "5 s", "6 s"].map(|time| format!("Credwatch was held for {time}: "));
    assert!(
        held.iter().any(|held| alert.summary.starts_with(held)),
        "{}",
        alert.summary
    );
    let done = run(&mut command("cat", &[&key.path]));
    let read = DetectionId::RetiredCredentialRead;
    place.wait("it goes on", done.is(read));
    daemon.stop();
}

/// Runs SQL on the database, as anybody may who is root.
fn sqlite(place: &Place, sql: &str) {
    run(&mut python(
        "import sqlite3, sys\n\
         with sqlite3.connect(sys.argv[1]) as database: print(database.execute(sys.argv[2]).fetchall())\n\
         database.close()",
        &[&place.state().join("credwatch.db"), &sql],
    ));
}

#[test]
fn whoever_writes_to_the_database_is_noticed_and_readers_are_not() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let daemon = Daemon::start(&place);
    place.retire(&key.path);
    let_it_look();
    for _ in 0..2 {
        place.stored_alerts();
        sqlite(&place, "SELECT count(*) FROM alert");
    }
    // The last one to leave the database removes its log: that is the daemon.
    assert!(place.state().join("credwatch.db-wal").exists());
    let done = run(&mut command("cat", &[&key.path]));
    let shown = place.wait("a read", done.is(DetectionId::RetiredCredentialRead));
    let_it_look();
    assert_eq!(place.all(tampered("")), []);
    sqlite(&place, "DELETE FROM alert");
    let alert = wait_long(&place, "a write", tampered("was written to by another"));
    assert_eq!(alert.severity, Severity::High);
    let path = place.state().join("credwatch.db");
    assert!(alert.summary.contains(path.to_str().unwrap()), "{alert:#?}");
    let stored = place.stored_alerts();
    let ids: Vec<_> = stored.iter().map(|alert| &alert.alert_id).collect();
    assert!(ids.contains(&&alert.alert_id) && !ids.contains(&&shown.alert_id));
    daemon.stop();
}

#[test]
fn a_database_that_is_replaced_is_noticed() {
    let _host = shared();
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let path = place.state().join("credwatch.db");
    let away = place.at("away.db");
    run(&mut command("mv", &[&path, &away]));
    run(&mut command("cp", &[&"-p", &away, &path]));
    let alert = wait_long(&place, "replaced", tampered("was replaced"));
    assert_eq!(alert.severity, Severity::High);
    let what = format!("The database {} was replaced (owner root", path.display());
    assert!(alert.summary.starts_with(&what), "{}", alert.summary);
    assert!(alert.summary.contains("is lost"), "{}", alert.summary);
    drop(daemon);
}

#[test]
fn what_lies_beside_the_database_is_guarded_too() {
    let _host = shared();
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let key = place.state().join("fingerprint.key");
    let other = place.at("other.key");
    fs::copy(&key, &other).unwrap();
    fs::rename(&other, &key).unwrap();
    fs::remove_file(place.state().join("credwatch.db-wal")).unwrap();
    fs::set_permissions(place.state(), fs::Permissions::from_mode(0o777)).unwrap();
    wait_long(&place, "key", tampered("fingerprint.key was replaced"));
    wait_long(&place, "log", tampered("credwatch.db-wal was removed"));
    let alert = wait_long(&place, "directory", tampered("has another owner or mode"));
    assert!(alert.summary.contains("0700, and is "), "{}", alert.summary);
    drop(daemon);
}

/// A copy of the program in the test's own directory.
fn copy_of_the_program(place: &Place, to: &Path) {
    fs::copy(program(), place.at("new")).unwrap();
    fs::rename(place.at("new"), to).unwrap();
}

#[test]
fn a_program_that_is_replaced_is_noticed_once() {
    let _host = shared();
    let place = Place::new();
    let path = place.at("credwatch");
    copy_of_the_program(&place, &path);
    let daemon = Daemon::start_by(&place, Command::new(&path));
    copy_of_the_program(&place, &path);
    let alert = wait_long(&place, "replaced", tampered("is not the one that runs"));
    assert_eq!(alert.severity, Severity::Medium);
    let what = format!("The program {} was replaced (owner root", path.display());
    assert!(alert.summary.starts_with(&what), "{}", alert.summary);
    let_it_look();
    let alerts = place.all(tampered(""));
    assert_eq!((alerts.len(), alerts[0].repeats), (1, 0), "{alerts:#?}");
    daemon.stop();
}
