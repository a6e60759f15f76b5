//! A hook that is taken away is missed, told, and put back.

use std::fs;
use std::time::{Duration, Instant};

use monitor::control::protocol::Doctor;
use monitor::model::DetectionId;
use monitor::model::alert::AlertStatus;

use super::daemon::{Daemon, Place, patiently};
use super::host::act;
use super::turn::shared;

const AT_CGROUPS: &[&str] = &["link_type:\tcgroup"];

/// Links of programs that a process holds and of which all of this is told: their ids.
pub(super) fn links(pid: u32, told: &[&str]) -> Vec<u32> {
    let directory = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    directory
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .filter(|info| {
            told.iter()
                .all(|told| info.lines().any(|line| line == *told))
        })
        .filter_map(|info| {
            let id = info
                .lines()
                .find_map(|line| line.strip_prefix("link_id:"))?;
            id.trim().parse().ok()
        })
        .collect()
}

/// Detaches a link for everybody who holds it: what `bpftool link detach` does.
pub(super) fn detach(link: u32) {
    #[repr(C)]
    struct ById {
        id: u32,
        next: u32,
        flags: u32,
    }
    #[repr(C)]
    struct Detach {
        link: u32,
    }
    const LINK_GET_FD_BY_ID: libc::c_int = 30;
    const LINK_DETACH: libc::c_int = 34;
    let by_id = ById {
        id: link,
        next: 0,
        flags: 0,
    };
    // SAFETY: both attributes are laid out as the kernel expects and live through their call; the
    // descriptor is this function's own.
    unsafe {
        let fd = libc::syscall(
            libc::SYS_bpf,
            LINK_GET_FD_BY_ID,
            &raw const by_id,
            size_of::<ById>(),
        );
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        let detach = Detach { link: fd as u32 };
        let result = libc::syscall(
            libc::SYS_bpf,
            LINK_DETACH,
            &raw const detach,
            size_of::<Detach>(),
        );
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        libc::close(fd as libc::c_int);
    }
}

#[test]
fn a_hook_that_is_detached_is_told_within_ten_seconds_and_put_back() {
    let _host = shared();
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let found = links(daemon.pid(), AT_CGROUPS);
    assert!(!found.is_empty(), "some programs are at the cgroup's root");
    let before = Instant::now();
    for link in &found {
        detach(*link);
    }
    let deadline = before + patiently(Duration::from_secs(10));
    let gone = |hook: &str| {
        place.all(|alert| {
            alert.id == DetectionId::HookFailed
                && alert.summary.contains(hook)
                && alert.status == AlertStatus::Open
        })
    };
    while gone("connect4").is_empty() {
        assert!(
            Instant::now() < deadline,
            "nothing was told: {}",
            place.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    eprintln!("told after {:.1} s", before.elapsed().as_secs_f64());
    place.until("the hooks are back", || {
        let doctor: Doctor = place.ask(&["doctor"]);
        doctor.gaps().is_empty() && !links(daemon.pid(), AT_CGROUPS).is_empty()
    });
    // One without repeats ends without a word to the sinks.
    place.until("its alert has ended", || {
        place.stored_alerts().iter().any(|alert| {
            alert.id == DetectionId::HookFailed
                && alert.status == AlertStatus::Ended
                && alert.summary.contains("connect4")
        })
    });
    // And it does: the heart beats on without a complaint.
    std::thread::sleep(Duration::from_secs(6));
    let doctor: Doctor = place.ask(&["doctor"]);
    assert!(doctor.gaps().is_empty(), "{doctor:#?}");
}

#[test]
fn doctor_without_a_daemon_tries_every_hook_and_leaves_nothing_behind() {
    let _host = shared();
    let place = Place::new();
    let done = act(&mut place.client(&["doctor", "--output", "json"]));
    let doctor: Doctor = serde_json::from_slice(&done.output.stdout).unwrap();
    assert!(doctor.gaps().is_empty(), "{doctor:#?}");
    assert!(done.output.status.success());
    for hook in doctor.hooks.iter().filter(|hook| !hook.by_choice) {
        assert!(hook.attached, "{hook:?}");
        assert!(hook.fired || !hook.is_testable(), "{hook:?}");
    }
    let rest = fs::read_dir("/var/tmp").unwrap().filter_map(Result::ok);
    let own = format!("credwatch-doctor-{}", done.pid);
    assert!(rest.into_iter().all(|entry| entry.file_name() != *own));
}
