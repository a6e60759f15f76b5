//! Records of the ring: any bytes give a fact, a file to look at, or an error.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use monitor::decode::{Clock, Decoded, decode};
use monitor::detection::Detector;

fuzz_target!(|records: Vec<Vec<u8>>| {
    // What was decoded goes on to the next stage, as in the daemon.
    let mut detector = Detector::new(monitor::config::DetectionConfig::default());
    for record in records {
        if let Ok(Decoded::Fact(record)) = decode(&Bytes::from(record), &Clock::FIXED) {
            let _ = detector.step(&record);
        }
    }
    let _ = detector.finish();
});
