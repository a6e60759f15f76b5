//! Records of the ring: any bytes give a fact, a file to look at, or an error.
#![no_main]

use std::sync::OnceLock;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use monitor::config::DetectionConfig;
use monitor::decode::{Clock, Decoded, decode};
use monitor::detection::Detector;
use monitor_common::{
    CloseRecord, ConnectRecord, FileRecord, IdentityRecord, NamedFileRecord, ProcessRecord,
    TaskRecord, UnixRecord,
};

/// The sizes of the kinds, from the first on: a fuzzer would not find them by chance.
const SIZES: [usize; 12] = [
    size_of::<ProcessRecord>(),
    size_of::<ProcessRecord>(),
    size_of::<TaskRecord>(),
    size_of::<TaskRecord>(),
    size_of::<FileRecord>(),
    size_of::<FileRecord>(),
    size_of::<NamedFileRecord>(),
    size_of::<NamedFileRecord>(),
    size_of::<ConnectRecord>(),
    size_of::<UnixRecord>(),
    size_of::<CloseRecord>(),
    size_of::<IdentityRecord>(),
];

static SETTINGS: OnceLock<DetectionConfig> = OnceLock::new();

fuzz_target!(|records: Vec<(u8, Vec<u8>)>| {
    // What was decoded goes on to the next stage, as in the daemon.
    let mut detector = Detector::new(SETTINGS.get_or_init(DetectionConfig::default).clone());
    for (kind, mut record) in records {
        if let Some(size) = usize::from(kind)
            .checked_sub(1)
            .and_then(|at| SIZES.get(at))
        {
            record.resize(*size, 0);
            record[..2].copy_from_slice(&u16::from(kind).to_ne_bytes());
        }
        if let Ok(Decoded::Fact(record)) = decode(&Bytes::from(record), &Clock::FIXED) {
            let _ = detector.step(&record);
        }
    }
    let _ = detector.finish();
});
