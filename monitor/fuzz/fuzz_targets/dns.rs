//! What resolvers send: any message names hosts or nothing, and any pieces of any streams come to
//! an end within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monitor::decode::{DnsBytes, Names, names};
use monitor::model::{Fact, Protocol, Timestamp};

fuzz_target!(|pieces: Vec<(u8, u16, bool, Vec<u8>)>| {
    let mut all = Names::default();
    for (number, (socket, sequence, cut, bytes)) in pieces.into_iter().enumerate() {
        for (_, name) in names(&bytes, cut).unwrap_or_default() {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            assert!(!name.is_empty() && name.bytes().all(plain));
        }
        let protocol = if socket % 2 == 0 {
            Protocol::Tcp
        } else {
            Protocol::Udp
        };
        let records = all.take(&DnsBytes {
            time: Timestamp(number as i64),
            socket: u64::from(socket),
            protocol,
            sequence: u32::from(sequence),
            bytes: bytes.into(),
            cut,
        });
        assert!(
            records
                .iter()
                .all(|record| matches!(record.fact, Fact::Name { .. }))
        );
    }
});
