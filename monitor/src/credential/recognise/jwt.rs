//! JSON web tokens (RFC 7519), among them those of Kubernetes service accounts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::text::{Word, word};
use super::{Found, Input};
use crate::credential::FingerprintKey;
use crate::model::{Bound, Credential, CredentialKind, Selector, Timestamp};

/// Files larger than this are not searched for tokens, in bytes.
const MAX_SEARCHED: usize = 64 << 10;
/// At most this many tokens of one file.
const MAX_TOKENS: usize = 16;
/// What base64 makes of `{"`.
const START: &str = "eyJ";

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Word<'a>,
}

#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    iss: Word<'a>,
    #[serde(borrow)]
    sub: Word<'a>,
    #[serde(borrow)]
    jti: Word<'a>,
    iat: Option<f64>,
    exp: Option<f64>,
    #[serde(borrow)]
    name: Word<'a>,
    #[serde(borrow, rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes<'a>>,
    /// Of the account, in a token from a secret, which is bound to nothing else.
    #[serde(borrow, rename = "kubernetes.io/serviceaccount/service-account.uid")]
    account_uid: Word<'a>,
}

/// The claims of bound tokens (Kubernetes' `pkg/serviceaccount/claims.go`).
#[derive(Deserialize)]
struct Kubernetes<'a> {
    #[serde(borrow)]
    pod: Option<Named<'a>>,
    #[serde(borrow)]
    serviceaccount: Option<Named<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Word<'a>,
    #[serde(borrow)]
    uid: Word<'a>,
}

/// Tokens anywhere in a small file.
pub(super) fn recognise_anywhere(input: Input<'_>, found: &mut Vec<Credential>) {
    if input.text.len() > MAX_SEARCHED {
        return;
    }
    let tokens = input
        .text
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .filter(|run| run.starts_with(START))
        .map(|run| run.trim_end_matches('.'))
        .filter_map(|run| {
            let credential = credential(run, input.key)?;
            // What says neither who nor when is an example, unless it is all that there is.
            let says_something = credential.label.is_some()
                || credential.issued.is_some()
                || credential.expires.is_some();
            (says_something || run.len() == input.text.trim().len()).then_some(credential)
        });
    found.extend(tokens.take(MAX_TOKENS));
}

/// What a token says of itself; `None` when the text is no signed token.
pub(super) fn credential(token: &str, key: &FingerprintKey) -> Option<Credential> {
    let mut parts = token.split('.');
    let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !header.starts_with(START) || signature.len() < 16 {
        return None;
    }
    let header = decode(header)?;
    let header: Header<'_> = serde_json::from_slice(&header).ok()?;
    if header.alg.is_none() || word(&header.alg).eq_ignore_ascii_case("none") {
        return None;
    }
    let payload = decode(payload)?;
    let claims: Claims<'_> = serde_json::from_slice(&payload).ok()?;
    let (iss, sub) = (word(&claims.iss), word(&claims.sub));
    // The token that every tutorial shows.
    if sub == "1234567890" && word(&claims.name) == "John Doe" {
        return None;
    }

    let account = sub
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'));
    let kind = if account.is_some() || claims.kubernetes.is_some() {
        CredentialKind::KubernetesServiceAccountToken
    } else {
        CredentialKind::Jwt
    };
    let subject = account.and_then(|(namespace, name)| {
        format!("k8s:sa:{namespace}/{name}")
            .parse::<Selector>()
            .ok()
    });
    let pod = claims.kubernetes.as_ref().and_then(|k| k.pod.as_ref());
    let label = match pod {
        Some(pod) => format!("{sub}, pod {}", word(&pod.name)),
        None if iss.is_empty() => sub.to_owned(),
        None if sub.is_empty() => format!("issued by {iss}"),
        None => format!("{sub} by {iss}"),
    };
    let uid = |of: Option<&Named<'_>>| word(&of?.uid).parse().ok();
    let kubernetes = claims.kubernetes.as_ref();
    let of_account = uid(kubernetes.and_then(|of| of.serviceaccount.as_ref()));
    let of_account = of_account.or_else(|| word(&claims.account_uid).parse().ok());
    let name = key.jwt(iss, sub, claims.jti.as_deref(), token.as_bytes());
    Some(
        Found::new(kind, name)
            .label(&label)
            .subject(subject)
            .issued(claims.iat.and_then(numeric_date))
            .expires(claims.exp.and_then(numeric_date))
            .bound(Bound::of(of_account, uid(pod)))
            .done(),
    )
}

fn decode(segment: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(vec![0; base64::decoded_len_estimate(segment.len())]);
    let len = URL_SAFE_NO_PAD.decode_slice(segment, &mut out).ok()?;
    out.truncate(len);
    Some(out)
}

/// Seconds since the epoch, possibly with a fraction (RFC 7519, section 2).
fn numeric_date(seconds: f64) -> Option<Timestamp> {
    // Beyond this is no date of a token, and no exact integer either.
    (seconds.is_finite() && seconds.abs() < 1e11)
        .then(|| Timestamp::from_unix_seconds(seconds as i64))
}
