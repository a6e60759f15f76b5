use monitor_common::began;
use proptest::prelude::*;

use super::*;
use crate::model::{Direction, Timestamp};

const SECOND: u64 = 1_000_000_000;

fn key(last: u8, protocol: u16) -> FlowKey {
    let mut key = FlowKey {
        mac: [2, 0, 0, 0, 0, last],
        device_port: 5000,
        peer_port: 443,
        protocol,
        ..FlowKey::default()
    };
    key.device[10..].copy_from_slice(&[0xff, 0xff, 192, 0, 2, last]);
    key.peer[10..].copy_from_slice(&[0xff, 0xff, 198, 51, 100, 7]);
    key
}

fn counts(first: u64, last: u64, sent: u64, received: u64) -> FlowCounts {
    FlowCounts {
        first: first * SECOND,
        last: last * SECOND,
        sent_packets: sent,
        sent_bytes: sent * 60,
        received_packets: received,
        received_bytes: received * 100,
        began: began::DEVICE,
        ended: 0,
    }
}

fn begin(key: FlowKey, first: u64) -> FlowBegin {
    let mut flow = flow(&key, began::DEVICE);
    flow.sent = Traffic {
        packets: 1,
        bytes: 60,
    };
    FlowBegin {
        time: Timestamp(0),
        key,
        first: first * SECOND,
        flow,
    }
}

fn flows() -> Flows {
    Flows::new(Vec::new(), Duration::from_secs(60))
}

fn sweep(flows: &mut Flows, key: FlowKey, counts: FlowCounts, now: u64) -> Swept {
    flows.sweep([(key, counts)].into_iter(), now * SECOND)
}

#[test]
fn the_first_packet_is_told_at_once_and_the_rest_once_a_minute() {
    let mut flows = flows();
    let key = key(7, TCP);
    let first = flows.begins(begin(key, 10), 10 * SECOND).unwrap();
    assert_eq!(first.direction, Direction::Outgoing);
    assert!(!first.continues);
    assert_eq!(flows.begins(begin(key, 10), 11 * SECOND), None, "once");
    let early = sweep(&mut flows, key, counts(10, 20, 5, 4), 20);
    assert_eq!(
        (early.flows, early.over, early.present),
        (vec![], vec![], 1)
    );
    let swept = sweep(&mut flows, key, counts(10, 69, 9, 8), 70);
    let [more] = &*swept.flows else {
        panic!("{swept:?}");
    };
    assert!(more.continues);
    assert_eq!((more.sent.packets, more.sent.bytes), (8, 480));
    assert_eq!(more.received.packets, 8);
    assert!(swept.over.is_empty());
    let same = sweep(&mut flows, key, counts(10, 69, 9, 8), 200);
    assert_eq!(same.flows, [], "nothing is new");
}

#[test]
fn what_is_over_is_told_and_taken_out() {
    for (protocol, ended, received, over_at) in [
        (TCP, 1, 3, 15),
        (TCP, 0, 0, 40),
        (17, 0, 3, 40),
        (TCP, 0, 3, 3_610),
    ] {
        let mut flows = flows();
        let key = key(7, protocol);
        let of = FlowCounts {
            ended,
            ..counts(10, 10, 2, received)
        };
        flows.begins(begin(key, 10), 10 * SECOND);
        let before = sweep(&mut flows, key, of, over_at - 1);
        assert_eq!(before.over, [], "{protocol} {ended}");
        let swept = sweep(&mut flows, key, of, over_at);
        assert_eq!(swept.over, [key], "{protocol} {ended}");
        let told: u64 = [&before, &swept]
            .iter()
            .flat_map(|swept| &swept.flows)
            .map(|flow| flow.sent.packets)
            .sum();
        assert_eq!(told, 1, "{protocol} {ended}");
    }
}

#[test]
fn what_the_ring_had_no_room_for_is_told_from_the_table_and_not_twice() {
    let mut flows = flows();
    let key = key(7, 17);
    let swept = sweep(&mut flows, key, counts(10, 11, 3, 0), 12);
    assert_eq!(swept.flows[0].sent.packets, 3);
    assert!(!swept.flows[0].continues);
    // The record was on its way.
    assert_eq!(flows.begins(begin(key, 10), 13 * SECOND), None);
    // The same ports later are another flow.
    let again = flows.begins(begin(key, 90), 90 * SECOND);
    assert!(again.is_some_and(|flow| !flow.continues));
}

#[test]
fn who_does_not_answer_and_who_is_no_device_is_not_told() {
    let mut flows = Flows::new(
        vec!["192.0.2.0/29".parse().unwrap()],
        Duration::from_secs(60),
    );
    let scanned = sweep(&mut flows, key(7, TCP), counts(10, 10, 0, 4), 50);
    assert_eq!(scanned.flows, []);
    assert_eq!(scanned.over.len(), 1);
    assert_eq!(flows.begins(begin(key(9, TCP), 10), 10 * SECOND), None);
    let other = sweep(&mut flows, key(9, TCP), counts(10, 10, 4, 4), 80);
    assert_eq!(other.flows, []);
}

#[test]
fn a_flood_is_told_in_parts_and_nothing_of_it_is_taken_out_untold() {
    let mut flows = flows();
    let many = || {
        (0..10_000_u16).map(|port| {
            let key = FlowKey {
                peer_port: port,
                // Two of them have a thousand each, and one has all the others.
                ..key(
                    if port < 2_000 {
                        (port / 1_000) as u8
                    } else {
                        2
                    },
                    17,
                )
            };
            (key, counts(10, 10, 1, 0))
        })
    };
    let mut left: HashMap<_, _> = many().collect();
    let mut told = Vec::new();
    for _ in 0..9 {
        let table: Vec<_> = left.iter().map(|(key, counts)| (*key, *counts)).collect();
        let swept = flows.sweep(table.into_iter(), 50 * SECOND);
        assert_eq!(swept.over.len(), swept.flows.len());
        told.push(swept.flows.len());
        for key in swept.over {
            left.remove(&key);
        }
    }
    let mut expected = vec![2_000 + OF_A_DEVICE];
    expected.extend([OF_A_DEVICE; 6]);
    expected.extend([8_000 - 7 * OF_A_DEVICE, 0]);
    assert_eq!(told, expected);
}

#[test]
fn what_the_table_drives_out_is_counted_once() {
    let mut flows = flows();
    assert_eq!(flows.driven_out(10, 10), 0);
    flows.removed(4);
    assert_eq!(flows.driven_out(30, 20), 6);
    assert_eq!(flows.driven_out(30, 20), 0);
    // One that came between the count and the look is there before it has begun.
    assert_eq!(flows.driven_out(30, 25), 0);
    assert_eq!(flows.driven_out(36, 20), 6);
}

proptest! {
    /// However often it is looked, and whether or not the ring had room: all is told, once.
    #[test]
    fn what_is_told_adds_up(
        steps in proptest::collection::vec((0_u64..40, 0_u64..5, 0_u64..5), 1..30),
        in_ring: bool,
        protocol in proptest::sample::select(vec![TCP, 17]),
    ) {
        let mut flows = flows();
        let key = key(7, protocol);
        let (mut now, mut of) = (10, counts(10, 10, 1, 0));
        let mut told = Vec::new();
        if in_ring {
            told.extend(flows.begins(begin(key, 10), now * SECOND));
        }
        for (wait, sent, received) in steps {
            let swept = sweep(&mut flows, key, of, now);
            told.extend(swept.flows);
            now += wait;
            of.sent_packets += sent;
            of.sent_bytes += sent * 60;
            of.received_packets += received;
            of.received_bytes += received * 100;
            if sent + received > 0 {
                of.last = now * SECOND;
            }
        }
        told.extend(sweep(&mut flows, key, of, now + 7_200).flows);
        let mut sums = (Traffic::default(), Traffic::default());
        for flow in &told {
            sums.0.add(flow.sent);
            sums.1.add(flow.received);
        }
        prop_assert_eq!((sums.0.packets, sums.0.bytes), (of.sent_packets, of.sent_bytes));
        prop_assert_eq!((sums.1.packets, sums.1.bytes), (of.received_packets, of.received_bytes));
        prop_assert_eq!(told.iter().filter(|flow| !flow.continues).count(), 1);
    }
}
