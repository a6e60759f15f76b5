//! Answers of the domain name system to facts: each address with its name, and not again and again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use super::dns;
use super::dns_stream::Streams;
use crate::model::{Fact, Protocol, Record, Timestamp};

/// A name that was told for an address is not told again within this time.
const AGAIN: Duration = Duration::from_secs(60);
/// Most addresses that are remembered for that.
const TOLD: usize = 16_384;

/// What a resolver sent to a socket of this host: a datagram, or a piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsBytes {
    /// When, before the socket got it.
    pub time: Timestamp,
    /// The kernel's cookie of the socket.
    pub socket: u64,
    /// The transport.
    pub protocol: Protocol,
    /// TCP: the sequence number of the first byte.
    pub sequence: u32,
    /// The bytes.
    pub bytes: Bytes,
    /// UDP: the datagram goes on behind them.
    pub cut: bool,
}

/// What is known between one piece and the next.
#[derive(Debug, Default)]
pub struct Names {
    streams: Streams,
    told: HashMap<IpAddr, (String, Timestamp)>,
    garbled: u64,
}

impl Names {
    /// Takes in what a resolver sent, and gives the names that are new.
    pub fn take(&mut self, dns: &DnsBytes) -> Vec<Record> {
        match dns.protocol {
            Protocol::Tcp => {
                let messages = self.streams.take(dns.socket, dns.sequence, &dns.bytes);
                let mut records = Vec::new();
                for message in messages {
                    let before = self.garbled;
                    records.extend(self.message(dns.time, &message, false));
                    if self.garbled > before {
                        // Where the next message begins is not known any more.
                        self.streams.forget(dns.socket);
                        break;
                    }
                }
                records
            }
            _ => self.message(dns.time, &dns.bytes, dns.cut),
        }
    }

    fn message(&mut self, time: Timestamp, message: &[u8], cut: bool) -> Vec<Record> {
        let Ok(names) = dns::names(message, cut) else {
            self.garbled += 1;
            return Vec::new();
        };
        names
            .into_iter()
            .filter(|(address, name)| self.is_new(*address, name, time))
            .map(|(address, name)| Record {
                time,
                fact: Fact::Name { address, name },
            })
            .collect()
    }

    /// Whether an address was not told by this name a moment ago, and notes that it is now. An
    /// address that many names share is told at each turn, so that the latest told is the latest.
    fn is_new(&mut self, address: IpAddr, name: &str, time: Timestamp) -> bool {
        // A clock that was set back makes all that was told old.
        let is_fresh = |at: &Timestamp| *at <= time && time.since(*at) < AGAIN;
        if let Some((told, at)) = self.told.get(&address)
            && told == name
            && is_fresh(at)
        {
            return false;
        }
        if self.told.len() >= TOLD {
            self.told.retain(|_, (_, at)| is_fresh(at));
            if self.told.len() >= TOLD {
                // Only costs telling some of them again.
                self.told.clear();
            }
        }
        self.told.insert(address, (name.to_owned(), time));
        true
    }

    /// Messages from port 53 since the last call that were none.
    pub fn take_garbled(&mut self) -> u64 {
        std::mem::take(&mut self.garbled)
    }

    /// Connections to resolvers since the last call that were given up with something unread.
    pub fn take_given_up(&mut self) -> u64 {
        self.streams.take_given_up()
    }
}

#[cfg(test)]
mod tests {
    use super::super::dns::tests::answer;
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn sent(time: i64, protocol: Protocol, sequence: u32, bytes: Vec<u8>) -> DnsBytes {
        DnsBytes {
            time: Timestamp(time),
            socket: 1,
            protocol,
            sequence,
            bytes: bytes.into(),
            cut: false,
        }
    }

    fn address(name: &str, last: u8) -> Vec<u8> {
        answer(name, &[(name, 1, vec![192, 0, 2, last])])
    }

    /// Whether an answer over UDP at a second is told.
    fn is_told(names: &mut Names, second: i64, name: &str, last: u8) -> bool {
        let dns = sent(second * SECOND, Protocol::Udp, 0, address(name, last));
        let records = names.take(&dns);
        assert!(records.iter().all(|record| record.time == dns.time));
        !records.is_empty()
    }

    #[test]
    fn a_name_is_told_again_after_a_minute_or_when_another_was_told() {
        let mut names = Names::default();
        assert!(is_told(&mut names, 100, "a.test", 1));
        assert!(!is_told(&mut names, 130, "A.TEST", 1));
        assert!(is_told(&mut names, 131, "a.test", 2));
        assert!(is_told(&mut names, 132, "b.test", 1));
        assert!(is_told(&mut names, 133, "a.test", 1));
        assert!(!is_told(&mut names, 192, "a.test", 1));
        assert!(is_told(&mut names, 193, "a.test", 1));
        assert!(
            is_told(&mut names, 5, "a.test", 1),
            "the clock was set back"
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut names = Names::default();
        for number in 0..u32::try_from(TOLD).unwrap() + 10 {
            let at = IpAddr::from(number.to_be_bytes());
            assert!(names.is_new(at, "a.test", Timestamp(SECOND)));
            assert!(names.told.len() <= TOLD);
        }
    }

    #[test]
    fn a_stream_tells_as_datagrams_do_and_garbage_ends_it() {
        let mut names = Names::default();
        let mut stream = Vec::new();
        for message in [address("a.test", 1), address("b.test", 2), vec![0xff; 5]] {
            stream.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
            stream.extend(message);
        }
        stream.extend(address("c.test", 3));
        let mut told = Vec::new();
        let mut begin = 7;
        for piece in stream.chunks(9) {
            told.extend(names.take(&sent(9, Protocol::Tcp, begin, piece.to_vec())));
            begin += 9;
            if names.garbled > 0 {
                break;
            }
        }
        let expected = [(1, "a.test"), (2, "b.test")].map(|(last, name)| Record {
            time: Timestamp(9),
            fact: Fact::Name {
                address: IpAddr::from([192, 0, 2, last]),
                name: name.to_owned(),
            },
        });
        assert_eq!(told, expected);
        assert_eq!((names.take_garbled(), names.take_garbled()), (1, 0));
        assert_eq!(names.take_given_up(), 0);
    }
}
