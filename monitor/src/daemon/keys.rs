//! The kernel's keyrings, as /proc/keys lists them (keyrings(7)): what keys are called, and whose
//! they are. The `procfs` crate reads the file into types that it does not make public.

use crate::model::KernelKey;

/// Most keys that are told.
const KEYS: usize = 1_024;
/// Types whose payload lets its holder act. Rings are none, nor are names that were looked up and the
/// keys of certificates, which everybody may know.
const SECRET: &[&str] = &[
    "big_key",
    "ceph",
    "cifs.spnego",
    "encrypted",
    "fscrypt-provisioning",
    "logon",
    "rxrpc",
    "trusted",
    "user",
];

/// The keys that this process may see, by their serial numbers.
pub(super) fn all() -> Vec<KernelKey> {
    match std::fs::read_to_string("/proc/keys") {
        Ok(text) => {
            let mut keys: Vec<_> = text.lines().filter_map(key).take(KEYS).collect();
            keys.sort_by_key(|key| key.serial);
            keys
        }
        Err(error) => {
            tracing::debug!(%error, "the kernel's keys cannot be listed");
            Vec::new()
        }
    }
}

/// `1a2b3c4d I--Q---     1 perm 3f010000  1000  1000 user      aws:deploy: 32`
fn key(line: &str) -> Option<KernelKey> {
    let mut rest = line;
    let mut word = || {
        let (word, behind) = rest.trim_start().split_once(' ')?;
        rest = behind;
        Some(word)
    };
    let serial = u32::from_str_radix(word()?, 16).ok()?;
    let (_flags, _uses, _timeout) = (word()?, word()?, word()?);
    let permissions = u32::from_str_radix(word()?, 16).ok()?;
    let uid = word()?.parse().ok()?;
    let (_gid, kind) = (word()?, word()?);
    let described = rest.trim();
    // The size of the payload stands behind it.
    let description = described
        .rsplit_once(": ")
        .map_or(described, |(name, _)| name);
    SECRET.contains(&kind).then(|| KernelKey {
        serial,
        kind: kind.to_owned(),
        description: description.to_owned(),
        uid,
        permissions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_and_a_ring_is_none() {
        let line = "1a2b3c4d I--Q---     1 perm 3f010000  1000  1000 user      aws: deploy: 32";
        let known = KernelKey {
            serial: 0x1a2b_3c4d,
            kind: "user".to_owned(),
            description: "aws: deploy".to_owned(),
            uid: 1000,
            permissions: 0x3f01_0000,
        };
        assert_eq!(key(line), Some(known));
        for none in [
            "21ed5cc7 I--Q---     2 perm 1f3f0000     0 65534 keyring   _uid.0: empty",
            "0 I",
            "",
        ] {
            assert_eq!(key(none), None);
        }
    }
}
