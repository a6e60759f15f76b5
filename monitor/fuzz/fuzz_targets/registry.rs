//! A file of the registry's directory.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use monitor::config::load_registry;
use tempfile::TempDir;

thread_local! {
    static DIRECTORY: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

fuzz_target!(|bytes: &[u8]| {
    DIRECTORY.with_borrow_mut(|directory| {
        let directory = directory.get_or_insert_with(|| TempDir::new().unwrap());
        std::fs::write(directory.path().join("a.toml"), bytes).unwrap();
        if let Err(error) = load_registry(directory.path()) {
            assert!(!error.to_string().is_empty());
        }
    });
});
