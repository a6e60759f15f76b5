//! What must raise nothing, cost little, and hide nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use monitor::model::DetectionId;

use super::daemon::{Daemon, Place, is_own, patiently};
use super::host::{
    Account, Partner, SshKey, change_accounts, command, compile, program, python, run,
};
use super::turn::alone;

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
fn a_large_file_that_a_reader_writes_is_told_once_a_second() {
    let _host = alone();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    place.retire(&key.path);
    let large = place.root().join("large");
    let before = place.hook("file_write");
    // One process from the read to the last page: as sudo does, which reads its rules and becomes apt.
    let line = "read -r _ <\"$1\"; exec dd if=/dev/zero of=\"$2\" bs=4096 count=20000 status=none";
    run(&mut command(
        "sh",
        &[&"-c", &line, &"sh", &key.path, &large],
    ));
    place.wait("the read", |alert| key.is_in(alert));
    std::thread::sleep(patiently(Duration::from_millis(1_500)));
    let after = place.hook("file_write");
    assert_eq!(after.capped, before.capped, "{after:?}");
    let fired = after.fired - before.fired;
    // The self-test writes too. Each page by itself was hundreds.
    assert!(
        (1..100).contains(&fired),
        "it fired {fired} times: {after:?}"
    );
    let lost = |alert: &monitor::model::Alert| alert.id == DetectionId::EventsLost;
    assert!(!place.stored_alerts().iter().any(lost));
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
    // What a process was capped of names the process; what was lost names none.
    let told = |capped: bool| -> u64 {
        let alerts = place.stored_alerts().into_iter();
        alerts
            .filter(|alert| alert.id == DetectionId::EventsLost)
            .filter(|alert| alert.process.is_some() == capped)
            .map(|alert| alert.repeats + 1)
            .sum()
    };
    place.until("all that was capped is told", || {
        let hooks = place.status().hooks;
        told(true) == hooks.iter().map(|hook| hook.capped).sum::<u64>()
    });
    assert_eq!(told(false), place.status().lost);
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

/// A package with a script that looks at the system's own files, as those of passwd, sudo and ucf do.
fn install_and_remove_a_package(work: &std::path::Path) {
    let tree = work.join("package");
    let control = tree.join("DEBIAN");
    fs::create_dir_all(&control).unwrap();
    fs::write(
        control.join("control"),
        "Package: credwatch-live-test\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example>\n\
         Description: a test\n",
    )
    .unwrap();
    let script = control.join("postinst");
    fs::write(
        &script,
        "#!/bin/sh\nset -e\nmd5sum /etc/shadow /etc/gshadow >/dev/null\npwck -r -q || true\n",
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let package = work.join("test.deb");
    run(&mut command("dpkg-deb", &[&"--build", &tree, &package]));
    // A database of its own: this host's is left alone.
    let database = work.join("dpkg");
    for directory in ["info", "updates"] {
        fs::create_dir_all(database.join(directory)).unwrap();
    }
    fs::write(database.join("status"), "").unwrap();
    let admindir = format!("--admindir={}", database.display());
    for action in ["--install", "--purge"] {
        let mut dpkg = command("dpkg", &[&admindir, &"--force-bad-path", &action]);
        run(match action {
            "--install" => dpkg.arg(&package),
            _ => dpkg.arg("credwatch-live-test"),
        });
    }
}

#[test]
fn what_manages_accounts_and_shows_processes_is_quiet() {
    let _host = alone();
    let place = Place::new();
    let work = place.at("work");
    fs::create_dir(&work).unwrap();
    let key = SshKey::ed25519(place.root().join("key"));
    let daemon = Daemon::start(&place);
    let sh = |line: &str| {
        let mut command = command("sh", &[&"-c", &line, &"sh", &key.path]);
        run(command.current_dir(&work));
    };
    // A service of another account that holds a secret while all are looked at.
    let account = Account::new();
    std::os::unix::fs::chown(&key.path, Some(account.uid), Some(account.gid)).unwrap();
    let service = Partner::start(&mut account.runs(
        "python3",
        &[
            &"-c",
            &"import sys\nkept = open(sys.argv[1]).read()\nprint('up', flush=True)\n\
              sys.stdin.readline()",
            &key.path,
        ],
    ));
    sh("ps aux >/dev/null; ps -ef >/dev/null; top -b -n1 >/dev/null; pgrep -a python3 >/dev/null");
    sh("pidof python3 >/dev/null; w >/dev/null; uptime; ss -tulpn >/dev/null 2>&1 || true");
    // As systemctl and log daemons do.
    sh(
        "cat /proc/[0-9]*/stat /proc/[0-9]*/status /proc/[0-9]*/cmdline /proc/[0-9]*/cgroup \
        /proc/[0-9]*/comm >/dev/null 2>&1 || true",
    );
    sh("strace -f -o trace sh -c 'cat \"$0\" >/dev/null' \"$1\" && test -s trace");
    sh("env >/dev/null; cat /proc/self/environ /proc/$$/environ >/dev/null");
    sh(
        "eval $(ssh-agent -s) >/dev/null; trap 'kill $SSH_AGENT_PID' EXIT; cp \"$1\" copy; \
        chmod 600 copy; ssh-add -q copy; ssh-add -l >/dev/null; rm copy",
    );
    // Accounts and passwords, through every tool that changes them.
    change_accounts(&mut command(
        "usermod",
        &[&"--comment", &"a test", &account.name],
    ));
    change_accounts(&mut command("passwd", &[&"-l", &account.name]));
    change_accounts(&mut command("chage", &[&"-M", &"90", &account.name]));
    let chpasswd = format!("echo '{}:quiet-Pw-1' | chpasswd", account.name);
    change_accounts(&mut command("sh", &[&"-c", &chpasswd]));
    sh("chage -l root >/dev/null; passwd -S root >/dev/null; pwck -r -q || true; grpck -r || true");
    sh("su -s /bin/sh -c true nobody");
    for optional in ["/usr/bin/sudo -n true", "/usr/sbin/visudo -c"] {
        let program = optional.split(' ').next().unwrap();
        if std::path::Path::new(program).exists() {
            sh(&format!("{optional} >/dev/null"));
        }
    }
    // A daily job that keeps a copy of the password file, as Debian's was.
    let jobs = work.join("daily");
    fs::create_dir(&jobs).unwrap();
    fs::write(
        jobs.join("passwd"),
        "#!/bin/sh\ncmp -s /etc/shadow shadow.bak || cp -p /etc/shadow shadow.bak\n",
    )
    .unwrap();
    fs::set_permissions(jobs.join("passwd"), fs::Permissions::from_mode(0o755)).unwrap();
    sh("run-parts daily");
    install_and_remove_a_package(&work);
    service.finish();
    place.silent("the keeping of accounts and processes", is_own);
    assert_eq!(place.status().lost, 0);
    // It was not blind.
    let done = run(&mut command("cat", &[&"/etc/shadow"]));
    let alert = place.wait("the password file", done.is(DetectionId::SystemSecret));
    assert_eq!(alert.path.as_deref(), Some("/etc/shadow"));
    daemon.stop();
}
