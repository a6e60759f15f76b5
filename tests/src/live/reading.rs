//! CW-101: a retired SSH key is read, by every path to it and every way of reading.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use monitor::model::alert::AlertStatus;
use monitor::model::{
    Alert, CredentialKind, CredentialState, DetectionId, Evidence, Selector, Severity, Timestamp,
};

use super::daemon::{Daemon, Place, patiently};
use super::host::{Done, Partner, SshKey, command, compile, exe, python, run};
use super::turn::shared;

const READ: DetectionId = DetectionId::RetiredCredentialRead;

/// Opens, reads or maps, and is gone: nobody can ask it anything afterwards.
const READER: &str = r#"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char buffer[64];
    if (argc != 3) _exit(9);
    int fd = open(argv[2], O_RDONLY);
    if (fd < 0) _exit(1);
    if (!strcmp(argv[1], "open")) _exit(0);
    if (!strcmp(argv[1], "read")) _exit(read(fd, buffer, sizeof buffer) == sizeof buffer ? 0 : 2);
    volatile char *at = mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) _exit(3);
    _exit(at[0] == '-' ? 0 : 4);
}
"#;

/// All that an alert about a retired key says, to the last field.
fn assert_alert(alert: &Alert, done: &Done, key: &SshKey, path: &Path, exe: &str) {
    done.assert_time(alert);
    assert_eq!(alert.id, READ);
    assert_eq!(alert.severity, Severity::Critical);
    assert_eq!(alert.title, "A retired credential was read");
    assert_eq!(alert.identity, Some(Selector::unix_user("root")));
    assert_eq!(alert.evidence, Some(Evidence::Read));
    assert_eq!(alert.attack, ["T1552.004"]);
    assert_eq!(alert.owasp, ["NHI1"]);
    assert_eq!((alert.status, alert.repeats), (AlertStatus::Open, 0));
    assert_eq!(alert.destination, None);
    let process = alert.process.as_ref().unwrap();
    assert_eq!(process.pid, done.pid);
    assert_eq!((process.uid, process.user.as_deref()), (0, Some("root")));
    assert_eq!(process.exe.as_deref(), Some(exe));
    assert!(process.start_time <= alert.time, "{process:?}");
    let test = std::process::id();
    let ancestors = &process.ancestors;
    assert!(
        ancestors.iter().any(|of| of.pid == test),
        "this test ({test}) made the process: {ancestors:?}"
    );
    let credential = alert.credential.as_ref().unwrap();
    assert_eq!(credential.fingerprint.as_str(), key.fingerprint);
    assert_eq!(credential.kind, CredentialKind::SshPrivateKey);
    assert_eq!(credential.path.as_deref(), path.to_str());
    assert_eq!(credential.state, CredentialState::Retired);
    assert_eq!(credential.retired_by.as_deref(), Some("root"));
    assert_eq!(credential.reason.as_deref(), Some("moved to OIDC"));
    assert!(credential.retired_at.is_some_and(|at| at <= alert.time));
    for part in [&*key.fingerprint, exe, path.to_str().unwrap()] {
        assert!(alert.summary.contains(part), "{}", alert.summary);
    }
}

/// One way to a key.
struct Way {
    name: &'static str,
    key: SshKey,
    /// Where the alert says that it lies.
    path: PathBuf,
    exe: String,
    command: Command,
}

/// Retires each key, goes each way, and expects one alert of each.
fn every_way_is_seen(place: &Place, ways: Vec<Way>) {
    let _daemon = Daemon::start(place);
    let mut gone = Vec::new();
    for mut way in ways {
        let changed = place.retire(&way.key.path);
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].target, way.key.fingerprint, "as ssh-keygen says");
        let done = run(&mut way.command);
        gone.push((way, done));
    }
    for (way, done) in gone {
        let alert = place.wait(way.name, done.is(READ));
        assert_alert(&alert, &done, &way.key, &way.path, &way.exe);
        let all = place.all(|alert| way.key.is_in(alert));
        assert_eq!(all.len(), 1, "{} is one cause: {all:#?}", way.name);
    }
}

#[test]
fn a_retired_key_is_seen_by_every_path_to_it() {
    let _host = shared();
    let place = Place::new();
    let root = place.root();
    let below = root.join("below");
    fs::create_dir(&below).unwrap();
    let way = |name: &'static str, kind, at: &dyn Fn(&SshKey) -> (PathBuf, PathBuf)| {
        let key = SshKey::new(
            root.join(format!("deploy_{}", name.replace([' ', '/'], "_"))),
            kind,
        );
        let (given, path) = at(&key);
        let mut command = command("cat", &[&given]);
        command.current_dir(&below);
        Way {
            name,
            path,
            exe: exe("cat"),
            command,
            key,
        }
    };
    let name = |key: &SshKey| PathBuf::from(key.path.file_name().unwrap());
    let ways = vec![
        way("absolute path", "ed25519", &|key| {
            (key.path.clone(), key.path.clone())
        }),
        way("relative path", "rsa", &|key| {
            (Path::new("../").join(name(key)), key.path.clone())
        }),
        way("dots", "ecdsa", &|key| {
            let given = root.join("below/.././below/..").join(name(key));
            (given, key.path.clone())
        }),
        way("symbolic link", "ed25519", &|key| {
            let link = below.join("a-link");
            symlink(Path::new("..").join(name(key)), &link).unwrap();
            (link, key.path.clone())
        }),
        way("hard link", "ed25519", &|key| {
            let link = below.join("another-name");
            fs::hard_link(&key.path, &link).unwrap();
            (link.clone(), link)
        }),
        way("link to its directory", "ed25519", &|key| {
            let link = place.at("elsewhere");
            symlink(&root, &link).unwrap();
            (link.join(name(key)), key.path.clone())
        }),
        way("/proc/self/root", "ed25519", &|key| {
            let below_root = key.path.strip_prefix("/").unwrap();
            let given = Path::new("/proc/self/root").join(below_root);
            (given, key.path.clone())
        }),
    ];
    every_way_is_seen(&place, ways);
}

#[test]
fn a_retired_key_is_seen_by_every_way_of_reading_it() {
    let _host = shared();
    let place = Place::new();
    let reader = compile(&place.at(""), "reader", READER);
    let compiled = reader.to_str().unwrap().to_owned();
    let way = |name: &'static str, exe: String, command: &dyn Fn(&Path) -> Command| {
        let key = SshKey::ed25519(place.root().join(format!("id_{name}")));
        Way {
            name,
            path: key.path.clone(),
            exe,
            command: command(&key.path),
            key,
        }
    };
    let c = |name: &'static str, what: &'static str| {
        way(name, compiled.clone(), &|path| {
            let mut command = Command::new(&reader);
            command.arg(what).arg(path);
            command
        })
    };
    let python = |name, script: &'static str| {
        way(name, exe("python3"), &move |path| python(script, &[&path]))
    };
    let ways = vec![
        way("cat", exe("cat"), &|path| command("cat", &[&path])),
        way("dd", exe("dd"), &|path| {
            command("dd", &[&format!("if={}", path.display()), &"of=/dev/null"])
        }),
        way("direct", exe("dd"), &|path| {
            let input = format!("if={}", path.display());
            command("dd", &[&input, &"of=/dev/null", &"iflag=direct"])
        }),
        way("shell", exe("sh"), &|path| {
            command("sh", &[&"-c", &"read line <\"$1\"", &"sh", &path])
        }),
        c("open_and_exit", "open"),
        c("read_and_exit", "read"),
        c("map", "map"),
        python("python", "import sys; open(sys.argv[1]).read()"),
        python(
            "thread",
            "import sys, threading\n\
             t = threading.Thread(target=lambda: open(sys.argv[1]).read())\n\
             t.start(); t.join()",
        ),
        python(
            "sendfile",
            "import os, sys\n\
             r, w = os.pipe()\n\
             os.sendfile(w, os.open(sys.argv[1], os.O_RDONLY), 0, 64)",
        ),
        python(
            "o_path",
            "import os, sys\n\
             fd = os.open(sys.argv[1], os.O_PATH)\n\
             open(f'/proc/self/fd/{fd}').read()",
        ),
        python(
            "dirfd",
            "import os, sys\n\
             directory, name = os.path.split(sys.argv[1])\n\
             os.read(os.open(name, 0, dir_fd=os.open(directory, os.O_PATH)), 64)",
        ),
    ];
    every_way_is_seen(&place, ways);
}

#[test]
fn a_descriptor_from_before_the_retirement_is_no_way_around_it() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    let mut holder = Partner::start(&mut python(
        "import os, sys\n\
         fd = os.open(sys.argv[1], os.O_RDONLY)\n\
         print('open', flush=True)\n\
         sys.stdin.readline()\n\
         os.pread(fd, 64, 0)\n\
         print('read', flush=True)\n\
         sys.stdin.readline()",
        &[&key.path],
    ));
    // The open was legitimate.
    assert_eq!(place.all(|alert| key.is_in(alert)), []);
    place.retire(&key.path);
    holder.go_on();
    assert_eq!(holder.listen(), "read");
    let done = holder.finish();
    let alert = place.wait("a read on an old descriptor", done.is(READ));
    assert_alert(&alert, &done, &key, &key.path, &exe("python3"));
}

#[test]
fn who_reads_all_the_time_is_seen_when_the_key_is_retired() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    let poller = Partner::start(&mut python(
        "import os, sys, time\n\
         fd = os.open(sys.argv[1], os.O_RDONLY)\n\
         print('open', flush=True)\n\
         while True:\n    os.pread(fd, 64, 0)\n    time.sleep(0.2)",
        &[&key.path],
    ));
    std::thread::sleep(patiently(Duration::from_millis(600)));
    let retired = Timestamp::now();
    place.retire(&key.path);
    let alert = place.wait("a service that never stops to read", |alert| {
        key.is_in(alert)
    });
    assert_eq!(alert.process.unwrap().pid, poller.pid());
    assert!(alert.time > retired);
}

#[test]
fn restoring_ends_it_and_retiring_begins_it_anew() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    let slowest = Cell::new(Duration::ZERO);
    let cat = || {
        let started = Instant::now();
        let done = run(&mut command("cat", &[&key.path]));
        slowest.set(slowest.get().max(started.elapsed()));
        done
    };
    let before = cat();
    place.silent("an active key", before.is(READ));
    for round in 0..3 {
        let changed = place.retire(&key.fingerprint);
        assert_eq!(changed[0].state, CredentialState::Retired);
        place.wait(&format!("round {round}"), cat().is(READ));
        // Its last read may still be on its way, and would be one of a restored key.
        std::thread::sleep(patiently(Duration::from_millis(300)));
        let changed = place.restore(&key.path);
        assert_eq!(changed[0].before, CredentialState::Retired);
        assert_eq!(changed[0].state, CredentialState::Active);
        let done = cat();
        place.silent("a restored key", done.is(READ));
    }
    let used = place.usage();
    let uses: u64 = used
        .iter()
        .filter(|row| row.key.fingerprint.as_str() == key.fingerprint)
        .filter(|row| row.key.exe == exe("cat"))
        .map(|row| row.count)
        .sum();
    // An open and a read that lie more than a second apart, on a machine that is that busy, are
    // taken for two uses.
    let exact = slowest.get() < Duration::from_millis(900);
    assert!(uses == 7 || (uses > 7 && !exact), "{uses} uses: {used:#?}");
}
