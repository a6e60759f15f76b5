//! A connection as an observer learns of it: its first packet when it begins, and the rest when it is
//! over.

use std::time::Duration;

use crate::model::{Direction, Flow, Protocol, Timestamp, Traffic};

/// For so long an answer is waited for: Zeek's `tcp_attempt_delay`
/// (<https://docs.zeek.org/en/master/scripts/base/init-bare.zeek.html>), and what a resolver waits by default
/// (`timeout` in resolv.conf(5)). Before that nobody knows that there was none.
const ANSWER_IS_AWAITED: Duration = Duration::from_secs(5);

/// What a log says that one side sent, and how it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) traffic: Traffic,
    /// Whether packets were counted; else they are thought.
    pub(super) has_packets: bool,
    /// Whether bytes are those of packets, and not of their payload alone.
    pub(super) has_headers: bool,
}

impl Counted {
    /// The first packet: all of it where it is the only one, else at the least its headers without
    /// options (RFC 791, 8200, 9293, 768).
    fn first(&self, flow: &Flow) -> Traffic {
        let all = self.traffic;
        if all.packets == 0 || (all.packets == 1 && self.has_packets) {
            return all;
        }
        let network = if flow.destination.is_ipv4() { 20 } else { 40 };
        let transport = match flow.protocol {
            Protocol::Tcp => 20,
            Protocol::Udp => 8,
            Protocol::Arp | Protocol::Other => 0,
        };
        let least = if self.has_headers {
            network + transport
        } else {
            0
        };
        Traffic {
            packets: 1,
            bytes: all.bytes.min(least),
        }
    }
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// When it began.
    pub begin: Timestamp,
    /// What there is to tell at that time.
    pub flow: Flow,
    /// What is told later, unless that was all.
    pub rest: Option<Rest>,
}

/// What a connection carried after its first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// When it was over, and where nobody answered, known to be.
    pub end: Timestamp,
    /// By the device.
    pub sent: Traffic,
    /// To the device.
    pub received: Traffic,
}

impl Connection {
    /// From the whole of it, and how that was counted for the device and for the other end.
    pub(super) fn of(
        begin: Timestamp,
        mut flow: Flow,
        (device, other): (Counted, Counted),
        duration: Option<Duration>,
    ) -> Self {
        let is_outgoing = flow.direction != Direction::Incoming;
        let opened = if is_outgoing { device } else { other };
        let is_one_way = device.traffic.packets == 0 || other.traffic.packets == 0;
        let is_unanswered = is_one_way && opened.traffic.packets > 0;
        let lasted = duration.unwrap_or_default();
        if lasted.is_zero() && !is_unanswered {
            let rest = None;
            return Self { begin, flow, rest };
        }
        let least = if is_unanswered {
            ANSWER_IS_AWAITED
        } else {
            Duration::ZERO
        };
        // Of one that began before it could be seen, packets of the other side may be all there are.
        let device_is_first = is_outgoing == (opened.traffic.packets > 0);
        if device_is_first {
            (flow.sent, flow.received) = (device.first(&flow), Traffic::default());
        } else {
            (flow.sent, flow.received) = (Traffic::default(), other.first(&flow));
        }
        let rest = Rest {
            end: begin.after(lasted.max(least)),
            sent: without(device.traffic, flow.sent),
            received: without(other.traffic, flow.received),
        };
        let rest = Some(rest);
        Self { begin, flow, rest }
    }

    /// When the last of it was told.
    pub fn end(&self) -> Timestamp {
        self.rest.map_or(self.begin, |rest| rest.end)
    }

    /// What is told when it is over.
    pub(super) fn ended(&self) -> Option<(Timestamp, Flow)> {
        let rest = self.rest?;
        let flow = Flow {
            sent: rest.sent,
            received: rest.received,
            continues: true,
            ..self.flow.clone()
        };
        Some((rest.end, flow))
    }
}

fn without(all: Traffic, first: Traffic) -> Traffic {
    Traffic {
        packets: all.packets.saturating_sub(first.packets),
        bytes: all.bytes.saturating_sub(first.bytes),
    }
}
