//! Alerts for what hides: processes that are gone at once, descriptors that travel, and file systems
//! without a page cache of the usual kind. All ways of hiding are in `evasions`.

use std::path::Path;
use std::process::Command;

use monitor::model::DetectionId;
use monitor::model::alert::AlertStatus;

use super::daemon::{Daemon, Place};
use super::host::{Partner, SshKey, command, compile, exe, python, run};
use super::turn::shared;

const READ: DetectionId = DetectionId::RetiredCredentialRead;

/// Forks so many children, each of which opens, reads and is gone, and does not wait for them.
const STORM: &str = r#"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int children = atoi(argv[2]);
    for (int i = 0; i < children; i++) {
        pid_t child = fork();
        if (child < 0) return 1;
        if (child == 0) {
            char buffer[64];
            int fd = open(argv[1], O_RDONLY);
            _exit(read(fd, buffer, sizeof buffer) > 0 ? 0 : 1);
        }
    }
    int status, failed = 0;
    while (wait(&status) > 0) failed += status != 0;
    return failed != 0;
}
"#;

#[test]
fn of_three_hundred_readers_that_are_gone_at_once_none_is_missed() {
    let _host = shared();
    let place = Place::with("[detection]\nfold_quiet = \"4s\"");
    let key = SshKey::ed25519(place.root().join("deploy"));
    let storm = compile(&place.at(""), "storm", STORM);
    let _daemon = Daemon::start(&place);
    place.retire(&key.path);
    let done = run(Command::new(&storm).arg(&key.path).arg("300"));
    let by_storm = |alert: &monitor::model::Alert| {
        let process = alert.process.as_ref();
        key.is_in(alert) && process.is_some_and(|of| of.exe.as_deref() == storm.to_str())
    };
    let sum = place.wait("the sum", |alert| {
        by_storm(alert) && alert.status == AlertStatus::Ended
    });
    assert_eq!(sum.repeats, 299);
    let process = sum.process.unwrap();
    assert_eq!(process.ancestors[0].pid, done.pid);
    let used = place.usage();
    let row = used
        .iter()
        .find(|row| Some(&*row.key.exe) == storm.to_str());
    assert_eq!(row.unwrap().count, 300, "every use is counted: {used:#?}");
    assert_eq!(place.status().lost, 0);
}

#[test]
fn deleting_what_was_read_does_not_undo_the_read() {
    let _host = shared();
    let place = Place::new();
    let _daemon = Daemon::start(&place);
    let read_and_unlink = "import os, sys\n\
        fd = os.open(sys.argv[1], os.O_RDONLY)\n\
        os.read(fd, 64)\n\
        os.unlink(sys.argv[1])";
    let unlink_and_read = "import os, sys\n\
        fd = os.open(sys.argv[1], os.O_RDONLY)\n\
        os.unlink(sys.argv[1])\n\
        os.read(fd, 64)";
    for round in 0..20 {
        let key = SshKey::ed25519(place.root().join(format!("deploy{round}")));
        place.known(&key.path);
        place.retire(&key.path);
        let script = if round % 2 == 0 {
            read_and_unlink
        } else {
            unlink_and_read
        };
        let done = run(&mut python(script, &[&key.path]));
        let alert = place.wait(&format!("round {round}"), done.is(READ));
        assert!(key.is_in(&alert));
    }
}

/// Takes a descriptor in by a socket and reads from it.
const TAKER: &str = "import array, os, socket, sys\n\
    s = socket.socket(socket.AF_UNIX)\n\
    s.connect(sys.argv[1])\n\
    fds = socket.recv_fds(s, 1, 1)[1]\n\
    assert os.pread(fds[0], 64, 0)";

#[test]
fn a_descriptor_that_is_passed_on_names_who_reads() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    let socket = place.at("socket");
    let mut giver = Partner::start(&mut python(
        "import os, socket, sys\n\
         fd = os.open(sys.argv[1], os.O_RDONLY)\n\
         s = socket.socket(socket.AF_UNIX)\n\
         s.bind(sys.argv[2]); s.listen()\n\
         print('open', flush=True)\n\
         c, _ = s.accept()\n\
         socket.send_fds(c, [b'.'], [fd])\n\
         print('given', flush=True)\n\
         sys.stdin.readline()",
        &[&key.path, &socket],
    ));
    place.retire(&key.path);
    let taker = run(&mut python(TAKER, &[&socket]));
    assert_eq!(giver.listen(), "given");
    let alert = place.wait("a descriptor by SCM_RIGHTS", taker.is(READ));
    assert!(key.is_in(&alert));
    assert_eq!(alert.process.unwrap().exe, Some(exe("python3")));
    let giver = giver.finish();
    place.silent("who only held it", giver.is(READ));
}

/// Maps what is already open, and touches it.
const MAPPER: &str = "import mmap, os, sys\n\
    fd = os.open(sys.argv[1], os.O_RDONLY)\n\
    print('open', flush=True)\n\
    sys.stdin.readline()\n\
    how = sys.argv[2]\n\
    assert os.pread(fd, 64, 0) if how == 'read' else mmap.mmap(fd, 0, prot=mmap.PROT_READ)[0]\n\
    print('done', flush=True)\n\
    sys.stdin.readline()";

#[test]
fn memory_file_systems_are_watched_as_well() {
    let _host = shared();
    let memory = tempfile::Builder::new()
        .prefix("credwatch-live-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let place = Place::new();
    let key = |name: &str| SshKey::ed25519(memory.path().join(name));
    let _daemon = Daemon::start(&place);
    let (opened, read, mapped) = (key("opened"), key("read"), key("mapped"));
    for key in [&opened, &read, &mapped] {
        // A descriptor that was opened before the file was marked tells of no read on tmpfs.
        place.known(&key.path);
    }
    let hold = |path: &Path, how: &str| Partner::start(&mut python(MAPPER, &[&path, &how]));
    let (mut reader, mut mapper) = (hold(&read.path, "read"), hold(&mapped.path, "map"));
    for key in [&opened, &read, &mapped] {
        place.retire(&key.path);
    }
    let done = run(&mut command("cat", &[&opened.path]));
    assert!(opened.is_in(&place.wait("an open", done.is(READ))));
    for (partner, key, what) in [
        (&mut reader, &read, "a read on an old descriptor"),
        (&mut mapper, &mapped, "a mapping of an old descriptor"),
    ] {
        let pid = partner.pid();
        partner.go_on();
        assert_eq!(partner.listen(), "done");
        place.wait(what, |alert| {
            let process = alert.process.as_ref();
            alert.id == READ && key.is_in(alert) && process.is_some_and(|of| of.pid == pid)
        });
    }
}
