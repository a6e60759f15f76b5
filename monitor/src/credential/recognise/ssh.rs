//! SSH private keys in OpenSSH's own format, and lists of keys that are let in.
//!
//! SSH keys in PEM formats are in `x509`: nothing in them tells what they are for.

use ssh_key::{Certificate, PrivateKey, PublicKey};

use super::pem::Block;
use super::{Found, Input};
use crate::credential::fingerprint;
use crate::model::{Credential, CredentialKind, Timestamp};

/// OpenSSH's PROTOCOL.key: magic, cipher, KDF, KDF options, count, public keys, private section.
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// What the algorithms of OpenSSH's certificates end in (PROTOCOL.certkeys).
const CERTIFICATE: &str = "-cert-v01@openssh.com ";

/// A line of `authorized_keys` has its key within so many words.
const MAX_WORDS: usize = 64;

/// Private keys among PEM blocks.
pub(super) fn recognise_pem(blocks: &[Block<'_>], found: &mut Vec<Credential>) {
    for block in blocks {
        if block.label == "OPENSSH PRIVATE KEY"
            && let Some(credential) = private_key(&block.der)
        {
            found.push(credential);
        }
    }
}

fn private_key(der: &[u8]) -> Option<Credential> {
    let outline = outline(der)?;
    // The name is of the bytes as they stand, as ssh-keygen does it; the library is asked for the
    // comment only, and does not know every algorithm.
    let parsed = PrivateKey::from_bytes(der).ok();
    let comment = parsed.as_ref().map_or("", |key| key.comment());
    let mut label = String::new();
    if !comment.is_empty() {
        label.push_str(comment);
        label.push_str(", ");
    }
    label.push_str(outline.algorithm);
    if outline.encrypted {
        label.push_str(", passphrase-protected");
    }
    Some(
        Found::new(
            CredentialKind::SshPrivateKey,
            fingerprint::ssh(outline.public),
        )
        .label(&label)
        .done(),
    )
}

struct Outline<'a> {
    public: &'a [u8],
    algorithm: &'a str,
    encrypted: bool,
}

fn outline(der: &[u8]) -> Option<Outline<'_>> {
    let mut rest = der.strip_prefix(MAGIC)?;
    let cipher = string(&mut rest)?;
    let _kdf = string(&mut rest)?;
    let _kdf_options = string(&mut rest)?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    if u32::from_be_bytes(*count) != 1 {
        return None;
    }
    let public = string(&mut rest)?;
    let private = string(&mut rest)?;
    let mut inside = public;
    let algorithm = std::str::from_utf8(string(&mut inside)?).ok()?;
    (!private.is_empty() && !algorithm.is_empty() && algorithm.len() <= 64).then_some(Outline {
        public,
        algorithm,
        encrypted: cipher != b"none",
    })
}

/// A string of RFC 4251, section 5.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, tail) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let (content, tail) = tail.split_at_checked(len)?;
    *rest = tail;
    Some(content)
}

/// A certificate, as `ssh-keygen -s` writes it beside the key. The library refuses one without an
/// end.
pub(super) fn recognise_certificate(input: Input<'_>, found: &mut Vec<Credential>) {
    if !input.has(CERTIFICATE) {
        return;
    }
    for line in input.text.lines().map(str::trim) {
        let Ok(certificate) = Certificate::from_openssh(line) else {
            continue;
        };
        let Ok(blob) = certificate.to_bytes() else {
            continue;
        };
        let principals = certificate.valid_principals().join(",");
        let label = format!(
            "{}, for {}, {}",
            certificate.key_id(),
            if principals.is_empty() {
                "anybody"
            } else {
                &principals
            },
            certificate.algorithm()
        );
        found.push(
            Found::new(
                CredentialKind::SshCertificate,
                fingerprint::ssh_certificate(&blob),
            )
            .label(&label)
            .issued(point(certificate.valid_after()))
            .expires(point(certificate.valid_before()))
            .done(),
        );
    }
}

/// Seconds since the epoch; `None` for always (PROTOCOL.certkeys).
fn point(seconds: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(seconds).ok().filter(|seconds| *seconds != 0);
    seconds.map(Timestamp::from_unix_seconds)
}

/// The keys of an `authorized_keys` file. Public keys alone are no credential, so the path must
/// say that they are let in.
pub(super) fn recognise_authorized(input: Input<'_>, found: &mut Vec<Credential>) {
    if !input.name.starts_with("authorized_keys")
        && !input.below("authorized_keys")
        && !input.below("authorized_keys.d")
    {
        return;
    }
    // Line by line: a line that is damaged or too new must not hide the others.
    for line in input.text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Options may stand before the key, with blanks in quotes, which the library's own entry
        // type does not take: the key starts at whichever word it can be read from.
        let starts = std::iter::once(0).chain(line.match_indices(' ').map(|(at, _)| at + 1));
        let Some(key) = starts
            .take(MAX_WORDS)
            .find_map(|at| PublicKey::from_openssh(&line[at..]).ok())
        else {
            continue;
        };
        let Ok(blob) = key.to_bytes() else {
            continue;
        };
        let algorithm = key.algorithm();
        let label = match key.comment() {
            "" => algorithm.to_string(),
            comment => format!("{comment}, {algorithm}"),
        };
        found.push(
            Found::new(
                CredentialKind::SshAuthorizedKey,
                fingerprint::ssh_authorized(&blob),
            )
            .label(&label)
            .done(),
        );
    }
}
