//! Recordings, as a whole and line by line with checksums that fit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monitor::config::DetectionConfig;
use monitor::model::Record;
use monitor::recording::{Writer, replay};

fuzz_target!(|bytes: &[u8]| {
    let _ = replay(bytes, DetectionConfig::default(), drop);
    // A checksum keeps a fuzzer out: facts are written by the real writer too.
    let records: Vec<Record> = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    if records.is_empty() {
        return;
    }
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, "fuzz").unwrap();
    for record in &records {
        writer.write(record).unwrap();
    }
    writer.flush().unwrap();
    drop(writer);
    let run = || {
        let mut alerts = Vec::new();
        let replayed = replay(&*file, DetectionConfig::default(), |alert| alerts.push(alert));
        (replayed.map_err(|error| error.to_string()), alerts)
    };
    let (first, again) = (run(), run());
    assert_eq!(first, again);
});
