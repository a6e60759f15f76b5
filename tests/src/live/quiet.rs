//! What must raise nothing, cost little, and hide nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use monitor::model::DetectionId;

use super::daemon::{Daemon, Place, alone, is_own, patiently};
use super::host::{Account, SshKey, command, compile, program, python, run};

/// Opens and reads each of the files given as a directory and a number, so many times.
const READER: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char path[4096], buffer[64];
    int files = atoi(argv[2]), times = atoi(argv[3]);
    for (int i = 0; i < times; i++) {
        snprintf(path, sizeof path, "%s/file%d", argv[1], i % files);
        int fd = open(path, O_RDONLY);
        if (fd < 0 || read(fd, buffer, sizeof buffer) < 1) return 1;
        close(fd);
    }
    return 0;
}
"#;

/// Ordinary files beside a watched key, in the very directory that is watched for it.
fn ordinary_files(place: &Place, number: usize) -> std::path::PathBuf {
    let directory = place.root().join("data");
    fs::create_dir(&directory).unwrap();
    for n in 0..number {
        let path = directory.join(format!("file{n}"));
        fs::write(&path, format!("an ordinary file, number {n}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    directory
}

/// Hooks that see files: they count only what has passed the filter in the kernel.
const FILE_HOOKS: [&str; 5] = [
    "file_read",
    "file_map",
    "file_fault",
    "file_write",
    "file_open",
];

#[test]
fn ten_thousand_reads_of_unwatched_files_send_nothing() {
    let _host = alone();
    let place = Place::new();
    let directory = ordinary_files(&place, 100);
    let reader = compile(&place.at(""), "reader", READER);
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    place.retire(&key.path);
    // The walk at start has looked at them; let it settle.
    std::thread::sleep(patiently(Duration::from_millis(500)));
    let before = place.status();
    let mut ten_thousand = std::process::Command::new(&reader);
    run(ten_thousand.arg(&directory).arg("100").arg("10000"));
    std::thread::sleep(patiently(Duration::from_millis(300)));
    let after = place.status();
    for name in FILE_HOOKS {
        let fired = |status: &monitor::control::protocol::Status| {
            let hook = status.hooks.iter().find(|hook| hook.name == name);
            hook.unwrap().fired
        };
        let more = fired(&after) - fired(&before);
        // Others may run on this host meanwhile; ten thousand opens would be ten thousand.
        assert!(more < 100, "{name} fired {more} times");
    }
    let events = after.events - before.events;
    assert!(events < 1_000, "{events} events reached user space");
    assert_eq!(after.lost, before.lost);
    // And it does see what it watches.
    let fired = place.hook("file_read").fired;
    run(&mut command("cat", &[&key.path]));
    place.wait("the key", |alert| key.is_in(alert));
    assert!(place.hook("file_read").fired > fired);
}

#[test]
fn a_flood_hides_no_read() {
    let _host = alone();
    let place = Place::new();
    let directory = ordinary_files(&place, 100);
    let reader = compile(&place.at(""), "reader", READER);
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    place.retire(&key.path);
    let execs = "i=0; while [ $i -lt 2000 ]; do /bin/true; i=$((i+1)); done";
    let mut flood = vec![
        command("sh", &[&"-c", &execs]).spawn().unwrap(),
        std::process::Command::new(&reader)
            .arg(&directory)
            .args(["100", "200000"])
            .spawn()
            .unwrap(),
        python(
            "import socket\n\
             s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
             for i in range(20000): s.sendto(b'', ('127.0.0.1', 20000 + i % 20000))",
            &[],
        )
        .spawn()
        .unwrap(),
    ];
    std::thread::sleep(Duration::from_millis(300));
    assert!(flood[0].try_wait().unwrap().is_none(), "the flood goes on");
    let asked = Instant::now();
    let done = run(&mut command("cat", &[&key.path]));
    let alert = place.wait(
        "one read in a flood",
        done.is(DetectionId::RetiredCredentialRead),
    );
    assert!(asked.elapsed() < patiently(Duration::from_secs(5)));
    done.assert_time(&alert);
    for child in &mut flood {
        assert!(child.wait().unwrap().success());
    }
    place.until("all is taken in", || {
        let before = place.status().events;
        std::thread::sleep(Duration::from_millis(300));
        // The client itself is a handful of events.
        place.status().events - before < 100
    });
    let status = place.status();
    assert!(status.events > 4_000, "{}", status.events);
    // Whatever was lost is told, to the last event.
    std::thread::sleep(patiently(Duration::from_millis(1_500)));
    let told: u64 = place
        .stored_alerts()
        .iter()
        .filter(|alert| alert.id == DetectionId::EventsLost)
        .map(|alert| alert.repeats + 1)
        .sum();
    assert_eq!(told, place.status().lost);
    place.silent("a file that is none", |alert| {
        alert.id != DetectionId::EventsLost && !key.is_in(alert) && is_own(alert)
    });
}

#[test]
fn ordinary_administration_is_quiet() {
    let _host = alone();
    let place = Place::new();
    let directory = ordinary_files(&place, 200);
    let key = SshKey::ed25519(place.root().join("retired"));
    let active = SshKey::ed25519(place.root().join("active"));
    let daemon = Daemon::start(&place);
    place.retire(&key.path);
    let account = Account::new();
    // Retired accounts are there, too: administration under others is not theirs.
    place.retire(account.selector());

    let work = place.at("work");
    fs::create_dir(&work).unwrap();
    let sh = |line: &str| {
        let mut command = command("sh", &[&"-c", &line, &"sh"]);
        command.current_dir(&work);
        run(command.arg(&directory).arg(&active.path));
    };
    sh("ls -lR /etc /usr/bin /var/lib \"$1\" >/dev/null 2>&1 || true");
    sh("ls -la \"$1/..\"; stat \"$1/../retired\"; test -r \"$1/../retired\"; du -s \"$1/..\"");
    sh("cp -r \"$1\" copy && mv copy moved && rm -r moved");
    sh("find \"$1\" -type f -exec cat {} + >/dev/null");
    sh("tar -cf backup.tar \"$1\" && tar -tf backup.tar >/dev/null && gzip backup.tar");
    sh("grep -r ordinary \"$1\" | sort | head -5 | awk '{print $1}'");
    sh("cat \"$2\" >/dev/null; ssh-keygen -lf \"$2\"; ssh-keygen -yf \"$2\" >/dev/null");
    sh("ssh-keygen -q -t ed25519 -N '' -f new_key && cat new_key >/dev/null && rm new_key*");
    sh("chmod 600 \"$1/../retired\"; chown root \"$1/../retired\"");
    sh("apt-get --version >/dev/null; dpkg -l >/dev/null; ps aux >/dev/null; mount >/dev/null");
    sh("id; getent passwd root; su -s /bin/sh -c 'id -u' nobody");
    sh("python3 -c 'import json, ssl, socket; print(json.dumps({}))'");
    run(&mut python(
        "import http.server, threading, urllib.request\n\
         server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n\
         threading.Thread(target=server.serve_forever, daemon=True).start()\n\
         urllib.request.urlopen(f'http://127.0.0.1:{server.server_port}/').read()",
        &[],
    ));
    if program("git").exists() {
        sh(
            "git init -q repo && cd repo && echo text >file && git add file && \
            git -c user.name=a -c user.email=a@b commit -qm first && git log --oneline",
        );
    }
    let other = Account::new();
    run(&mut other.runs("id", &[]));
    drop(other);
    place.silent("ordinary administration", is_own);
    assert_eq!(place.status().lost, 0);
    // It was not blind.
    run(&mut command("cat", &[&key.path]));
    place.wait("the retired key", |alert| key.is_in(alert));
    daemon.stop();
}
