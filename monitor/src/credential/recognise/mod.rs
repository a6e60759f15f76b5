//! What a file's content is. One file a family of credentials.
//!
//! Content decides. The path is a hint where content alone is ambiguous (a bare token, a list of
//! public keys), and never part of a name.
//!
//! Formats with a library that lends out slices of its input (JSON, TOML, DER, X.509) are read by
//! it. INI, netrc and kubeconfigs are read line by line here: the libraries for them copy every
//! value into buffers that they grow and do not wipe.

mod asn1;
mod aws;
mod cloud;
mod jwt;
mod keytab;
mod kubernetes;
mod logins;
mod mqtt;
mod network;
mod pem;
mod registries;
mod runners;
mod ssh;
mod system;
mod text;
mod tokens;
mod x509;

use std::path::Path;

use super::{FingerprintKey, SecretBytes, places};
use crate::model::{Bound, Credential, CredentialKind, Fingerprint, Selector, Timestamp};

/// At most this many credentials are reported of one file; what has more is a database.
const MAX_CREDENTIALS: usize = 256;

/// A file as the families see it.
#[derive(Clone, Copy)]
struct Input<'a> {
    path: &'a Path,
    name: &'a str,
    bytes: &'a [u8],
    /// The content where it is UTF-8 without NUL, else empty.
    text: &'a str,
    key: &'a FingerprintKey,
}

/// The credentials that a file's content holds, each once. Empty for a file without any.
pub fn recognise(path: &Path, content: &SecretBytes, key: &FingerprintKey) -> Vec<Credential> {
    let bytes = content.expose();
    if bytes.is_empty() {
        return Vec::new();
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if memchr::memchr(0, bytes).is_none() => text,
        _ => "",
    };
    let name = path.file_name().and_then(|name| name.to_str());
    let input = Input {
        path,
        name: name.unwrap_or(""),
        bytes,
        text: text.trim_start_matches('\u{feff}'),
        key,
    };

    let mut found = Vec::new();
    if input.text.is_empty() {
        keytab::recognise(input, &mut found);
        x509::recognise_der(input, &mut found);
        pem_blocks(input, &mut found);
    } else {
        // A format that is known as a whole explains all that is in the file.
        for family in [
            aws::recognise_files,
            cloud::recognise,
            kubernetes::recognise,
            registries::recognise,
            runners::recognise,
            logins::recognise,
            network::recognise,
            mqtt::recognise,
            system::recognise,
            ssh::recognise_authorized,
            ssh::recognise_certificate,
        ] {
            family(input, &mut found);
            if !found.is_empty() {
                break;
            }
        }
        // Else whatever has a shape of its own is looked for anywhere in it. A file of variables
        // may hold anything beside what is known of it.
        if found.is_empty() || input.is_of_variables() {
            shapes(input, &mut found);
        }
    }
    if found.is_empty() && places::holds_only_secrets(path) {
        found.push(opaque(content, key));
    }
    distinct(found)
}

/// Whatever has a shape of its own.
fn shapes(input: Input<'_>, found: &mut Vec<Credential>) {
    pem_blocks(input, found);
    network::recognise_anywhere(input, found);
    aws::recognise_anywhere(input, found);
    jwt::recognise_anywhere(input, found);
    tokens::recognise_anywhere(input, found);
}

/// The credentials of known shape in a text that is no file: the value of a variable, the words of a
/// command. `name` is what the value is called, where a format is known by it.
pub(super) fn recognise_value(name: &str, text: &str, key: &FingerprintKey) -> Vec<Credential> {
    let input = Input {
        path: Path::new(name),
        name,
        bytes: text.as_bytes(),
        text,
        key,
    };
    let mut found = Vec::new();
    registries::recognise(input, &mut found);
    if found.is_empty() {
        shapes(input, &mut found);
    }
    distinct(found)
}

/// A key of AWS in two variables: the id, and the secret that makes it one.
pub(super) fn recognise_aws_pair(id: &str, secret: &str) -> Option<Credential> {
    aws::pair(id, secret)
}

/// A credential that is one because somebody says so: all of the file's content is its value.
/// White space around it does not count.
pub fn opaque(content: &SecretBytes, key: &FingerprintKey) -> Credential {
    Found::new(CredentialKind::Opaque, key.value(content.expose())).done()
}

fn pem_blocks(input: Input<'_>, found: &mut Vec<Credential>) {
    let blocks = pem::blocks(input.bytes);
    ssh::recognise_pem(&blocks, found);
    x509::recognise_pem(input, &blocks, found);
}

fn distinct(found: Vec<Credential>) -> Vec<Credential> {
    let mut kept: Vec<Credential> = Vec::with_capacity(found.len().min(MAX_CREDENTIALS));
    for credential in found {
        if kept.len() == MAX_CREDENTIALS {
            break;
        }
        if !kept
            .iter()
            .any(|other| other.fingerprint == credential.fingerprint)
        {
            kept.push(credential);
        }
    }
    kept
}

impl Input<'_> {
    /// Whether one of the path's directories has this name.
    fn below(&self, directory: &str) -> bool {
        self.path
            .parent()
            .is_some_and(|dir| dir.iter().any(|part| part == directory))
    }

    /// Whether this is a list of `NAME=value`, as services are given their environment.
    fn is_of_variables(&self) -> bool {
        self.name.starts_with(".env") || self.name.ends_with(".env") || self.below("default")
    }

    /// Whether the content has this text; fast.
    fn has(&self, needle: &str) -> bool {
        memchr::memmem::find(self.bytes, needle.as_bytes()).is_some()
    }
}

/// Builds a [`Credential`].
struct Found(Credential);

impl Found {
    fn new(kind: CredentialKind, fingerprint: Fingerprint) -> Self {
        Self(Credential {
            fingerprint,
            kind,
            label: None,
            subject: None,
            issued: None,
            expires: None,
            bound: None,
        })
    }

    /// Sets the label to public words, made safe for a terminal and short enough for a line.
    fn label(mut self, words: &str) -> Self {
        self.0.label = text::label(words);
        self
    }

    fn subject(mut self, selector: Option<Selector>) -> Self {
        self.0.subject = selector;
        self
    }

    fn issued(mut self, at: Option<Timestamp>) -> Self {
        self.0.issued = at;
        self
    }

    fn expires(mut self, at: Option<Timestamp>) -> Self {
        self.0.expires = at;
        self
    }

    fn bound(mut self, to: Option<Box<Bound>>) -> Self {
        self.0.bound = to;
        self
    }

    fn done(self) -> Credential {
        self.0
    }
}
