//! Runners of CI systems: what they have registered with, where it has a format of its own.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::pem::decode_base64;
use super::text::{Word, json, json_secret, word};
use super::{Found, Input, asn1};
use crate::credential::fingerprint;
use crate::model::{Credential, CredentialKind};

/// `.credentials_rsaparams` of GitHub's runner: the numbers of an RSA key, each in base64, as .NET
/// writes `RSAParameters`.
#[derive(Deserialize)]
struct RsaParameters<'a> {
    #[serde(borrow)]
    d: &'a RawValue,
    #[serde(borrow)]
    modulus: Word<'a>,
    #[serde(borrow)]
    exponent: Word<'a>,
}

/// The key with which GitHub's runner has registered.
pub(super) fn recognise(input: Input<'_>, found: &mut Vec<Credential>) {
    if !(input.has("\"modulus\"") && input.has("\"exponent\"")) {
        return;
    }
    let Some(key) = json::<RsaParameters<'_>>(input.text) else {
        return;
    };
    let number = |text: &Word<'_>| decode_base64(word(text).as_bytes());
    if json_secret(Some(key.d)).is_some()
        && let (Some(modulus), Some(exponent)) = (number(&key.modulus), number(&key.exponent))
        && let Some(public) = asn1::rsa_by_numbers(&modulus, &exponent)
    {
        let name = fingerprint::spki(&public.spki);
        let label = format!("runner's registration, {}", public.algorithm);
        found.push(
            Found::new(CredentialKind::X509PrivateKey, name)
                .label(&label)
                .done(),
        );
    }
}
