//! Names for addresses: real clients ask real sockets in a network of their own.

mod network;
mod resolver;

use std::fs::{self, File};
use std::io::BufReader;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use monitor::model::{Fact, Record};
use monitor::recording::Reader;
use rustix::process::Signal;

use super::daemon::{Daemon, Place};
use super::host::{Done, run, signal};
use super::turn::{alone, shared};
use network::Network;
use resolver::{Resolver, forward};

/// `credwatch record`, until it is finished.
struct Recording {
    child: Child,
    file: PathBuf,
}

impl Recording {
    fn start(place: &Place) -> Self {
        let file = place.at("names.rec");
        let config = place.at("credwatch.toml");
        let mut record = place.client(&["record", file.to_str().unwrap()]);
        record.arg("--config").arg(config);
        record.stdout(Stdio::null()).stderr(Stdio::null());
        let child = record.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while fs::metadata(&file).is_ok_and(|of| of.len() < 2_000) || !file.exists() {
            assert!(Instant::now() < deadline, "the recording does not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, file }
    }

    fn finish(mut self) -> Vec<Record> {
        // Longer than anything lies in the ring.
        std::thread::sleep(Duration::from_millis(300));
        signal(self.child.id(), Signal::TERM);
        assert!(self.child.wait().unwrap().success());
        let reader = Reader::new(BufReader::new(File::open(&self.file).unwrap())).unwrap();
        reader.map(Result::unwrap).collect()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // One that has ended already is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The domain of a test: other tests ask for names on this host too.
fn zone(test: &str) -> String {
    format!("{test}-{}.test", std::process::id())
}

/// Every name of a zone with its address, in the order of time.
fn names(records: &[Record], zone: &str) -> Vec<(String, String)> {
    let names = records.iter().filter_map(|record| match &record.fact {
        Fact::Name { address, name } if name.ends_with(zone) => {
            Some((name.clone(), address.to_string()))
        }
        _ => None,
    });
    names.collect()
}

/// What getaddrinfo of the C library says of a name.
const LOOK_UP: &str = "import socket, sys\n\
    print(*sorted({at[4][0] for at in socket.getaddrinfo(sys.argv[1], 80)}))";

fn text(done: &Done) -> String {
    String::from_utf8(done.output.stdout.clone())
        .unwrap()
        .trim()
        .to_owned()
}

const RESOLVER: &str = "192.0.2.53";
const SIX: &str = "fd53::53";

/// A network with the addresses that the resolvers of these tests have and name.
fn network(place: &Place) -> Network {
    let destinations = (1..=40).map(|last| format!("198.51.100.{last}/32"));
    let mut addresses: Vec<_> = destinations.collect();
    addresses.extend(["192.0.2.53/32", "fd53::53/128"].map(str::to_owned));
    Network::new(place, &addresses)
}

#[test]
fn answers_to_the_c_library_name_their_addresses() {
    let _host = shared();
    let place = Place::new();
    let network = network(&place);
    let _resolver = Resolver::start(&network, RESOLVER);
    let _six = Resolver::start(&network, SIX);
    let recording = Recording::start(&place);
    let mut big: Vec<_> = (30..45).map(|last| format!("192.0.2.{last}")).collect();
    big.sort();
    let big = big.join(" ");
    let cases = [
        ("over UDP", RESOLVER, "plain", "192.0.2.10"),
        ("an IPv6 address", RESOLVER, "six", "2001:db8::6"),
        ("over IPv6", SIX, "Host7.V6", "198.51.100.7"),
        ("by aliases", RESOLVER, "alias", "192.0.2.20"),
        // Truncated over UDP, so that the C library asks again.
        ("over TCP in pieces", RESOLVER, "big", &big),
        ("over TCP and IPv6", SIX, "big.v6", &big),
    ];
    let zone = zone("answers");
    for (what, resolver, host, addresses) in &cases {
        let name = format!("{host}.{zone}");
        let found = run(&mut network.python(resolver, LOOK_UP, &[&name]));
        assert_eq!(text(&found), *addresses, "{what}");
    }
    let told = names(&recording.finish(), &zone);
    for (what, _, host, addresses) in &cases {
        let name = format!("{host}.{zone}").to_ascii_lowercase();
        let mut of_name: Vec<_> = told.iter().filter(|(told, _)| *told == name).collect();
        of_name.sort();
        let found: Vec<_> = of_name.iter().map(|(_, at)| at.as_str()).collect();
        assert_eq!(found.join(" "), *addresses, "{what}");
    }
    let strange = |(name, at): &&(String, String)| {
        // The last alias, and who was not asked for.
        name.starts_with("cdn") || name.starts_with("edge") || at == "192.0.2.99"
    };
    assert_eq!(told.iter().find(strange), None);
}

#[test]
fn a_name_is_told_before_the_connection_that_follows_it() {
    const TRIES: usize = 40;
    let zone = zone("connecting");
    let _host = shared();
    let place = Place::new();
    let network = network(&place);
    let _resolver = Resolver::start(&network, RESOLVER);
    let recording = Recording::start(&place);
    let done = run(&mut network.python(
        RESOLVER,
        "import socket, sys\n\
         for n in range(1, 41):\n    \
             at = socket.getaddrinfo(f'host{n}.{sys.argv[1]}', 9, type=socket.SOCK_STREAM)[0]\n    \
             socket.socket(at[0]).connect_ex(at[4])\n\
         socket.socket().connect_ex(('203.0.113.1', 9))",
        &[&zone],
    ));
    let records = recording.finish();
    let mut known = std::collections::HashMap::new();
    let (mut named, mut unnamed) = (0, Vec::new());
    for record in &records {
        match &record.fact {
            Fact::Name { address, name } if name.ends_with(&zone) => {
                known.insert(*address, (name.clone(), record.time));
            }
            Fact::Connect {
                task, destination, ..
            } if task.pid == done.pid && destination.port() == 9 => {
                let IpAddr::V4(to) = destination.ip() else {
                    panic!("{destination}");
                };
                match known.get(&destination.ip()) {
                    Some((name, time)) => {
                        let number = to.octets()[3];
                        assert_eq!(*name, format!("host{number}.{zone}"));
                        assert!(*time <= record.time);
                        named += 1;
                    }
                    None => unnamed.push(destination.to_string()),
                }
            }
            _ => {}
        }
    }
    assert_eq!(named, TRIES, "not named: {unnamed:?}");
    assert_eq!(unnamed, ["203.0.113.1:9"], "of whom nobody has spoken");
}

/// Asks as musl does: one socket that is not connected, and every resolver at once.
const UNCONNECTED: &str = "import socket, sys\n\
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
    s.bind(('0.0.0.0', 0))\n\
    s.settimeout(5)\n\
    name = b''.join(bytes([len(l)]) + l.encode() for l in sys.argv[1].split('.')) + b'\\0'\n\
    query = b'\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0' + name + b'\\0\\1\\0\\1'\n\
    for to in sys.argv[2:]: s.sendto(query, (to, 53))\n\
    for to in sys.argv[2:]: s.recvfrom(2000)";

#[test]
fn a_socket_that_is_not_connected_gets_names_only_when_it_asked() {
    // What others ask for would have names told again.
    let _host = alone();
    let place = Place::new();
    let network = network(&place);
    let _resolvers = [RESOLVER, "127.0.0.53"].map(|at| Resolver::start(&network, at));
    let recording = Recording::start(&place);
    let zone = zone("asking");
    let asked = format!("host3.{zone}");
    let ask: [&dyn AsRef<std::ffi::OsStr>; 3] = [&asked, &RESOLVER, &"127.0.0.53"];
    run(&mut network.python(RESOLVER, UNCONNECTED, &ask));
    // A service that anybody may send to. Somebody does, from port 53.
    let (service, stranger) = network.within(|| {
        let bind = |at: &str| std::net::UdpSocket::bind(at).unwrap();
        (bind("198.51.100.1:0"), bind("198.51.100.2:53"))
    });
    let lie = resolver::answer(&format!("host4.{zone}"));
    stranger
        .send_to(&lie, service.local_addr().unwrap())
        .unwrap();
    let mut got = [0; 512];
    assert_eq!(service.recv(&mut got).unwrap(), lie.len());
    // And a client of a TCP service does, from port 53.
    run(&mut network.python(
        RESOLVER,
        "import socket, sys\n\
         s = socket.create_server(('198.51.100.1', 8053))\n\
         c = socket.create_connection(('198.51.100.1', 8053), source_address=('198.51.100.2', 53))\n\
         lie = bytes.fromhex(sys.argv[1])\n\
         c.sendall(len(lie).to_bytes(2, 'big') + lie)\n\
         assert s.accept()[0].recv(2000)[2:] == lie",
        &[&lie.iter().map(|byte| format!("{byte:02x}")).collect::<String>()],
    ));
    let told = names(&recording.finish(), &zone);
    let expected = [(asked, "198.51.100.3".to_owned())];
    assert_eq!(
        told, expected,
        "two answers say the same, which is told once"
    );
}

#[test]
fn a_stub_and_what_stands_behind_it_say_the_same() {
    // What others ask for would have names told again.
    let _host = alone();
    let place = Place::new();
    let network = network(&place);
    let _resolver = Resolver::start(&network, RESOLVER);
    let _stub = forward(&network, "127.0.0.53", RESOLVER);
    let recording = Recording::start(&place);
    let zone = zone("stub");
    let (host, alias) = (format!("host5.{zone}"), format!("alias.{zone}"));
    for name in [&host, &alias, &host] {
        run(&mut network.python("127.0.0.53", LOOK_UP, &[name]));
    }
    let told = names(&recording.finish(), &zone);
    let expected = [(host, "198.51.100.5"), (alias, "192.0.2.20")];
    let expected = expected.map(|(name, at)| (name, at.to_owned()));
    assert_eq!(told, expected, "each once");
}

#[test]
fn garbage_from_port_53_is_counted_and_harms_nothing() {
    let _host = shared();
    let place = Place::new();
    let network = network(&place);
    let _resolver = Resolver::start(&network, RESOLVER);
    let daemon = Daemon::start(&place);
    let lost = place.status().lost;
    run(&mut network.python(
        RESOLVER,
        "import socket\n\
         query = b'\\0\\0\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\7garbled\\4test\\0\\0\\1\\0\\1'\n\
         u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         u.settimeout(5)\n\
         for n in range(20):\n    \
             u.sendto(query, ('192.0.2.53', 53))\n    \
             for m in range(4): u.recvfrom(2000)\n    \
             t = socket.create_connection(('192.0.2.53', 53))\n    \
             t.sendall(len(query).to_bytes(2, 'big') + query)\n    \
             while t.recv(4096): pass",
        &[],
    ));
    let note = || place.hook("dns").note.unwrap_or_default();
    // Three datagrams and a stream each time.
    place.until("the garbage is counted", || {
        note() == "80 messages from port 53 were garbled"
    });
    assert_eq!(place.status().lost, lost);
    let log = place.log();
    assert!(!log.contains("panicked"), "{log}");
    daemon.stop();
}

#[test]
fn a_flood_of_answers_is_capped_and_counted() {
    const FLOOD: u64 = 5_000;
    // Names that others wait for would be capped too.
    let _host = alone();
    let place = Place::with("[sensor]\nrate_cap = 100");
    let network = network(&place);
    let daemon = Daemon::start(&place);
    let before = place.hook("dns");
    let (resolver, client) = network.within(|| {
        let bind = |at: &str| std::net::UdpSocket::bind(at).unwrap();
        (bind("198.51.100.1:53"), bind("198.51.100.2:0"))
    });
    client.connect(resolver.local_addr().unwrap()).unwrap();
    let answer = resolver::answer(&format!("host9.{}", zone("flood")));
    let begun = Instant::now();
    for _ in 0..FLOOD {
        resolver
            .send_to(&answer, client.local_addr().unwrap())
            .unwrap();
        client.recv(&mut [0; 512]).unwrap();
    }
    let seconds = begun.elapsed().as_secs() + 2;
    let cpus = u64::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    let after = place.hook("dns");
    let (fired, capped) = (after.fired - before.fired, after.capped - before.capped);
    // Others may ask for names on this host, and the heartbeat goes on.
    assert!((FLOOD..FLOOD + 1_000).contains(&fired), "{after:?}");
    assert!(
        fired - capped <= 100 * cpus * seconds,
        "{before:?} {after:?}"
    );
    assert_eq!(after.lost, before.lost);
    daemon.stop();
}

#[test]
fn names_can_be_left_unread() {
    let _host = shared();
    let place = Place::with("[sensor]\ndns = false");
    let network = network(&place);
    let _resolver = Resolver::start(&network, RESOLVER);
    let recording = Recording::start(&place);
    let zone = zone("unread");
    run(&mut network.python(RESOLVER, LOOK_UP, &[&format!("plain.{zone}")]));
    assert_eq!(names(&recording.finish(), &zone), []);
    let _daemon = Daemon::start(&place);
    let status = place.status();
    assert!(
        status.hooks.iter().all(|hook| hook.name != "dns"),
        "{status:#?}"
    );
    let of_dns = |alert: &monitor::model::Alert| format!("{alert:?}").contains("dns");
    place.silent("what was switched off is not missing", of_dns);
}
