//! What every detector is given: who had to do with which other end, when, and what went there. Made of the
//! same facts that the pipeline takes in.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::model::{Direction, Fact, Flow, Protocol, Record, Selector, Timestamp};

/// Most connections of processes that are open at once. Of more, what they carry is not known.
const OPEN: usize = 65_536;

/// One act of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// Who.
    pub identity: Selector,
    /// The other end; where it began, its address and the port that it came to.
    pub destination: SocketAddr,
    /// The transport.
    pub protocol: Protocol,
    /// Whether a connection was opened; else one carried something.
    pub opened: bool,
    /// Bytes from the identity.
    pub sent: u64,
    /// Bytes to it.
    pub received: u64,
}

/// The other end of a flow as habits know it: the port that somebody chose at random is none of them.
pub(super) fn other_end(flow: &Flow) -> SocketAddr {
    let mut other = flow.destination;
    if flow.direction == Direction::Incoming {
        other.set_port(flow.source.port());
    }
    other
}

/// Makes events of facts.
#[derive(Debug, Default)]
pub struct Events {
    open: BTreeMap<u64, (Selector, Protocol)>,
    /// Connections whose bytes are not known, because too many were open.
    pub untold: u64,
}

impl Events {
    /// What a fact tells, and who acted by the pipeline's attribution.
    pub fn of(&mut self, record: &Record, seen: Option<&Selector>) -> Option<Event> {
        let time = record.time;
        match &record.fact {
            Fact::Connect {
                socket,
                protocol,
                destination,
                ..
            } => {
                let identity = seen?.clone();
                // Only these are told of when they are over.
                if *protocol == Protocol::Tcp {
                    if self.open.len() < OPEN {
                        self.open.insert(*socket, (identity.clone(), *protocol));
                    } else {
                        self.untold += 1;
                    }
                }
                Some(Event {
                    time,
                    identity,
                    destination: *destination,
                    protocol: *protocol,
                    opened: true,
                    sent: 0,
                    received: 0,
                })
            }
            Fact::SocketClose {
                socket,
                destination,
                sent,
                received,
                ..
            } => {
                let (identity, protocol) = self.open.remove(socket)?;
                Some(Event {
                    time,
                    identity,
                    destination: *destination,
                    protocol,
                    opened: false,
                    sent: *sent,
                    received: *received,
                })
            }
            Fact::Flow(flow) => Some(Event {
                time,
                identity: flow.selectors().into_iter().next()?,
                destination: other_end(flow),
                protocol: flow.protocol,
                opened: !flow.continues,
                sent: flow.sent.bytes,
                received: flow.received.bytes,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Traffic;

    #[test]
    fn who_is_called_is_named_by_the_port_that_was_called() {
        let mut flow = Flow {
            mac: None,
            source: "10.0.0.7:23".parse().unwrap(),
            destination: "203.0.113.9:40000".parse().unwrap(),
            protocol: Protocol::Tcp,
            direction: Direction::Incoming,
            sent: Traffic::default(),
            received: Traffic {
                packets: 1,
                bytes: 40,
            },
            continues: false,
        };
        assert_eq!(other_end(&flow).to_string(), "203.0.113.9:23");
        flow.direction = Direction::Outgoing;
        assert_eq!(other_end(&flow).to_string(), "203.0.113.9:40000");
        let record = Record {
            time: Timestamp(5),
            fact: Fact::Flow(flow),
        };
        let event = Events::default().of(&record, None).unwrap();
        assert_eq!(event.identity.as_str(), "device:ip:10.0.0.7");
        assert_eq!((event.opened, event.sent, event.received), (true, 0, 40));
    }
}
