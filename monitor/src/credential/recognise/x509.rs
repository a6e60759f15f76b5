//! X.509: private keys in PEM and DER, and the certificates of leaves.

use x509_parser::parse_x509_certificate;
use x509_parser::prelude::X509Certificate;

use super::pem::Block;
use super::{Found, Input, asn1};
use crate::credential::{FingerprintKey, fingerprint, places};
use crate::model::{Credential, CredentialKind, Timestamp};

/// A file with more leaves than this and no key is a store of other parties' certificates.
const MAX_LEAVES: usize = 8;

/// Private keys and certificates among PEM blocks.
pub(super) fn recognise_pem(input: Input<'_>, blocks: &[Block<'_>], found: &mut Vec<Credential>) {
    let before = found.len();
    for block in blocks {
        let public = match block.label {
            "PRIVATE KEY" => asn1::pkcs8(&block.der),
            "RSA PRIVATE KEY" if !block.encrypted => asn1::pkcs1(&block.der),
            "EC PRIVATE KEY" if !block.encrypted => asn1::sec1(&block.der),
            // There is no public half to be had: the encrypted form is what can be named.
            "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" | "DSA PRIVATE KEY" => {
                Some(None)
            }
            _ => None,
        };
        if let Some(public) = public {
            let encrypted = block.encrypted || block.label.starts_with("ENCRYPTED");
            found.push(private_key(input, &block.der, public, encrypted));
        }
    }
    let mut leaves = Vec::new();
    for block in blocks {
        if matches!(block.label, "CERTIFICATE" | "X509 CERTIFICATE")
            && let Some(leaf) = leaf(&block.der)
        {
            leaves.push(leaf);
        }
    }
    if leaves.len() <= MAX_LEAVES || found.len() > before {
        found.append(&mut leaves);
    }
}

/// A private key or a certificate in bare DER.
pub(super) fn recognise_der(input: Input<'_>, found: &mut Vec<Credential>) {
    // A SEQUENCE with a length of one or more bytes of its own.
    if !matches!(input.bytes, [0x30, 0x20..=0x82, ..]) {
        return;
    }
    let der = input.bytes;
    let public = asn1::pkcs8(der)
        .or_else(|| asn1::pkcs1(der))
        .or_else(|| asn1::sec1(der));
    if let Some(public) = public {
        found.push(private_key(input, der, public, false));
    } else if let Some(leaf) = leaf(der) {
        found.push(leaf);
    }
}

fn private_key(
    input: Input<'_>,
    der: &[u8],
    public: Option<asn1::Public>,
    encrypted: bool,
) -> Credential {
    // The same formats serve TLS and SSH; the name must not depend on which, so it is the SPKI
    // hash for both, and a key that lies where SSH looks says its SSH fingerprint in the label.
    let for_ssh = places::is_ssh_key_place(input.path);
    let kind = if for_ssh {
        CredentialKind::SshPrivateKey
    } else {
        CredentialKind::X509PrivateKey
    };
    match public {
        Some(public) => {
            let label = match public.ssh {
                Some(ssh) if for_ssh => format!("{}, {ssh}", public.algorithm),
                _ => public.algorithm,
            };
            Found::new(kind, fingerprint::spki(&public.spki))
                .label(&label)
                .done()
        }
        None => {
            let found = Found::new(kind, hmac(input.key, der));
            if encrypted {
                found.label("passphrase-protected").done()
            } else {
                found.done()
            }
        }
    }
}

fn hmac(key: &FingerprintKey, der: &[u8]) -> crate::model::Fingerprint {
    key.hmac("private-key", der)
}

/// The SPKI fingerprint of a private key in PEM, for formats that carry one inside.
pub(super) fn name_of_key(pem: &[u8], key: &FingerprintKey) -> Option<crate::model::Fingerprint> {
    super::pem::blocks(pem).iter().find_map(|block| {
        let public = match block.label {
            "PRIVATE KEY" => asn1::pkcs8(&block.der),
            "RSA PRIVATE KEY" if !block.encrypted => asn1::pkcs1(&block.der),
            "EC PRIVATE KEY" if !block.encrypted => asn1::sec1(&block.der),
            "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => Some(None),
            _ => None,
        }?;
        Some(match public {
            Some(public) => fingerprint::spki(&public.spki),
            None => hmac(key, &block.der),
        })
    })
}

/// From when until when the first certificate in PEM is valid.
pub(super) fn validity(pem: &[u8]) -> Option<(Timestamp, Timestamp)> {
    super::pem::blocks(pem).iter().find_map(|block| {
        let (_, certificate) = parse_x509_certificate(&block.der).ok()?;
        let validity = certificate.validity();
        let at = |seconds| Timestamp::from_unix_seconds(seconds);
        let (from, to) = (validity.not_before, validity.not_after);
        Some((at(from.timestamp()), at(to.timestamp())))
    })
}

/// A certificate that names an end and no authority.
fn leaf(der: &[u8]) -> Option<Credential> {
    let (rest, certificate) = parse_x509_certificate(der).ok()?;
    if !rest.iter().all(u8::is_ascii_whitespace) || is_authority(&certificate) {
        return None;
    }
    let serial = certificate.raw_serial();
    let validity = certificate.validity();
    let label = format!(
        "{}, issued by {}, serial {}",
        certificate.subject(),
        certificate.issuer(),
        certificate.raw_serial_as_string(),
    );
    Some(
        Found::new(
            CredentialKind::X509Certificate,
            fingerprint::certificate(serial, certificate.public_key().raw),
        )
        .label(&label)
        .issued(Some(Timestamp::from_unix_seconds(
            validity.not_before.timestamp(),
        )))
        .expires(Some(Timestamp::from_unix_seconds(
            validity.not_after.timestamp(),
        )))
        .done(),
    )
}

/// Says so itself (RFC 5280, section 4.2.1.9), or is a root from before that could be said.
fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    certificate.is_ca()
        || certificate.extensions().is_empty() && certificate.subject() == certificate.issuer()
}
