//! Messages of the process connector: any bytes end in messages or in an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monitor::sensor::connector::message::messages;

fuzz_target!(|datagram: &[u8]| {
    for message in messages(datagram) {
        if let Err(error) = message {
            assert!(!error.to_string().is_empty());
        }
    }
});
