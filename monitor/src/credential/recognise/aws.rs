//! AWS: shared credentials and config files, cached sessions, and access keys in other files.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::text::{Word, ini, is_placeholder, json, json_secret, rfc3339, word};
use super::{Found, Input};
use crate::credential::fingerprint::public_id;
use crate::model::{Credential, CredentialKind};

/// Access keys of long life, of sessions, and the length of both (IAM reference, unique ids).
const PREFIXES: [&str; 2] = ["AKIA", "ASIA"];
const ID_LEN: usize = 20;
const SECRET_LEN: usize = 40;

/// How tools that write sessions into a profile call their end: the SDKs know no such key.
const EXPIRATIONS: [&str; 5] = [
    "expiration",
    "aws_expiration",
    "aws_session_expiration",
    "aws_session_token_expiration",
    "x_security_token_expires",
];

/// Files of AWS' own formats.
pub(super) fn recognise_files(input: Input<'_>, found: &mut Vec<Credential>) {
    if input.has("aws_access_key_id") || input.has("AWS_ACCESS_KEY_ID") {
        profiles(input, found);
    } else if input.has("\"AccessKeyId\"") {
        session(input, found);
    } else if input.has("\"accessToken\"") && input.has("\"startUrl\"") {
        sso(input, found);
    }
}

/// `credentials` and `config`, a profile a section; also .env files, which have no sections.
fn profiles(input: Input<'_>, found: &mut Vec<Credential>) {
    let mut section = "";
    let mut id = None;
    let mut secret = false;
    let mut expires = None;
    let mut close = |section: &str, id: Option<&str>, secret: bool, expires: Option<&str>| {
        if let Some(id) = id
            && secret
            && !is_example(id)
            && let Some(name) = public_id("aws", id)
        {
            let profile = section.strip_prefix("profile ").unwrap_or(section);
            let found_one = Found::new(CredentialKind::AwsAccessKey, name);
            let label = match profile {
                "" => id.to_owned(),
                profile => format!("profile {profile}"),
            };
            let expires = expires.and_then(rfc3339);
            found.push(found_one.label(&label).expires(expires).done());
        }
    };
    for setting in ini(input.text) {
        if setting.section != section {
            close(
                section,
                id.take(),
                std::mem::take(&mut secret),
                expires.take(),
            );
            section = setting.section;
        }
        let key = setting.key.trim_start_matches("export ").trim();
        if key.eq_ignore_ascii_case("aws_access_key_id") && is_id(setting.value) {
            // A file without sections may hold several pairs, one after the other.
            if id.is_some() && secret {
                close(
                    section,
                    id.take(),
                    std::mem::take(&mut secret),
                    expires.take(),
                );
            }
            id = Some(setting.value);
        } else if key.eq_ignore_ascii_case("aws_secret_access_key") {
            secret = !is_placeholder(setting.value);
        } else if EXPIRATIONS
            .iter()
            .any(|name| key.eq_ignore_ascii_case(name))
        {
            expires = Some(setting.value);
        }
    }
    close(section, id, secret, expires);
}

#[derive(Deserialize)]
struct Nested<'a> {
    #[serde(borrow, rename = "Credentials")]
    credentials: Option<Session<'a>>,
}

#[derive(Deserialize)]
struct Session<'a> {
    #[serde(borrow, rename = "AccessKeyId")]
    id: Word<'a>,
    #[serde(borrow, rename = "Expiration")]
    expiration: Word<'a>,
}

/// What the CLI caches and `sts` prints: one set of keys, flat or under `Credentials`.
fn session(input: Input<'_>, found: &mut Vec<Credential>) {
    if !input.has("\"SecretAccessKey\"") {
        return;
    }
    // Two reads, because serde's `flatten` would buffer the secret.
    let nested: Option<Nested<'_>> = json(input.text);
    let flat = || json::<Session<'_>>(input.text);
    let Some(session) = nested.and_then(|nested| nested.credentials).or_else(flat) else {
        return;
    };
    let id = word(&session.id);
    if is_id(id)
        && !is_example(id)
        && let Some(name) = public_id("aws", id)
    {
        found.push(
            Found::new(CredentialKind::AwsAccessKey, name)
                .label("cached session")
                .expires(rfc3339(word(&session.expiration)))
                .done(),
        );
    }
}

#[derive(Deserialize)]
struct Sso<'a> {
    #[serde(borrow, rename = "accessToken")]
    access_token: Option<&'a RawValue>,
    #[serde(borrow, rename = "startUrl")]
    start_url: Word<'a>,
    #[serde(borrow, rename = "expiresAt")]
    expires_at: Word<'a>,
}

/// `~/.aws/sso/cache/*.json`
fn sso(input: Input<'_>, found: &mut Vec<Credential>) {
    let Some(sso) = json::<Sso<'_>>(input.text) else {
        return;
    };
    if let Some(token) = json_secret(sso.access_token) {
        found.push(
            Found::new(
                CredentialKind::AwsAccessKey,
                input.key.value(token.as_bytes()),
            )
            .label(&format!("single sign-on at {}", word(&sso.start_url)))
            .expires(rfc3339(word(&sso.expires_at)))
            .done(),
        );
    }
}

/// Access key ids in a file of any format, if something that looks like their secret is there
/// too: the id alone is public.
pub(super) fn recognise_anywhere(input: Input<'_>, found: &mut Vec<Credential>) {
    let bytes = input.text.as_bytes();
    let mut has_secret = None;
    for prefix in PREFIXES {
        for at in memchr::memmem::find_iter(bytes, prefix.as_bytes()) {
            let Some(id) = input.text.get(at..at + ID_LEN) else {
                continue;
            };
            let alone = |byte: Option<&u8>| !byte.is_some_and(u8::is_ascii_alphanumeric);
            if !is_shaped(id)
                || is_example(id)
                || !alone(at.checked_sub(1).and_then(|i| bytes.get(i)))
                || !alone(bytes.get(at + ID_LEN))
                || !*has_secret.get_or_insert_with(|| has_secret_key(bytes))
            {
                continue;
            }
            if let Some(name) = public_id("aws", id) {
                found.push(
                    Found::new(CredentialKind::AwsAccessKey, name)
                        .label(id)
                        .done(),
                );
            }
        }
    }
}

/// Whether a run of 40 characters of base64 has all of capitals, small letters and digits, which
/// a hash in hex has not.
fn has_secret_key(bytes: &[u8]) -> bool {
    bytes
        .split(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'/' | b'+')))
        .any(|run| {
            run.len() == SECRET_LEN
                && run.iter().any(u8::is_ascii_uppercase)
                && run.iter().any(u8::is_ascii_lowercase)
                && run.iter().any(u8::is_ascii_digit)
        })
}

/// The shape of AWS' own ids.
fn is_shaped(id: &str) -> bool {
    id.bytes()
        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// What a profile may hold: services that speak S3 have ids of their own shape.
fn is_id(id: &str) -> bool {
    (8..=128).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// The documentation's.
fn is_example(id: &str) -> bool {
    id.ends_with("EXAMPLE")
}

/// An id and its secret that stand apart, as in the environment.
pub(super) fn pair(id: &str, secret: &str) -> Option<Credential> {
    if !is_id(id) || is_example(id) || is_placeholder(secret) {
        return None;
    }
    let name = public_id("aws", id)?;
    Some(
        Found::new(CredentialKind::AwsAccessKey, name)
            .label(id)
            .done(),
    )
}
