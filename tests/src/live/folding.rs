//! One alert a cause, and a sum when it ends.

use monitor::model::DetectionId;
use monitor::model::alert::AlertStatus;

use super::daemon::{Daemon, Place};
use super::host::{SshKey, command, exe, run};
use super::turn::shared;

#[test]
fn fifty_reads_of_a_loop_are_one_alert_and_one_sum() {
    let _host = shared();
    let place = Place::with("[detection]\nfold_quiet = \"2s\"");
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    place.retire(&key.path);
    let loops = "for i in $(seq 50); do cat \"$1\" >/dev/null; done";
    let done = run(&mut command("sh", &[&"-c", &loops, &"sh", &key.path]));
    let about = |alert: &monitor::model::Alert| key.is_in(alert);
    let sum = place.wait("the sum", |alert| {
        about(alert) && alert.status == AlertStatus::Ended
    });
    let all = place.all(about);
    assert_eq!(all.len(), 2, "{all:#?}");
    let first = &all[0];
    assert_eq!((first.status, first.repeats), (AlertStatus::Open, 0));
    assert_eq!(first.id, DetectionId::RetiredCredentialRead);
    assert_eq!(sum.repeats, 49);
    assert_eq!(sum.alert_id, first.alert_id);
    assert_eq!(sum.time, first.time);
    assert!(sum.last_time > first.time);
    done.assert_time(first);
    // The shell that loops is what the single reads have in common.
    let process = first.process.as_ref().unwrap();
    assert_eq!(process.exe, Some(exe("cat")));
    assert_eq!(process.ancestors[0].pid, done.pid);

    let stored = place.stored_alerts();
    let stored: Vec<_> = stored.into_iter().filter(about).collect();
    assert_eq!(stored, [sum], "the database holds the sum, once");
}

#[test]
fn another_program_is_another_cause() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    place.retire(&key.path);
    for name in ["cat", "head", "tail", "cat", "md5sum", "head"] {
        run(&mut command(name, &[&key.path]));
    }
    place.until("four causes", || {
        place.all(|alert| key.is_in(alert)).len() >= 4
    });
    place.silent("a fifth", |_| place.all(|alert| key.is_in(alert)).len() > 4);
    let mut exes: Vec<_> = place
        .all(|alert| key.is_in(alert))
        .into_iter()
        .filter_map(|alert| alert.process?.exe)
        .collect();
    exes.sort();
    let mut expected = ["cat", "head", "tail", "md5sum"].map(exe).to_vec();
    expected.sort();
    assert_eq!(exes, expected);
}
