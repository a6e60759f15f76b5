//! Recordings, as a whole and line by line with checksums that fit.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use monitor::config::DetectionConfig;
use monitor::model::Record;
use monitor::recording::{Writer, replay};

/// Compiled once: the globs in it take longer than most recordings.
fn settings() -> DetectionConfig {
    static SETTINGS: OnceLock<DetectionConfig> = OnceLock::new();
    SETTINGS.get_or_init(DetectionConfig::default).clone()
}

fuzz_target!(|bytes: &[u8]| {
    let _ = replay(bytes, settings(), drop);
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
        let replayed = replay(&*file, settings(), |alert| alerts.push(alert));
        (replayed.map_err(|error| error.to_string()), alerts)
    };
    let (first, again) = (run(), run());
    assert_eq!(first, again);
});
