use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::model::{
    CredentialState, DetectionId, Direction, Flow, Protocol, Selector, Target, Timestamp, Traffic,
};

const HEADER: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n\
    #path\tconn\n#open\t2026-05-01-00-00-00\n\
    #fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\torig_bytes\tresp_bytes\
    \tlocal_orig\tlocal_resp\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\n\
    #types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tcount\tcount\tbool\tbool\tcount\tcount\tcount\tcount\n";

fn log(text: &str) -> Log {
    read(text.as_bytes(), &Networks::default()).unwrap()
}

/// All of a connection, as the line tells it.
fn whole(of: &Connection) -> (Timestamp, Flow) {
    let mut flow = of.flow.clone();
    if let Some(rest) = of.rest {
        flow.sent.add(rest.sent);
        flow.received.add(rest.received);
    }
    (of.begin, flow)
}

fn wholes(log: &Log) -> Vec<(Timestamp, Flow)> {
    log.connections.iter().map(whole).collect()
}

fn error(text: &str) -> String {
    match read(text.as_bytes(), &Networks::default()) {
        Ok(log) => panic!("{log:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_line_is_a_flow_of_its_device() {
    let text = format!(
        "{HEADER}\
         1777644201.123456\tCa\t192.0.2.1\t5000\t198.51.100.7\t443\ttcp\tssl\t100\t200\tT\tF\t5\t360\t4\t400\n\
         1777644200.5\tCb\t203.0.113.9\t40000\t10.0.0.7\t23\ttcp\t-\t-\t-\t-\t-\t3\t180\t2\t80\n\
         1777644200.0\tCc\t10.0.0.7\t8\t10.0.0.1\t0\ticmp\t-\t-\t-\t-\t-\t-\t-\t-\t-\n\
         #close\t2026-05-01-01-00-00\n"
    );
    let log = log(&text);
    let flows = wholes(&log);
    assert_eq!((flows.len(), log.rejected, log.of_others), (3, 0, 0));
    let (time, flow) = &flows[0];
    assert_eq!(time.0, 1_777_644_201_123_456_000);
    assert_eq!(flow.source.to_string(), "192.0.2.1:5000");
    assert_eq!(flow.direction, Direction::Outgoing);
    let traffic = |packets, bytes| Traffic { packets, bytes };
    assert_eq!(
        (flow.sent, flow.received),
        (traffic(5, 360), traffic(4, 400))
    );
    // Who came from outside is no device; who answered is one.
    let (_, flow) = &flows[1];
    assert_eq!(flow.source.to_string(), "10.0.0.7:23");
    assert_eq!(flow.direction, Direction::Incoming);
    assert_eq!(
        (flow.sent, flow.received),
        (traffic(2, 80), traffic(3, 180))
    );
    let (_, flow) = &flows[2];
    assert_eq!(
        (flow.protocol, flow.destination.port()),
        (Protocol::Other, 0)
    );
    assert_eq!((flow.sent, flow.received), (traffic(1, 0), traffic(0, 0)));
}

#[test]
fn json_and_lists_say_the_same() {
    let row = r#"{"ts":1777644201.123456,"uid":"Ca","id.orig_h":"10.0.0.7","id.orig_p":5000,"id.resp_h":"198.51.100.7","id.resp_p":443,"proto":"tcp","orig_pkts":5,"orig_ip_bytes":360,"orig_l2_addr":"02:00:5e:10:00:01"}"#;
    let other = row
        .replace("1777644201.123456", "\"2026-05-01T14:03:21.123456Z\"")
        .replace(
            "\"tcp\"",
            "\"tcp\",\"_path\":\"conn\",\"local_orig\":true,\"resp_pkts\":null",
        );
    let json = log(&format!("{row}\n{other}"));
    assert_eq!(json.rejected, 0, "{:?}", json.told);
    assert_eq!(json.connections[0], json.connections[1]);
    let mut plain = json.connections[0].clone();
    assert_eq!(
        plain.flow.selectors()[0].as_str(),
        "device:mac:02:00:5e:10:00:01"
    );
    plain.flow.mac = None;
    for separator in ["|", ",", "\t"] {
        let list = "ts|id.orig_h|id.orig_p|id.resp_h|id.resp_p|proto|orig_pkts|orig_ip_bytes|label\n\
            1777644201.123456|10.0.0.7|5000|198.51.100.7|443|tcp|5|360|Malicious   C&C\n";
        let list = log(&list.replace('|', separator));
        assert_eq!(list.connections, [plain.clone()], "{separator:?}");
    }
}

#[test]
fn which_end_is_a_device_may_be_said() {
    let text =
        format!("{HEADER}1\tC\t10.0.0.7\t1\t198.51.100.7\t2\tudp\t-\t-\t-\t-\t-\t1\t50\t0\t0\n");
    let networks = |text: &str| Networks::new(vec![text.parse().unwrap()]);
    let log = read(text.as_bytes(), &networks("198.51.100.0/24")).unwrap();
    assert_eq!(log.connections[0].flow.source.to_string(), "198.51.100.7:2");
    let log = read(text.as_bytes(), &networks("172.16.0.0/12")).unwrap();
    assert_eq!(
        (log.connections.len(), log.of_others, log.lines()),
        (0, 1, 1)
    );
    let asks = text.replace("10.0.0.7", "0.0.0.0");
    let log = read(asks.as_bytes(), &Networks::default()).unwrap();
    assert_eq!((log.connections.len(), log.of_others), (0, 1));
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_counted() {
    let good = "1\tC\t10.0.0.7\t1\t198.51.100.7\t2\tudp\t-\t-\t-\t-\t-\t1\t50\t0\t0\n";
    let text = format!(
        "{HEADER}{good}1\tC\t10.0.0.7\n{}{}{}{}{good}",
        good.replace("10.0.0.7", "10.0.0"),
        good.replace("198.51.100.7\t2", "198.51.100.7\t70000"),
        good.replace("1\tC", "1e9\tC"),
        good.replace("10.0.0.7", "-"),
    );
    let log = log(&text);
    assert_eq!(
        (log.connections.len(), log.rejected, log.lines()),
        (2, 5, 7)
    );
    let told: Vec<_> = log
        .told
        .iter()
        .map(|of| format!("{}: {}", of.line, of.why))
        .collect();
    assert_eq!(
        told,
        [
            "10: it has 3 columns, and the header has 16",
            "11: its `id.orig_h` is `10.0.0`",
            "12: its `id.resp_p` is `70000`",
            "13: its `ts` is `1e9`",
            "14: it says no `id.orig_h`",
        ]
    );
    let many = format!("{HEADER}{}", "x\n".repeat(500));
    let log = read(many.as_bytes(), &Networks::default()).unwrap();
    assert_eq!((log.rejected, log.told.len()), (500, 20));
}

#[test]
fn what_is_no_conn_log_is_an_error() {
    assert!(error("hello\n").contains("line 1 is neither"));
    assert!(error("#path\tdns\n").contains("Zeek's `dns` log"));
    assert!(error("#fields\tts\tid.orig_h\n").contains("has no `id.orig_p`, `id.resp_h`"));
    assert!(error(&"x".repeat(2 << 20)).contains("line 1 is longer"));
    assert_eq!(log("").lines(), 0);
}

#[test]
fn compressed_and_plain_are_the_same() {
    let text =
        format!("{HEADER}1\tC\t10.0.0.7\t1\t198.51.100.7\t2\tudp\t-\t-\t-\t-\t-\t1\t50\t0\t0\n");
    // Rotated logs are put together by `cat`.
    let mut packed = Vec::new();
    for _ in 0..2 {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        packed.extend(gzip.finish().unwrap());
    }
    let both = read(plain(&*packed).unwrap(), &Networks::default()).unwrap();
    assert_eq!(both.connections.len(), 2);
    let one = read(plain(text.as_bytes()).unwrap(), &Networks::default()).unwrap();
    assert_eq!(one.connections, both.connections[..1]);
    let cut = &packed[..packed.len() - 3];
    assert!(read(plain(cut).unwrap(), &Networks::default()).is_err());
}

#[test]
fn a_word_holds_from_when_it_says() {
    let line = |time: u32| {
        format!("{time}\tC\t10.0.0.7\t1\t198.51.100.7\t2\tudp\t-\t-\t-\t-\t-\t1\t50\t0\t0\n")
    };
    // The log is in the order of ends.
    let text = format!("{HEADER}{}{}", line(5_000), line(1_000));
    let alerts_since = |since: Option<i64>| {
        let word = RegistryChange {
            target: Target::Identity(Selector::device_ip("10.0.0.7".parse().unwrap())),
            state: CredentialState::Retired,
            since: since.map(Timestamp::from_unix_seconds),
            by: "legacy.toml".to_owned(),
            reason: None,
            owner: None,
        };
        let mut alerts = Vec::new();
        let settings = DetectionConfig::default();
        let (replayed, registry) = replay(log(&text), vec![word], settings, |of| alerts.push(of));
        // Nobody answered, which is told of each.
        assert_eq!(replayed.facts, 5);
        assert_eq!(registry.identities().count(), 1);
        let open = alerts.iter().filter(|of| of.repeats == 0);
        open.map(|of| {
            assert_eq!(of.id, DetectionId::RetiredIdentityActive);
            of.time.unix_seconds()
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(alerts_since(None), [1_000, 5_000]);
    assert_eq!(alerts_since(Some(2_000)), [5_000]);
    assert_eq!(alerts_since(Some(6_000)), [] as [i64; 0]);
}

#[test]
fn what_a_connection_carried_is_told_when_it_is_over() {
    let traffic = |packets, bytes| Traffic { packets, bytes };
    let none = Traffic::default();
    // protocol, duration, bytes and packets of both sides: first sent, first received, and the rest.
    for (columns, first, rest) in [
        // A handshake, 12 s, and the bytes at its end.
        (
            "tcp|12.5|100|200|5|360|4|400",
            (traffic(1, 40), none),
            Some((12_500, traffic(4, 320), traffic(4, 400))),
        ),
        (
            "udp|0.029483|58|146|2|114|2|202",
            (traffic(1, 28), none),
            Some((29, traffic(1, 86), traffic(2, 202))),
        ),
        // A single packet is known whole.
        (
            "udp|0.1|48|48|1|76|1|76",
            (traffic(1, 76), none),
            Some((100, none, traffic(1, 76))),
        ),
        // Nobody answered: not before five seconds, and not before it was over.
        (
            "tcp|-|-|-|1|60|0|0",
            (traffic(1, 60), none),
            Some((5_000, none, none)),
        ),
        (
            "tcp|3.139211|0|0|3|180|0|0",
            (traffic(1, 40), none),
            Some((5_000, traffic(2, 140), none)),
        ),
        (
            "udp|160.0|7536|0|24|8208|0|0",
            (traffic(1, 28), none),
            Some((160_000, traffic(23, 8_180), none)),
        ),
        // Answered in the same moment, or it is not known when.
        (
            "tcp|-|0|0|1|40|1|40",
            (traffic(1, 40), traffic(1, 40)),
            None,
        ),
        (
            "udp|0.0|48|48|1|76|1|76",
            (traffic(1, 76), traffic(1, 76)),
            None,
        ),
        // Packets were not counted: no byte comes before it was sent.
        (
            "tcp|60|1000000|10|-|-|-|-",
            (traffic(1, 0), none),
            Some((60_000, traffic(0, 1_000_000), traffic(1, 10))),
        ),
        // Only the answers were seen.
        (
            "tcp|2|0|70|0|0|2|150",
            (none, traffic(1, 40)),
            Some((2_000, none, traffic(1, 110))),
        ),
        // The smallest step of a clock, as JSON may write it.
        (
            "udp|9.5e-7|48|48|1|76|1|76",
            (traffic(1, 76), none),
            Some((0, none, traffic(1, 76))),
        ),
    ] {
        let text = format!(
            "ts|id.orig_h|id.orig_p|id.resp_h|id.resp_p|proto|duration|orig_bytes|resp_bytes|orig_pkts|orig_ip_bytes|resp_pkts|resp_ip_bytes\n\
             1000|10.0.0.7|1|198.51.100.7|2|{columns}\n"
        );
        let log = log(&text);
        let [of] = &*log.connections else {
            panic!("{columns}: {:?}", log.told);
        };
        assert_eq!((of.flow.sent, of.flow.received), first, "{columns}");
        let told = of.rest.map(|rest| {
            let after = rest.end.since(of.begin).as_millis();
            (after, rest.sent, rest.received)
        });
        assert_eq!(told, rest, "{columns}");
        if let Some((end, flow)) = of.ended() {
            assert!(flow.continues && end > of.begin, "{columns}");
        }
    }
    let wrong = "ts|id.orig_h|id.orig_p|id.resp_h|id.resp_p|proto|duration\n1|10.0.0.7|1|198.51.100.7|2|udp|long\n\
        1|10.0.0.7|1|198.51.100.7|2|udp|-1\n1|10.0.0.7|1|198.51.100.7|2|udp|inf\n";
    let log = log(wrong);
    assert_eq!((log.connections.len(), log.rejected), (0, 3));
    assert_eq!(log.told[0].why, "its `duration` is `long`");
}

#[test]
fn who_began_is_told_first_also_where_it_is_the_other_end() {
    let text = "ts|id.orig_h|id.orig_p|id.resp_h|id.resp_p|proto|duration|orig_pkts|orig_ip_bytes|resp_pkts|resp_ip_bytes\n\
        1|203.0.113.9|1|10.0.0.7|23|tcp|3|2|100|1|40\n";
    let log = log(text);
    let of = &log.connections[0];
    assert_eq!(of.flow.direction, Direction::Incoming);
    assert_eq!((of.flow.sent.packets, of.flow.received.packets), (0, 1));
    let rest = of.rest.unwrap();
    assert_eq!((rest.sent.packets, rest.received.packets), (1, 1));
}

#[test]
fn labels_are_read_apart_from_connections_in_every_form() {
    // As IoT-23 has them: three columns in Zeek's last one, or columns of their own.
    let tabs = HEADER.replace(
        "resp_ip_bytes\n",
        "resp_ip_bytes\ttunnel_parents   label   detailed-label\n",
    );
    let tabs = format!(
        "{tabs}1\tC\t10.0.0.7\t1\t198.51.100.7\t2\tudp\t-\t-\t-\t-\t-\t1\t50\t0\t0\t-   Malicious   C&C-FileDownload\r\n\
         2\tC\t10.0.0.7\t1\t198.51.100.7\t2\tudp\t-\t-\t-\t-\t-\t1\t50\t0\t0\t-   benign   -\n\
         #close\t2019-12-05-15-46-36   benign   -\n"
    );
    let list = "ts|id.orig_h|id.orig_p|id.resp_h|id.resp_p|proto|label|detailed-label\n\
        1|10.0.0.7|1|198.51.100.7|2|udp|Malicious   C&C|FileDownload\n2|10.0.0.7|1|198.51.100.7|2|udp|Benign|-\n\
        3|192.0.2.1|1|198.51.100.7|2|udp|Benign|-\nhalf a line\n";
    let plain =
        "ts|id.orig_h|id.orig_p|id.resp_h|id.resp_p|proto\n1|10.0.0.7|1|198.51.100.7|2|udp\n";
    let labels = |text: &str| {
        let mut found = Vec::new();
        labelled(text.as_bytes(), &Networks::default(), |of| {
            found.push((of.connection.begin.unix_seconds(), of.label, of.detailed));
        })
        .unwrap();
        found
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        labels(&tabs),
        [
            (1, text("Malicious"), text("C&C-FileDownload")),
            (2, text("benign"), None)
        ]
    );
    assert_eq!(
        labels(list),
        [
            (1, text("Malicious   C&C"), text("FileDownload")),
            (2, text("Benign"), None)
        ]
    );
    assert_eq!(labels(plain), [(1, None, None)]);
}

proptest! {
    /// Order, and nothing lost: what is told bit by bit is what stood in the lines.
    #[test]
    fn facts_are_in_order_and_add_up(
        lines in proptest::collection::vec(
            (0_u32..50, 0_u32..20_000, 0_u64..4, 0_u64..5_000, 0_u64..4, 0_u64..5_000, any::<bool>()),
            0..40,
        ),
    ) {
        let mut text = "ts|id.orig_h|id.orig_p|id.resp_h|id.resp_p|proto|duration|orig_pkts|orig_ip_bytes|resp_pkts|resp_ip_bytes\n".to_owned();
        let mut all = [Traffic::default(); 2];
        for (begin, milli, packets, bytes, other_packets, other_bytes, incoming) in &lines {
            let (orig, resp) = if *incoming { ("203.0.113.9", "10.0.0.7") } else { ("10.0.0.7", "203.0.113.9") };
            text += &format!(
                "{begin}|{orig}|1|{resp}|2|tcp|{}|{packets}|{bytes}|{other_packets}|{other_bytes}\n",
                f64::from(*milli) / 1_000.0
            );
            let one = Traffic { packets: *packets, bytes: *bytes };
            let other = Traffic { packets: *other_packets, bytes: *other_bytes };
            let (sent, received) = if *incoming { (other, one) } else { (one, other) };
            all[0].add(sent);
            all[1].add(received);
        }
        let mut told = [Traffic::default(); 2];
        let (mut begun, mut last) = (0, Timestamp(i64::MIN));
        for record in records(log(&text), Vec::new()) {
            let Fact::Flow(flow) = record.fact else {
                return Err(TestCaseError::fail("a fact of another kind"));
            };
            prop_assert!(record.time >= last);
            last = record.time;
            begun += usize::from(!flow.continues);
            told[0].add(flow.sent);
            told[1].add(flow.received);
        }
        prop_assert_eq!((begun, told), (lines.len(), all));
    }

    #[test]
    fn any_bytes_are_a_log_or_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        behind_header in any::<bool>(),
    ) {
        let mut all = if behind_header { HEADER.as_bytes().to_vec() } else { Vec::new() };
        all.extend(bytes);
        if let Ok(from) = plain(&*all) {
            let _ = read(from, &Networks::default());
        }
    }

    /// Every line is a connection, somebody else's, or told.
    #[test]
    fn no_line_is_lost(
        cells in proptest::collection::vec(
            proptest::collection::vec("[-0-9.:a-fT]{0,12}|10\\.0\\.0\\.[0-9]|tcp|udp", 1..18),
            0..20,
        ),
    ) {
        let rows: Vec<_> = cells.iter().map(|row| row.join("\t")).collect();
        let rows: Vec<_> = rows.into_iter().filter(|row| !row.is_empty()).collect();
        let text = format!("{HEADER}{}\n", rows.join("\n"));
        let log = log(&text);
        prop_assert_eq!(log.lines(), rows.len() as u64);
        prop_assert_eq!(log.told.len() as u64, log.rejected);
    }

    /// What a flow says is what stood in the line.
    #[test]
    fn numbers_come_out_as_they_went_in(
        seconds in 0_i64..9_000_000_000, micro in 0_u32..1_000_000, from: [u8; 4], ports: (u16, u16),
        packets: u32, bytes: u64,
    ) {
        let [_, b, c, d] = from;
        let text = format!(
            "{HEADER}{seconds}.{micro:06}\tC\t10.{b}.{c}.{d}\t{}\t203.0.113.9\t{}\ttcp\t-\t-\t-\t-\t-\t{packets}\t{bytes}\t0\t0\n",
            ports.0, ports.1
        );
        let log = log(&text);
        let [(time, flow)] = &*wholes(&log) else {
            return Err(TestCaseError::fail(format!("{log:?}")));
        };
        prop_assert_eq!(time.0, seconds * 1_000_000_000 + i64::from(micro) * 1_000);
        prop_assert_eq!(flow.source.to_string(), format!("10.{b}.{c}.{d}:{}", ports.0));
        prop_assert_eq!(flow.destination.port(), ports.1);
        prop_assert_eq!(flow.sent, Traffic { packets: packets.into(), bytes });
    }
}
