//! CW-102: who reads a retired credential and then connects. CW-203: who asks the metadata service.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::process::Command;

use monitor::model::{Alert, DetectionId, Evidence, Selector, Severity};

use super::daemon::{Daemon, Place};
use super::host::{Done, SshKey, command, exe, program, python, run};
use super::turn::{alone, shared};

const READ: DetectionId = DetectionId::RetiredCredentialRead;
const USED: DetectionId = DetectionId::RetiredCredentialUsed;
const METADATA: DetectionId = DetectionId::MetadataService;

fn assert_used(alert: &Alert, key: &SshKey, to: (&str, u16)) {
    assert_eq!(alert.evidence, Some(Evidence::ReadThenConnect));
    assert_eq!(alert.severity, Severity::Critical);
    assert_eq!(alert.attack, ["T1078", "T1552"]);
    assert_eq!(alert.owasp, ["NHI1"]);
    assert_eq!(alert.identity, Some(Selector::unix_user("root")));
    let destination = alert.destination.as_ref().unwrap();
    let address: IpAddr = to.0.parse().unwrap();
    assert_eq!((destination.address, destination.port), (address, to.1));
    assert!(key.is_in(alert));
    assert_eq!(
        alert.process.as_ref().unwrap().exe,
        Some(exe("python3")),
        "{alert:#?}"
    );
}

/// Reads the key given, then sends something to the address given.
const READ_THEN_SEND: &str = "import socket, sys\n\
    path, family, kind, address, port = sys.argv[1:]\n\
    open(path).read()\n\
    s = socket.socket(getattr(socket, family), getattr(socket, kind))\n\
    to = (address, int(port))\n\
    s.sendto(b'x', to) if kind == 'SOCK_DGRAM' else s.connect(to)";

#[test]
fn a_connection_after_the_read_is_a_use() {
    let _host = shared();
    let place = Place::new();
    let cases = [
        ("AF_INET", "SOCK_STREAM", "127.0.0.1"),
        ("AF_INET6", "SOCK_STREAM", "::1"),
        ("AF_INET", "SOCK_DGRAM", "127.0.0.1"),
        ("AF_INET6", "SOCK_DGRAM", "::1"),
    ];
    let keys: Vec<_> = (0..cases.len())
        .map(|n| SshKey::ed25519(place.root().join(format!("deploy{n}"))))
        .collect();
    let _daemon = Daemon::start(&place);
    for ((family, kind, address), key) in cases.iter().zip(&keys) {
        let tcp = TcpListener::bind((*address, 0)).unwrap();
        let port = tcp.local_addr().unwrap().port();
        let udp = UdpSocket::bind((*address, port)).unwrap();
        place.retire(&key.path);
        let port_text = port.to_string();
        let done = run(&mut python(
            READ_THEN_SEND,
            &[&key.path, family, kind, address, &port_text],
        ));
        let what = format!("{family} {kind}");
        let alert = place.wait(&what, done.is(USED));
        assert_used(&alert, key, (address, port));
        done.assert_time(&alert);
        let first = place.wait("its read", done.is(READ));
        assert!(first.time <= alert.time);
        assert_eq!(first.destination, None);
        drop((tcp, udp));
        let destination = match address.contains(':') {
            true => format!("[{address}]:{port}"),
            false => format!("{address}:{port}"),
        };
        let rows = place.usage();
        assert!(
            rows.iter().any(|row| row.key.destination == destination
                && row.key.fingerprint.as_str() == key.fingerprint
                && row.count == 1),
            "{rows:#?}"
        );
    }
}

#[test]
fn a_datagram_of_each_of_many_processes_is_told() {
    const MANY: u64 = 8;
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    place.retire(&key.path);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    // One after the other: the kernel gives each the memory of the socket before.
    let each = "import os, socket, sys\n\
        path, port, many = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])\n\
        for _ in range(many):\n\
        \x20   child = os.fork()\n\
        \x20   if child == 0:\n\
        \x20       open(path).read()\n\
        \x20       s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        \x20       s.sendto(b'x', ('127.0.0.1', port))\n\
        \x20       os._exit(0)\n\
        \x20   os.waitpid(child, 0)";
    run(&mut python(
        each,
        &[&key.path, &port.to_string(), &MANY.to_string()],
    ));
    let told = || {
        let rows = place.usage();
        let row = rows.iter().find(|row| {
            row.key.destination == format!("127.0.0.1:{port}")
                && row.key.fingerprint.as_str() == key.fingerprint
        });
        row.map_or(0, |row| row.count)
    };
    place.until("every datagram's sender is told", || told() == MANY);
}

#[test]
fn a_child_that_connects_for_the_reader_is_seen() {
    let _host = shared();
    let place = Place::new();
    let (forked, execed) = (
        SshKey::ed25519(place.root().join("forked")),
        SshKey::ed25519(place.root().join("execed")),
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let _daemon = Daemon::start(&place);
    place.retire(&forked.path);
    place.retire(&execed.path);
    let connect = "import socket, sys\nsocket.create_connection(('127.0.0.1', int(sys.argv[1])))";
    let script = format!(
        "import os, socket, sys\n\
         open(sys.argv[2]).read()\n\
         if os.fork() == 0:\n\
         \x20   if os.fork() == 0:\n\
         \x20       socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n\
         \x20       os._exit(0)\n\
         \x20   os.wait()\n\
         \x20   os._exit(0)\n\
         os.wait()\n\
         open(sys.argv[3]).read()\n\
         os.execv(sys.executable, [sys.executable, '-c', {connect:?}, sys.argv[1]])"
    );
    let done = run(&mut python(
        &script,
        &[&port.to_string(), &forked.path, &execed.path],
    ));
    for (key, same_process) in [(&forked, false), (&execed, true)] {
        let alert = place.wait("a use", |alert| alert.id == USED && key.is_in(alert));
        assert_used(&alert, key, ("127.0.0.1", port));
        let process = alert.process.unwrap();
        assert_eq!(process.pid == done.pid, same_process);
        assert!(same_process || process.ancestors.iter().any(|of| of.pid == done.pid));
    }
}

#[test]
fn who_only_connects_or_reads_too_long_ago_raises_nothing() {
    let _host = shared();
    let place = Place::with("[detection]\nread_then_connect_window = \"1s\"");
    let key = SshKey::ed25519(place.root().join("deploy"));
    let active = SshKey::ed25519(place.root().join("active"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let _daemon = Daemon::start(&place);
    place.retire(&key.path);
    let stranger = run(&mut python(
        "import socket, sys\nsocket.create_connection(('127.0.0.1', int(sys.argv[1])))",
        &[&port],
    ));
    let of_an_active_key = run(&mut python(
        READ_THEN_SEND,
        &[
            &active.path,
            &"AF_INET",
            &"SOCK_STREAM",
            &"127.0.0.1",
            &port,
        ],
    ));
    let late = run(&mut python(
        "import socket, sys, time\n\
         open(sys.argv[2]).read()\n\
         time.sleep(1.5)\n\
         socket.create_connection(('127.0.0.1', int(sys.argv[1])))",
        &[&port, &key.path],
    ));
    place.wait("the read", late.is(READ));
    place.silent("a connection for another reason", |alert| {
        [&stranger, &of_an_active_key, &late]
            .iter()
            .any(|done| done.is(USED)(alert))
    });
    let pids = [stranger.pid, of_an_active_key.pid];
    let all = place.all(|alert| {
        alert
            .process
            .as_ref()
            .is_some_and(|of| pids.contains(&of.pid))
    });
    assert_eq!(all, []);
}

/// A program in a network of its own where this host has the metadata services' addresses: nothing
/// leaves it.
fn in_own_network(command: &Command) -> Command {
    let script = format!(
        "set -e; ip=\"$1\"; shift; \"$ip\" link set lo up\n\
         for a in {}; do \"$ip\" address add \"$a\" dev lo; done\n\
         exec \"$@\"",
        "169.254.169.254/32 169.254.170.2/32 169.254.170.23/32 100.100.100.200/32 \
         fd00:ec2::254/128 fd00:ec2::23/128 10.9.8.7/32"
    );
    let mut unshared = super::host::command(
        "unshare",
        &[&"--net", &"sh", &"-c", &script, &"sh", &program("ip")],
    );
    unshared.arg(command.get_program()).args(command.get_args());
    unshared
}

/// Asks every address given in the way that does not wait.
const ASK: &str = "import socket, sys\n\
    for address, port in (to.rsplit('|', 1) for to in sys.argv[1:]):\n\
    \x20   family = socket.AF_INET6 if ':' in address else socket.AF_INET\n\
    \x20   s = socket.socket(family, socket.SOCK_STREAM)\n\
    \x20   s.setblocking(False)\n\
    \x20   s.connect_ex((address, int(port)))";

#[test]
fn every_address_of_the_metadata_services_is_watched() {
    let _host = alone();
    let place = Place::new();
    let _daemon = Daemon::start(&place);
    let addresses = [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "fd00:ec2::254",
        "fd00:ec2::23",
    ];
    let mut ask = python(ASK, &[&"10.9.8.7|80", &"169.254.169.254|53"]);
    ask.args(addresses.map(|address| format!("{address}|80")));
    let done: Done = run(&mut in_own_network(&ask));
    for address in addresses {
        let of = done.is(METADATA);
        let alert = place.wait(address, |alert| {
            of(alert)
                && alert
                    .destination
                    .as_ref()
                    .is_some_and(|to| to.address.to_string() == address)
        });
        done.assert_time(&alert);
        assert_eq!(alert.destination.unwrap().port, 80);
        assert_eq!(alert.severity, Severity::High);
        assert_eq!((&*alert.attack[0], &*alert.owasp[0]), ("T1552.005", "NHI6"));
        assert_eq!(alert.identity, Some(Selector::unix_user("root")));
        assert_eq!(alert.process.unwrap().exe, Some(exe("python3")));
        assert_eq!((alert.credential, alert.evidence), (None, None));
    }
    // Nor for another address, nor for the resolver behind the same one.
    let all = place.all(done.is(METADATA));
    assert_eq!(all.len(), addresses.len(), "{all:#?}");
}

#[test]
fn an_agent_that_is_allowed_may_ask_the_metadata_service() {
    let _host = alone();
    let allowed = exe("python3");
    let place = Place::with(&format!(
        "[detection.metadata_service]\nallowed = [{:?}]",
        allowed.replace("python3", "python*")
    ));
    let _daemon = Daemon::start(&place);
    let agent = run(&mut in_own_network(&python(ASK, &[&"169.254.169.254|80"])));
    let bash = "exec 3<>/dev/tcp/169.254.169.254/80 || true";
    let other = run(&mut in_own_network(&command("bash", &[&"-c", &bash])));
    let alert = place.wait("another program asks", other.is(METADATA));
    assert_eq!(alert.process.unwrap().exe, Some(exe("bash")));
    place.silent("the agent asks", agent.is(METADATA));
}
