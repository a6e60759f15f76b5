//! Files that may hold credentials, under every name that hints at one.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use monitor::credential::{FingerprintKey, SecretBytes, recognise};

const PATHS: [&str; 12] = [
    "/home/a/.ssh/id_ed25519",
    "/home/a/.ssh/authorized_keys",
    "/home/a/.aws/credentials",
    "/home/a/.config/gcloud/application_default_credentials.json",
    "/home/a/.azure/msal_token_cache.json",
    "/home/a/.kube/config",
    "/home/a/.docker/config.json",
    "/home/a/.git-credentials",
    "/home/a/.netrc",
    "/home/a/.npmrc",
    "/etc/krb5.keytab",
    "/etc/shadow",
];

static KEY: OnceLock<FingerprintKey> = OnceLock::new();

fuzz_target!(|input: (u8, &[u8])| {
    let (path, content) = (PATHS[usize::from(input.0) % PATHS.len()], input.1);
    let key = KEY.get_or_init(|| FingerprintKey::generate().unwrap());
    let secret = SecretBytes::from_vec(content.to_vec());
    let found = recognise(Path::new(path), &secret, key);
    // The same content is the same credentials, or a retired one would not be known again.
    assert_eq!(found, recognise(Path::new(path), &secret, key));
});
