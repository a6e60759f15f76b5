//! One message of the domain name system to the addresses that it names.

use std::net::IpAddr;

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::wire::ParseError;
use domain::base::{Message, ParsedName, RecordSection, ToName};
use domain::rdata::{A, Aaaa, Cname};

/// Most addresses that are taken from one message.
const ADDRESSES: usize = 16;
/// Most records that are looked at for them. Each may cost the following of 255 pointers.
const RECORDS: usize = 64;
/// Longest name, in characters without the dot at its end (RFC 1035, 2.3.4).
const NAME: usize = 253;

/// Bytes from port 53 that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no message of the domain name system")]
pub struct Garbled;

/// The addresses of an answer, each with the name that was asked for. An address at the end of a
/// chain of aliases has the name at its beginning: that is what a person has written down
/// somewhere. Aliases are followed in the order of the records, as the C library does.
///
/// Empty for everything that names nothing: questions, errors, other types of records, names that
/// are no host names. With `cut`, the message goes on behind these bytes.
///
/// # Errors
/// When the bytes are no message. A message with a fault anywhere before the end of its answers
/// names nothing.
pub fn names(message: &[u8], cut: bool) -> Result<Vec<(IpAddr, String)>, Garbled> {
    let message = Message::from_slice(message).map_err(|_| Garbled)?;
    let header = message.header();
    if !header.qr() || header.opcode() != Opcode::QUERY || header.rcode() != Rcode::NOERROR {
        return Ok(Vec::new());
    }
    let question = message.sole_question().map_err(|_| Garbled)?;
    let Some(name) = host_name(question.qname()) else {
        return Ok(Vec::new());
    };
    let answer = message.answer().map_err(|_| Garbled)?;
    let mut addresses = Vec::new();
    match follow(*question.qname(), answer, &mut addresses) {
        Err(_) if !cut => return Err(Garbled),
        _ => {}
    }
    Ok(addresses
        .into_iter()
        .map(|address| (address, name.clone()))
        .collect())
}

/// Collects the addresses of a name and of its aliases.
fn follow<'a>(
    mut name: ParsedName<&'a [u8]>,
    answer: RecordSection<'a, [u8]>,
    addresses: &mut Vec<IpAddr>,
) -> Result<(), ParseError> {
    for record in answer.take(RECORDS) {
        let record = record?;
        if record.class() != Class::IN || record.owner() != name {
            continue;
        }
        let address = match record.rtype() {
            Rtype::CNAME => {
                if let Some(alias) = record.to_record::<Cname<_>>()? {
                    name = alias.into_data().into_cname();
                }
                continue;
            }
            Rtype::A => record
                .to_record::<A>()?
                .map(|record| IpAddr::V4(record.data().addr())),
            Rtype::AAAA => record
                .to_record::<Aaaa>()?
                .map(|record| IpAddr::V6(record.data().addr()).to_canonical()),
            _ => None,
        };
        // Filters answer with 0.0.0.0 for what shall not be reached.
        let Some(address) = address.filter(|address| !address.is_unspecified()) else {
            continue;
        };
        if addresses.len() < ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(())
}

/// The name in lower case without the dot at its end, if it can be one of a host: letters, digits,
/// hyphens within, and underscores, which container runtimes put into names. Nothing else comes to
/// a terminal, and nothing that looks like an address.
fn host_name(name: &impl ToName) -> Option<String> {
    let mut text = String::new();
    for label in name.iter_labels().filter(|label| !label.is_root()) {
        let label = label.as_slice();
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        if !label.iter().all(allowed) || label.starts_with(b"-") || label.ends_with(b"-") {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(
            label
                .iter()
                .map(|byte| char::from(byte.to_ascii_lowercase())),
        );
    }
    let top = text.rsplit('.').next().unwrap_or_default();
    let is_name = text.len() <= NAME && top.bytes().any(|byte| !byte.is_ascii_digit());
    is_name.then_some(text)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A name in the form of messages.
    fn wire(name: &str) -> Vec<u8> {
        let labels = name.split('.').filter(|label| !label.is_empty());
        let labels = labels.flat_map(|label| {
            let len = u8::try_from(label.len()).unwrap();
            std::iter::once(len).chain(label.bytes())
        });
        labels.chain([0]).collect()
    }

    /// A record of class IN: owner, type, data.
    type Data<'a> = (&'a str, u16, Vec<u8>);

    fn a(owner: &str, address: [u8; 4]) -> Data<'_> {
        (owner, 1, address.to_vec())
    }

    fn alias<'a>(owner: &'a str, of: &str) -> Data<'a> {
        (owner, 5, wire(of))
    }

    /// An answer to a question for an address.
    pub(in super::super) fn answer(name: &str, records: &[Data<'_>]) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 0x81, 0x80, 0, 1, 0];
        message.push(u8::try_from(records.len()).unwrap());
        message.extend([0; 4]);
        message.extend(wire(name));
        message.extend([0, 1, 0, 1]);
        for (owner, kind, data) in records {
            message.extend(wire(owner));
            message.extend(kind.to_be_bytes());
            message.extend([0, 1, 0, 0, 0, 60]);
            message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            message.extend(data);
        }
        message
    }

    /// What an answer names, as text.
    fn named(message: &[u8]) -> Vec<(String, String)> {
        let names = names(message, false).unwrap();
        let text = |(address, name): (IpAddr, String)| (address.to_string(), name);
        names.into_iter().map(text).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let text = |(address, name): &(&str, &str)| ((*address).to_owned(), (*name).to_owned());
        expected.iter().map(text).collect()
    }

    #[test]
    fn aliases_lead_to_the_name_that_was_asked_for() {
        let message = answer(
            "WWW.Example.org",
            &[
                alias("www.example.ORG", "cdn.example.net"),
                a("stranger.example.org", [192, 0, 2, 66]),
                alias("cdn.example.net", "edge.example.net"),
                a("edge.example.net", [192, 0, 2, 1]),
                a("edge.example.net", [192, 0, 2, 1]),
                (
                    "edge.example.net",
                    28,
                    [&[0x20, 1], &[0; 13][..], &[7]].concat(),
                ),
                a("cdn.example.net", [192, 0, 2, 67]),
            ],
        );
        let expected = [
            ("192.0.2.1", "www.example.org"),
            ("2001::7", "www.example.org"),
        ];
        assert_eq!(named(&message), pairs(&expected));
    }

    #[test]
    fn a_mapped_address_is_that_of_connect_and_none_is_none() {
        let mapped = [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 9]].concat();
        let records = [("h", 28, mapped), a("h", [0; 4]), ("h", 28, vec![0; 16])];
        assert_eq!(named(&answer("h", &records)), pairs(&[("192.0.2.9", "h")]));
    }

    #[test]
    fn only_answers_without_an_error_name_anything() {
        let good = answer("h", &[a("h", [192, 0, 2, 1])]);
        let with = |at: usize, byte| {
            let mut message = good.clone();
            message[at] = byte;
            named(&message)
        };
        assert_eq!(with(0, 0x99), pairs(&[("192.0.2.1", "h")]));
        assert_eq!(with(2, 0x01), [], "a question");
        assert_eq!(with(2, 0xa9), [], "a notification");
        assert_eq!(with(3, 0x83), [], "no such name");
        assert_eq!(with(12 + 1 + 1 + 1 + 4 + 3 + 3, 3), [], "another class");
    }

    #[test]
    fn what_is_no_host_name_is_not_told() {
        let named = |name: &str| named(&answer(name, &[a(name, [192, 0, 2, 1])])).pop();
        for good in [
            "localhost",
            "my_db.svc.cluster.local",
            "xn--bcher-kva.example",
            "1.2.a4",
        ] {
            assert_eq!(named(good).unwrap().1, good);
        }
        let long = ["a".repeat(63).as_str(); 4].join(".");
        let bad = [
            "",
            "10.0.0.1",
            "-a.b",
            "a-.b",
            "a b",
            "a\u{1b}[2J.b",
            "ä.b",
            "a/b",
            &long,
        ];
        for bad in bad {
            // The longest does not even fit into a message.
            let message = answer(bad, &[a(bad, [192, 0, 2, 1])]);
            let names = names(&message, false).unwrap_or_default();
            assert_eq!(names, [], "{bad}");
        }
    }

    #[test]
    fn a_message_names_sixteen_addresses_at_most() {
        let records: Vec<_> = (0..40).map(|last| a("h", [192, 0, 2, last])).collect();
        assert_eq!(named(&answer("h", &records)).len(), 16);
    }

    #[test]
    fn a_message_that_is_cut_names_what_came_before_and_a_broken_one_nothing() {
        let records: Vec<_> = (1..9).map(|last| a("h", [192, 0, 2, last])).collect();
        let message = answer("h", &records);
        let cut = &message[..message.len() - 20];
        assert_eq!(names(cut, true).unwrap().len(), 6);
        assert_eq!(names(cut, false), Err(Garbled));
        for len in 0..19 {
            assert_eq!(names(&message[..len], true), Err(Garbled), "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_names_of_hosts_or_garbled(
            bytes in proptest::collection::vec(any::<u8>(), 0..1_300),
            cut in any::<bool>(),
        ) {
            check(&bytes, cut);
        }

        #[test]
        fn any_bytes_within_an_answer_are_names_of_hosts_or_garbled(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<bool>(),
        ) {
            let mut message = answer(
                "www.example.org",
                &[
                    alias("www.example.org", "cdn.example.net"),
                    a("cdn.example.net", [192, 0, 2, 1]),
                    a("cdn.example.net", [192, 0, 2, 2]),
                ],
            );
            for (at, byte) in changes {
                *at.get_mut(&mut message) = byte;
            }
            check(&message, cut);
        }
    }

    fn check(message: &[u8], cut: bool) {
        let names = names(message, cut).unwrap_or_default();
        assert!(names.len() <= ADDRESSES);
        for (_, name) in names {
            assert!(!name.is_empty() && name.len() <= NAME, "{name}");
            let plain = |c: char| "abcdefghijklmnopqrstuvwxyz0123456789-_.".contains(c);
            assert!(name.chars().all(plain), "{name}");
            assert!(name.parse::<IpAddr>().is_err(), "{name}");
        }
    }
}
