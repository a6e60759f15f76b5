//! Kerberos keytabs, format 0x0502 (MIT Kerberos, "The Kerberos keytab binary file format").

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{Found, Input};
use crate::model::{Credential, CredentialKind, Timestamp};

/// One credential a principal. Its name covers the keys of the newest version only, so that the
/// old keys that stay in the file after a change do not make the new ones look like them.
pub(super) fn recognise(input: Input<'_>, found: &mut Vec<Credential>) {
    let Some(mut rest) = input.bytes.strip_prefix(&[5, 2]) else {
        return;
    };
    let mut principals: BTreeMap<String, Keys> = BTreeMap::new();
    while let Some((size, tail)) = rest.split_first_chunk::<4>() {
        let size = i32::from_be_bytes(*size);
        let Ok(len) = usize::try_from(size.unsigned_abs()) else {
            break;
        };
        let Some((record, tail)) = tail.split_at_checked(len) else {
            break;
        };
        rest = tail;
        // A negative size is a hole that a removed entry left; zero ends the file.
        if size == 0 {
            break;
        }
        if size > 0
            && let Some(entry) = entry(record)
        {
            principals.entry(entry.principal).or_default().add(
                entry.version,
                entry.time,
                entry.key,
            );
        }
    }
    for (principal, keys) in principals {
        let name = input.key.hmac("keytab", &keys.material);
        found.push(
            Found::new(CredentialKind::Keytab, name)
                .label(&principal)
                .issued((keys.time > 0).then(|| Timestamp::from_unix_seconds(keys.time.into())))
                .done(),
        );
    }
}

/// The keys of a principal's newest version, in the file's order.
#[derive(Default)]
struct Keys {
    version: u32,
    time: u32,
    material: Zeroizing<Vec<u8>>,
}

impl Keys {
    fn add(&mut self, version: u32, time: u32, key: &[u8]) {
        if version > self.version {
            self.material = Zeroizing::default();
            self.version = version;
        }
        if version == self.version {
            let mut longer = Zeroizing::new(Vec::with_capacity(self.material.len() + key.len()));
            longer.extend_from_slice(&self.material);
            longer.extend_from_slice(key);
            self.material = longer;
            self.time = self.time.max(time);
        }
    }
}

struct Entry<'a> {
    principal: String,
    version: u32,
    time: u32,
    /// Its type and the key.
    key: &'a [u8],
}

fn entry(record: &[u8]) -> Option<Entry<'_>> {
    let mut rest = record;
    let count = u16::from_be_bytes(*take(&mut rest)?);
    if !(1..=16).contains(&count) {
        return None;
    }
    let realm = counted(&mut rest)?;
    let mut parts = Vec::with_capacity(count.into());
    for _ in 0..count {
        parts.push(std::str::from_utf8(counted(&mut rest)?).ok()?);
    }
    let principal = format!("{}@{}", parts.join("/"), std::str::from_utf8(realm).ok()?);
    let _name_type: &[u8; 4] = take(&mut rest)?;
    let time = u32::from_be_bytes(*take(&mut rest)?);
    let [short_version] = *take(&mut rest)?;
    let start = rest;
    let _key_type: &[u8; 2] = take(&mut rest)?;
    let key_len = counted(&mut rest)?.len();
    let key = &start[..4 + key_len];
    if key_len == 0 {
        return None;
    }
    // A version of 32 bits follows where one of 8 is too small.
    let long = take::<4>(&mut rest).map_or(0, |bytes| u32::from_be_bytes(*bytes));
    Some(Entry {
        principal,
        version: if long == 0 {
            short_version.into()
        } else {
            long
        },
        time,
        key,
    })
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(head)
}

fn counted<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u16::from_be_bytes(*take(rest)?).into();
    let (head, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(head)
}
