//! What many credentials and identities cost. Few of them where nobody asks for more; all of what operators
//! are promised, with the numbers printed, by
//! `CREDWATCH_SCALE=10000 cargo xtask test live::scale -- --nocapture`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use monitor::model::{DetectionId, Fingerprint, Selector, Timestamp, Usage, UsageKey};
use monitor::storage::{Mode, Store, Write};

use super::daemon::{Daemon, Place};
use super::leaking::token;
use super::turn::alone;

/// Sets another number of credentials; of identities there are a fifth.
const SCALE_VARIABLE: &str = "CREDWATCH_SCALE";
const CREDENTIALS: usize = 500;
/// Files in one directory.
const TOGETHER: usize = 25;

/// Resident bytes, as the kernel counts them.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().unwrap() * 1024
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[test]
fn many_credentials_and_identities_are_found_with_their_usage() {
    let _host = alone();
    let asked = std::env::var(SCALE_VARIABLE).ok();
    let credentials = asked.map_or(CREDENTIALS, |number| number.parse().unwrap());
    let identities = credentials / 5;
    let empty = Place::new();
    let started = Instant::now();
    let daemon = Daemon::start(&empty);
    let (empty_start, empty_memory) = (started.elapsed(), resident(daemon.pid()));
    daemon.stop();

    let place = Place::new();
    let header = "eyJhbGciOiJIUzI1NiJ9";
    for index in 0..credentials {
        let directory = place.root().join(format!("service-{}", index / TOGETHER));
        fs::create_dir_all(&directory).unwrap();
        let claims =
            format!("{{\"iss\":\"https://issuer\",\"sub\":\"s{index}\",\"jti\":\"{index}\"}}");
        let jwt = format!(
            "{header}.{}.{}\n",
            url64(claims.as_bytes()),
            "c2lnbmF0dXJlc2lnbmF0dXJl"
        );
        let path = directory.join(format!("{index}.jwt"));
        fs::write(&path, jwt).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut store = Store::open(place.state(), Mode::ReadWrite).unwrap();
    let now = Timestamp::now();
    let mut writes = Vec::new();
    for index in 0..identities {
        let selector: Selector = format!("systemd:unit:service-{index}.service")
            .parse()
            .unwrap();
        for of in 0..5 {
            let number = (index * 5 + of) % credentials;
            writes.push(Write::Usage(Usage {
                key: UsageKey {
                    fingerprint: Fingerprint::new(format!("jwt:https://issuer/s{number}/{number}")),
                    identity: selector.clone(),
                    exe: "/usr/bin/service".to_owned(),
                    destination: String::new(),
                },
                first: now,
                last: now,
                count: 3,
                name: None,
            }));
        }
        writes.push(Write::IdentitySeen {
            selector,
            first: now,
            last: now,
        });
    }
    store.write(&writes).unwrap();
    store.close().unwrap();

    let started = Instant::now();
    let daemon = Daemon::start(&place);
    let first_start = started.elapsed();
    let status = place.status();
    let memory = resident(daemon.pid());
    let asked = Instant::now();
    let known = place.credentials();
    let answer = asked.elapsed();
    assert!(known.len() >= credentials, "{}", known.len());
    assert!(
        status.identities >= identities as u64,
        "{}",
        status.identities
    );
    let used = known.iter().filter(|of| of.uses == 3).count();
    assert_eq!(used, credentials, "each has its usage");

    let mut latencies: Vec<Duration> = (0..20)
        .map(|index| {
            let directory = index % credentials.div_ceil(TOGETHER);
            let name = format!("service-{directory}/new-{index}.env");
            let path = place.root().join(name);
            let text = format!("TOKEN={}\n", token(&index.to_string()));
            let written = Instant::now();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            while place
                .all(|alert| {
                    alert.id == DetectionId::LeakedByPlace && alert.path.as_deref() == path.to_str()
                })
                .is_empty()
            {
                assert!(
                    written.elapsed() < Duration::from_secs(20),
                    "{}",
                    path.display()
                );
                std::thread::sleep(Duration::from_millis(1));
            }
            written.elapsed()
        })
        .collect();
    latencies.sort();
    daemon.stop();
    let started = Instant::now();
    let daemon = Daemon::start(&place);
    let (second_start, second_memory) = (started.elapsed(), resident(daemon.pid()));
    println!(
        "{credentials} credentials, {identities} identities, {} files watched\n\
         memory: {:.1} MiB (empty: {:.1} MiB; after a restart: {:.1} MiB)\n\
         start until ready, with the first search: {first_start:.2?} (empty: {empty_start:.2?}; after a restart: {second_start:.2?})\n\
         credwatch credentials --output json: {answer:.2?}\n\
         a new file, from the write to the alert in the sink: median {:.1?}, longest {:.1?} of {}",
        status.watched_files,
        mib(memory),
        mib(empty_memory),
        mib(second_memory),
        latencies[latencies.len() / 2],
        latencies[latencies.len() - 1],
        latencies.len(),
    );
}

fn url64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let chunks = bytes.chunks(3).flat_map(|chunk| {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        (0..=chunk.len()).map(move |at| {
            let digit = word >> (18 - 6 * at) & 63;
            char::from(DIGITS[usize::try_from(digit).unwrap()])
        })
    });
    chunks.collect()
}
