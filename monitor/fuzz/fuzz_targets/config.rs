//! The configuration file.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use monitor::config::Config;

fuzz_target!(|text: &str| {
    if let Err(error) = Config::parse(Path::new("/etc/credwatch/credwatch.toml"), text) {
        assert!(!error.to_string().is_empty());
    }
});
