//! Real material, made here: keys by ssh-keygen, OpenSSL and libraries, files with values that
//! are plainly made up.

mod corpus;
mod formats;
mod keys;
mod properties;
mod scanning;
mod watching;

use std::path::Path;

use super::*;
use crate::model::{Credential, CredentialKind};

pub(super) fn key() -> FingerprintKey {
    FingerprintKey::generate().unwrap()
}

/// What a file of this path and content holds.
pub(super) fn of(path: &str, content: impl AsRef<[u8]>, key: &FingerprintKey) -> Vec<Credential> {
    let content = SecretBytes::from_vec(content.as_ref().to_vec());
    recognise(Path::new(path), &content, key)
}

/// The one credential that a file holds.
#[track_caller]
pub(super) fn one(path: &str, content: impl AsRef<[u8]>, key: &FingerprintKey) -> Credential {
    let mut found = of(path, content, key);
    assert_eq!(found.len(), 1, "{path}: {found:?}");
    found.remove(0)
}

/// Runs a tool and returns what it printed.
#[track_caller]
pub(super) fn run(program: &str, args: &[&str]) -> String {
    let output = std::process::Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program}, which these tests need: {error}"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A token with these claims and a signature that is none.
pub(super) fn token(claims: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
    format!(
        "{}.{}.{}",
        B64.encode(r#"{"alg":"RS256","kid":"k"}"#),
        B64.encode(claims),
        B64.encode("not-a-real-signature-at-all")
    )
}

pub(super) fn kinds(found: &[Credential]) -> Vec<CredentialKind> {
    found.iter().map(|credential| credential.kind).collect()
}
