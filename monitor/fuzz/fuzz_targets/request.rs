//! A line on the control socket, and the daemon's answer on the client's side.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monitor::control::{Request, Response};

fuzz_target!(|line: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<Request>(line) {
        let again = serde_json::to_vec(&request).unwrap();
        assert_eq!(serde_json::from_slice::<Request>(&again).unwrap(), request);
    }
    let _ = serde_json::from_slice::<Response>(line);
});
