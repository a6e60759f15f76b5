//! A resolver that says what a test wants, over UDP and TCP.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::network::Network;

/// How long a socket is waited for before the end is looked for.
const TURN: Duration = Duration::from_millis(20);

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// The rest of a header that promises a question and an answer.
const GARBLED: &[u8] = &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];

/// Answers until it is dropped.
pub(super) struct Resolver {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Resolver {
    /// On port 53 of an address of the network.
    pub(super) fn start(network: &Network, address: &str) -> Self {
        let address: IpAddr = address.parse().unwrap();
        let (udp, tcp) = network.within(|| {
            let tcp = TcpListener::bind((address, 53)).unwrap();
            (UdpSocket::bind((address, 53)).unwrap(), tcp)
        });
        udp.set_read_timeout(Some(TURN)).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (of_udp, of_tcp) = (Arc::clone(&stop), Arc::clone(&stop));
        let threads = vec![
            std::thread::spawn(move || {
                while !of_udp.load(Ordering::Relaxed) {
                    serve_datagram(&udp);
                }
            }),
            std::thread::spawn(move || {
                while !of_tcp.load(Ordering::Relaxed) {
                    match tcp.accept() {
                        Ok((stream, _)) => serve_stream(stream),
                        Err(_) => std::thread::sleep(TURN),
                    }
                }
            }),
        ];
        Self { stop, threads }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// A resolver that knows nothing and asks another one: what a stub is.
pub(super) fn forward(network: &Network, address: &str, to: &str) -> Resolver {
    let (address, to): (IpAddr, IpAddr) = (address.parse().unwrap(), to.parse().unwrap());
    let (udp, above) = network.within(|| {
        let above = UdpSocket::bind("0.0.0.0:0").unwrap();
        above.connect((to, 53)).unwrap();
        (UdpSocket::bind((address, 53)).unwrap(), above)
    });
    udp.set_read_timeout(Some(TURN)).unwrap();
    above
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let of_thread = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        let mut message = [0; 2048];
        while !of_thread.load(Ordering::Relaxed) {
            let Ok((len, from)) = udp.recv_from(&mut message) else {
                continue;
            };
            above.send(&message[..len]).unwrap();
            let len = above.recv(&mut message).unwrap();
            udp.send_to(&message[..len], from).unwrap();
        }
    });
    Resolver {
        stop,
        threads: vec![thread],
    }
}

/// The answer to a question that nobody has asked.
pub(super) fn answer(of: &str) -> Vec<u8> {
    let question = [name(of), vec![0, 1, 0, 1]].concat();
    let query = Query {
        id: [0x12, 0x34],
        question,
        name: of.to_owned(),
        kind: A,
    };
    query.answer()
}

fn serve_datagram(udp: &UdpSocket) {
    let mut query = [0; 512];
    let Ok((len, from)) = udp.recv_from(&mut query) else {
        return;
    };
    let query = Query::read(&query[..len]);
    for answer in query.datagrams() {
        udp.send_to(&answer, from).unwrap();
    }
}

fn serve_stream(mut stream: TcpStream) {
    stream.set_nonblocking(false).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    loop {
        let mut len = [0; 2];
        if stream.read_exact(&mut len).is_err() {
            return;
        }
        let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut query).unwrap();
        let query = Query::read(&query);
        if query.name.starts_with("garbled") {
            // The length of a message, its header, and nothing that is one.
            let header = [&query.id[..], GARBLED].concat();
            let noise = [&[0x02, 0x0c][..], &header, &[0xff; 0x200]].concat();
            stream.write_all(&noise).unwrap();
            return;
        }
        let answer = query.answer();
        let mut bytes = u16::try_from(answer.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(answer);
        // A segment each: one ends within the length, the others within records.
        let mut rest = bytes.as_slice();
        for part in [1, 30, 100, usize::MAX] {
            let (now, later) = rest.split_at(rest.len().min(part));
            stream.write_all(now).unwrap();
            std::thread::sleep(Duration::from_millis(15));
            rest = later;
        }
    }
}

/// A question as it came, and how it is answered.
struct Query {
    id: [u8; 2],
    /// Name, type and class.
    question: Vec<u8>,
    name: String,
    kind: u16,
}

impl Query {
    fn read(message: &[u8]) -> Self {
        let mut labels = Vec::new();
        let mut at = 12;
        while message[at] != 0 {
            let end = at + 1 + usize::from(message[at]);
            labels.push(String::from_utf8(message[at + 1..end].to_vec()).unwrap());
            at = end;
        }
        Self {
            id: [message[0], message[1]],
            question: message[12..at + 5].to_vec(),
            name: labels.join("."),
            kind: u16::from_be_bytes([message[at + 1], message[at + 2]]),
        }
    }

    /// The first label says what is wanted.
    fn records(&self) -> Vec<(String, u16, Vec<u8>)> {
        let own = |kind, data: &[u8]| (self.name.clone(), kind, data.to_vec());
        let alias = |from: &str, to: &str| (from.to_owned(), CNAME, name(to));
        let v6 = |last| {
            let mut address = [0; 16];
            address[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            address[15] = last;
            address
        };
        let (label, zone) = self.name.split_once('.').unwrap();
        let (cdn, edge) = (format!("cdn.{zone}"), format!("edge.{zone}"));
        match (label.to_ascii_lowercase().as_str(), self.kind) {
            ("plain", A) => vec![own(A, &[192, 0, 2, 10])],
            ("six", AAAA) => vec![own(AAAA, &v6(6))],
            ("alias", A) => vec![
                alias(&self.name, &cdn),
                alias(&cdn, &edge),
                (edge, A, vec![192, 0, 2, 20]),
                // Of somebody who was not asked for.
                (format!("other.{zone}"), A, vec![192, 0, 2, 99]),
            ],
            ("big", A) => (30..45).map(|last| own(A, &[192, 0, 2, last])).collect(),
            (label, A) => match label.strip_prefix("host").map(str::parse) {
                Some(Ok(number)) => vec![own(A, &[198, 51, 100, number])],
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn message(&self, truncated: bool, records: &[(String, u16, Vec<u8>)]) -> Vec<u8> {
        let mut message = self.id.to_vec();
        message.extend([0x81 | if truncated { 2 } else { 0 }, 0x80, 0, 1, 0]);
        message.extend([u8::try_from(records.len()).unwrap(), 0, 0, 0, 0]);
        message.extend(&self.question);
        for (owner, kind, data) in records {
            if *owner == self.name {
                // A pointer to the question, as real ones use.
                message.extend([0xc0, 12]);
            } else {
                message.extend(name(owner));
            }
            message.extend(kind.to_be_bytes());
            message.extend([0, 1, 0, 0, 0, 60]);
            message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            message.extend(data);
        }
        message
    }

    fn answer(&self) -> Vec<u8> {
        self.message(false, &self.records())
    }

    fn datagrams(&self) -> Vec<Vec<u8>> {
        let (label, _) = self.name.split_once('.').unwrap();
        match label {
            "big" => vec![self.message(true, &[])],
            "garbled" => {
                // Each an answer by its header, and none that can be read.
                let header = [&self.id[..], GARBLED].concat();
                let loops = [&header[..], &[0xc0, 12, 0, 1, 0, 1]].concat();
                let ends = [&header[..], &self.question, &[0xc0, 12, 0, 1, 0, 1]].concat();
                let noise = [&header[..], &[0xff; 700]].concat();
                vec![loops, ends, noise, self.answer()]
            }
            _ => vec![self.answer()],
        }
    }
}

/// A name in the form of messages.
fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').flat_map(|label| {
        let len = u8::try_from(label.len()).unwrap();
        std::iter::once(len).chain(label.bytes())
    });
    labels.chain([0]).collect()
}
