//! Instances of conn logs that say of each connection what it was: an identity and another end, as long
//! as malicious connections follow each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::event::other_end;
use super::label::Label;
use crate::model::{Protocol, Selector, Timestamp};
use crate::recording::zeek::Labelled;

/// After this much quiet the next malicious connection begins another episode.
const QUIET: Duration = Duration::from_secs(3_600);

/// What data sets call what should be found.
const MALICIOUS: &str = "malicious";

/// Gathers the instances of a log.
#[derive(Debug, Default)]
pub(super) struct Episodes {
    malicious: Vec<Malicious>,
    labelled: u64,
}

#[derive(Debug)]
struct Malicious {
    begin: Timestamp,
    end: Timestamp,
    identity: Selector,
    destination: SocketAddr,
    protocol: Protocol,
    kind: String,
}

impl Episodes {
    /// Takes in a connection, in any order.
    pub(super) fn add(&mut self, of: Labelled) {
        let Some(label) = of.label else {
            return;
        };
        self.labelled += 1;
        let Some(kind) = kind(&label, of.detailed.as_deref()) else {
            return;
        };
        let (begin, end) = (of.connection.begin, of.connection.end());
        let flow = of.connection.flow;
        let Some(identity) = flow.selectors().into_iter().next() else {
            return;
        };
        self.malicious.push(Malicious {
            begin,
            end,
            identity,
            destination: other_end(&flow),
            protocol: flow.protocol,
            kind,
        });
    }

    /// How many connections had a label.
    pub(super) fn labelled(&self) -> u64 {
        self.labelled
    }

    /// The instances in the order of their beginnings. Each is of the kind of its first connection.
    pub(super) fn finish(mut self) -> Vec<Label> {
        self.malicious.sort_by_key(|of| of.begin);
        let mut open: BTreeMap<_, Label> = BTreeMap::new();
        let mut labels = Vec::new();
        for of in self.malicious {
            let key = (of.identity.clone(), of.destination, of.protocol);
            if let Some(label) = open.get_mut(&key)
                && of.begin.since(label.end) < QUIET
            {
                label.end = label.end.max(of.end);
                continue;
            }
            let label = Label {
                kind: of.kind,
                identity: of.identity,
                destination: Some(of.destination),
                begin: of.begin,
                end: of.end,
                benign: false,
                note: None,
            };
            labels.extend(open.insert(key, label));
        }
        labels.extend(open.into_values());
        labels.sort_by(|left, right| {
            let key = |of: &Label| (of.begin, of.identity.clone(), of.destination);
            key(left).cmp(&key(right))
        });
        labels
    }
}

/// What a malicious connection was: `Malicious   C&C` with `FileDownload` is `C&C-FileDownload`, and
/// `Malicious` with that the same.
fn kind(label: &str, detailed: Option<&str>) -> Option<String> {
    let (head, rest) = label.trim().split_at_checked(MALICIOUS.len())?;
    if !head.eq_ignore_ascii_case(MALICIOUS) {
        return None;
    }
    let parts = [rest.trim(), detailed.unwrap_or_default().trim()];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Some(if parts.is_empty() {
        MALICIOUS.to_owned()
    } else {
        parts.join("-")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::zeek::{Networks, labelled};

    #[test]
    fn words_of_data_sets_are_kinds() {
        for (label, detailed, expected) in [
            ("benign", None, None),
            ("Benign", Some("-"), None),
            (
                "Malicious",
                Some("C&C-FileDownload"),
                Some("C&C-FileDownload"),
            ),
            (
                "Malicious   C&C",
                Some("FileDownload"),
                Some("C&C-FileDownload"),
            ),
            ("Malicious   DDoS", None, Some("DDoS")),
            ("malicious", Some(""), Some("malicious")),
            ("", None, None),
        ] {
            assert_eq!(kind(label, detailed).as_deref(), expected, "{label}");
        }
    }

    #[test]
    fn an_episode_ends_with_an_hour_of_quiet() {
        let mut text =
            "ts|id.orig_h|id.orig_p|id.resp_h|id.resp_p|proto|duration|orig_pkts|resp_pkts|label\n"
                .to_owned();
        for (begin, duration, to, label) in [
            // Lasts for two hours; what follows within one more is the same.
            (0, 7_200, "198.51.100.7|443|tcp", "Malicious"),
            (10_700, 5, "198.51.100.7|443|tcp", "Malicious"),
            (14_306, 5, "198.51.100.7|443|tcp", "Malicious"),
            (100, 5, "198.51.100.7|443|udp", "Malicious"),
            (200, 5, "198.51.100.7|80|tcp", "Malicious"),
            (300, 5, "198.51.100.8|80|tcp", "Benign"),
        ] {
            text += &format!("{begin}|10.0.0.7|1|{to}|{duration}|2|2|{label}\n");
        }
        let mut episodes = Episodes::default();
        labelled(text.as_bytes(), &Networks::default(), |of| episodes.add(of)).unwrap();
        assert_eq!(episodes.labelled(), 6);
        let seconds = |of: &Label| (of.begin.unix_seconds(), of.end.unix_seconds());
        let found: Vec<_> = episodes.finish().iter().map(seconds).collect();
        assert_eq!(
            found,
            [(0, 10_705), (100, 105), (200, 205), (14_306, 14_311)]
        );
    }
}
