//! Conn logs of Zeek: any bytes, also behind a header, are connections, told lines or one error.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use monitor::config::DetectionConfig;
use monitor::recording::zeek::{Networks, plain, read, replay};

const HEADER: &[u8] = b"#separator \\x09\n#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\
    \tduration\torig_pkts\torig_ip_bytes\torig_l2_addr\n";

/// Compiled once: the globs in it take longer than most logs.
fn settings() -> DetectionConfig {
    static SETTINGS: OnceLock<DetectionConfig> = OnceLock::new();
    SETTINGS.get_or_init(DetectionConfig::default).clone()
}

fuzz_target!(|input: (bool, &[u8])| {
    let (behind_header, bytes) = input;
    let mut all = if behind_header { HEADER.to_vec() } else { Vec::new() };
    all.extend_from_slice(bytes);
    let Ok(from) = plain(&*all) else {
        return;
    };
    let Ok(log) = read(from, &Networks::default()) else {
        return;
    };
    assert!(log.told.len() as u64 <= log.rejected);
    assert!(log.rejected <= log.lines());
    let facts = log.connections.iter().map(|of| 1 + u64::from(of.rest.is_some())).sum();
    let (replayed, _) = replay(log, Vec::new(), settings(), drop);
    assert_eq!(replayed.facts, facts);
});
