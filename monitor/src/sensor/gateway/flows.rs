//! What is told of flows: the first packet at once, as the kernel half says; what has come since, now and
//! then, from its table. Totals only grow, so that nothing is told twice and nothing is missed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ipnet::IpNet;
use monitor_common::{FlowCounts, FlowKey};

use crate::decode::{FlowBegin, flow};
use crate::model::{Flow, Traffic};

/// A connection that was closed is over when nothing came for so long: its last packets may still be on
/// their way.
const CLOSED: Duration = Duration::from_secs(5);
/// What has no close, or was never answered, is over when nothing came for so long: as Linux's connection
/// tracking has it (nf_conntrack_udp_timeout).
const QUIET: Duration = Duration::from_secs(30);
/// A connection that was not closed is taken for over after so long: it is taken out of the table, and
/// what comes later is a flow of its own.
const FORGOTTEN: Duration = Duration::from_secs(3_600);
/// Most flows that are told of one look at the table, of those that are new and of those that go on: in
/// all, so that the daemon is not kept from all else, and of each device, so that none hides another. The
/// others are told later.
const AT_ONCE: usize = 4_096;
const OF_A_DEVICE: usize = 1_024;
const TCP: u16 = 6;

/// What was told of each flow in the table.
pub(in crate::sensor) struct Flows {
    told: HashMap<FlowKey, Told>,
    networks: Vec<IpNet>,
    interval: Duration,
    /// Flows that were taken out of the table.
    removed: u64,
    /// Flows of which it was told that the table lost them.
    lost: u64,
}

#[derive(Clone, Copy)]
struct Told {
    /// [`FlowCounts::first`] of the flow.
    first: u64,
    sent: Traffic,
    received: Traffic,
    /// In nanoseconds of CLOCK_BOOTTIME.
    at: u64,
}

/// What a look at the table has shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    /// To be told.
    pub(super) flows: Vec<Flow>,
    /// Over, and told: to be taken out.
    pub(super) over: Vec<FlowKey>,
    /// How many flows there are, these included.
    pub(super) present: u64,
}

impl Flows {
    pub(in crate::sensor) fn new(networks: Vec<IpNet>, interval: Duration) -> Self {
        Self {
            told: HashMap::new(),
            networks,
            interval,
            removed: 0,
            lost: 0,
        }
    }

    /// Takes in the first packet of a flow. `None` where it was told already, or is no device's.
    pub(in crate::sensor) fn begins(&mut self, begin: FlowBegin, now: u64) -> Option<Flow> {
        let FlowBegin {
            key, first, flow, ..
        } = begin;
        let known = self.told.get(&key);
        if !self.is_of_device(&flow) || known.is_some_and(|told| told.first >= first) {
            return None;
        }
        let told = Told {
            first,
            sent: flow.sent,
            received: Traffic::default(),
            at: now,
        };
        self.told.insert(key, told);
        Some(flow)
    }

    fn is_of_device(&self, flow: &Flow) -> bool {
        let address = flow.source.ip();
        self.networks.is_empty() || self.networks.iter().any(|of| of.contains(&address))
    }

    /// Looks through all that the table holds, `now` in nanoseconds of CLOCK_BOOTTIME.
    pub(super) fn sweep(
        &mut self,
        table: impl Iterator<Item = (FlowKey, FlowCounts)>,
        now: u64,
    ) -> Swept {
        let mut swept = Swept::default();
        let mut present = HashSet::new();
        let (mut new, mut on) = (0, 0);
        let mut devices = HashMap::new();
        for (key, counts) in table {
            // A table that changes meanwhile may show an entry twice.
            if !present.insert(key) {
                continue;
            }
            let rests = Duration::from_nanos(now.saturating_sub(counts.last));
            let is_over = is_over(&key, &counts, rests);
            if let Some(flow) = self.news(&key, &counts, is_over, now) {
                let told = if flow.continues { &mut on } else { &mut new };
                let of_device: &mut usize = devices.entry((key.mac, flow.continues)).or_default();
                if *told == AT_ONCE || *of_device == OF_A_DEVICE {
                    continue;
                }
                *told += 1;
                *of_device += 1;
                self.tell(key, &counts, now);
                swept.flows.push(flow);
            }
            if is_over {
                swept.over.push(key);
            }
        }
        self.told.retain(|key, _| present.contains(key));
        swept.present = present.len() as u64;
        swept
    }

    /// What is to be told of a flow now: all that has come since, where it is over or time for it.
    fn news(&self, key: &FlowKey, counts: &FlowCounts, is_over: bool, now: u64) -> Option<Flow> {
        let mut flow = flow(key, counts.began);
        if counts.sent_packets == 0 || !self.is_of_device(&flow) {
            // Nobody answers.
            return None;
        }
        let (sent, received) = totals(counts);
        let known = self.told.get(key).filter(|told| told.first == counts.first);
        if let Some(told) = known {
            let since = Duration::from_nanos(now.saturating_sub(told.at));
            let is_new = (told.sent, told.received) != (sent, received);
            if !is_new || (!is_over && since < self.interval) {
                return None;
            }
            flow.sent = less(sent, told.sent);
            flow.received = less(received, told.received);
            flow.continues = true;
        } else {
            // Its first packet found no room in the ring.
            flow.sent = sent;
            flow.received = received;
        }
        Some(flow)
    }

    fn tell(&mut self, key: FlowKey, counts: &FlowCounts, now: u64) {
        let (sent, received) = totals(counts);
        let told = Told {
            first: counts.first,
            sent,
            received,
            at: now,
        };
        self.told.insert(key, told);
    }

    /// So many were taken out.
    pub(super) fn removed(&mut self, count: u64) {
        self.removed += count;
    }

    /// How many flows the table has driven out since the last call, to make room for others: those that
    /// ever began, less those that were taken out and those that are there.
    pub(super) fn driven_out(&mut self, began: u64, present: u64) -> u64 {
        let gone = began.saturating_sub(self.removed).saturating_sub(present);
        let new = gone.saturating_sub(self.lost);
        self.lost += new;
        new
    }
}

/// What a device sent and received in a flow so far.
fn totals(counts: &FlowCounts) -> (Traffic, Traffic) {
    let sent = Traffic {
        packets: counts.sent_packets,
        bytes: counts.sent_bytes,
    };
    let received = Traffic {
        packets: counts.received_packets,
        bytes: counts.received_bytes,
    };
    (sent, received)
}

fn less(now: Traffic, before: Traffic) -> Traffic {
    Traffic {
        packets: now.packets.saturating_sub(before.packets),
        bytes: now.bytes.saturating_sub(before.bytes),
    }
}

fn is_over(key: &FlowKey, counts: &FlowCounts, rests: Duration) -> bool {
    let is_answered = counts.sent_packets > 0 && counts.received_packets > 0;
    let patience = match (key.protocol, counts.ended) {
        (TCP, 0) if is_answered => FORGOTTEN,
        (TCP, 0) => QUIET,
        (TCP, _) => CLOSED,
        _ => QUIET,
    };
    rests >= patience
}

#[cfg(test)]
mod tests;
