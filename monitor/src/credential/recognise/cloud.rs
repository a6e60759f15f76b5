//! Google Cloud, Azure and Oracle Cloud.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::text::{Word, ini, json, json_secret, word};
use super::{Found, Input};
use crate::credential::fingerprint::public_id;
use crate::model::{Credential, CredentialKind, Timestamp};

/// Files of these clouds' own formats.
pub(super) fn recognise(input: Input<'_>, found: &mut Vec<Credential>) {
    match input.text.trim_start().as_bytes().first() {
        Some(b'{') => {
            if input.has("\"private_key_id\"") || input.has("\"refresh_token\"") {
                google(input, found);
            } else if input.has("\"RefreshToken\"") || input.has("\"AccessToken\"") {
                azure_tokens(input, found);
            } else if input.has("\"clientSecret\"") || input.has("\"tenant\"") {
                azure_principal(input, found);
            }
        }
        Some(b'[') if input.has("\"client_secret\"") || input.has("\"accessToken\"") => {
            azure_entries(input, found);
        }
        Some(_) if input.has("fingerprint") && input.has("tenancy") => oracle(input, found),
        _ => {}
    }
}

#[derive(Deserialize)]
struct Google<'a> {
    #[serde(borrow, rename = "type")]
    kind: Word<'a>,
    #[serde(borrow)]
    private_key_id: Word<'a>,
    #[serde(borrow)]
    private_key: Option<&'a RawValue>,
    #[serde(borrow)]
    client_email: Word<'a>,
    #[serde(borrow)]
    client_id: Word<'a>,
    #[serde(borrow)]
    refresh_token: Option<&'a RawValue>,
}

/// A service account's key file, or what `gcloud auth` leaves behind for a user.
fn google(input: Input<'_>, found: &mut Vec<Credential>) {
    let Some(google) = json::<Google<'_>>(input.text) else {
        return;
    };
    match word(&google.kind) {
        "service_account" => {
            if json_secret(google.private_key).is_some()
                && let Some(name) = public_id("gcp:key", word(&google.private_key_id))
            {
                found.push(
                    Found::new(CredentialKind::GcpServiceAccountKey, name)
                        .label(word(&google.client_email))
                        .done(),
                );
            }
        }
        "authorized_user" => {
            if let Some(token) = json_secret(google.refresh_token) {
                found.push(
                    Found::new(
                        CredentialKind::GcpUserCredential,
                        input.key.value(token.as_bytes()),
                    )
                    .label(&format!("client {}", word(&google.client_id)))
                    .done(),
                );
            }
        }
        _ => {}
    }
}

#[derive(Deserialize)]
struct AzureCache<'a> {
    #[serde(borrow, rename = "RefreshToken", default)]
    refresh: BTreeMap<&'a str, AzureToken<'a>>,
    #[serde(borrow, rename = "AccessToken", default)]
    access: BTreeMap<&'a str, AzureToken<'a>>,
}

#[derive(Deserialize)]
struct AzureToken<'a> {
    #[serde(borrow)]
    secret: Option<&'a RawValue>,
    #[serde(borrow)]
    client_id: Word<'a>,
    #[serde(borrow)]
    environment: Word<'a>,
    #[serde(borrow)]
    expires_on: Word<'a>,
}

/// `msal_token_cache.json`. Access tokens live for an hour, so they count only where there is no
/// refresh token that they come from.
fn azure_tokens(input: Input<'_>, found: &mut Vec<Credential>) {
    let Some(cache) = json::<AzureCache<'_>>(input.text) else {
        return;
    };
    let tokens = if cache.refresh.is_empty() {
        &cache.access
    } else {
        &cache.refresh
    };
    for token in tokens.values() {
        if let Some(secret) = json_secret(token.secret) {
            let expires = word(&token.expires_on).parse().ok();
            found.push(
                Found::new(
                    CredentialKind::AzureCredential,
                    input.key.value(secret.as_bytes()),
                )
                .label(&format!(
                    "client {} at {}",
                    word(&token.client_id),
                    word(&token.environment)
                ))
                .expires(expires.map(Timestamp::from_unix_seconds))
                .done(),
            );
        }
    }
}

#[derive(Deserialize)]
struct AzurePrincipal<'a> {
    #[serde(borrow, alias = "appId", alias = "client_id", rename = "clientId")]
    id: Word<'a>,
    #[serde(
        borrow,
        alias = "password",
        alias = "client_secret",
        rename = "clientSecret"
    )]
    secret: Option<&'a RawValue>,
    #[serde(borrow, alias = "tenantId")]
    tenant: Word<'a>,
}

impl AzurePrincipal<'_> {
    fn credential(&self, input: Input<'_>) -> Option<Credential> {
        let secret = json_secret(self.secret)?;
        let (id, tenant) = (word(&self.id), word(&self.tenant));
        if id.is_empty() || tenant.is_empty() {
            return None;
        }
        Some(
            Found::new(
                CredentialKind::AzureCredential,
                input.key.value(secret.as_bytes()),
            )
            .label(&format!("service principal {id} of tenant {tenant}"))
            .done(),
        )
    }
}

/// What `az ad sp create-for-rbac` prints, in either of its forms.
fn azure_principal(input: Input<'_>, found: &mut Vec<Credential>) {
    found.extend(json::<AzurePrincipal<'_>>(input.text).and_then(|sp| sp.credential(input)));
}

#[derive(Deserialize)]
struct AzureLegacy<'a> {
    #[serde(borrow, rename = "servicePrincipalId")]
    principal: Word<'a>,
    #[serde(borrow, rename = "_clientId")]
    client: Word<'a>,
    #[serde(borrow, rename = "accessToken")]
    access_token: Option<&'a RawValue>,
    #[serde(borrow, rename = "refreshToken")]
    refresh_token: Option<&'a RawValue>,
}

/// `service_principal_entries.json`, and `accessTokens.json` of older versions, where a service
/// principal's secret stands as its access token.
fn azure_entries(input: Input<'_>, found: &mut Vec<Credential>) {
    if input.has("\"client_secret\"") {
        let entries: Vec<AzurePrincipal<'_>> = json(input.text).unwrap_or_default();
        found.extend(entries.iter().filter_map(|entry| entry.credential(input)));
    } else if input.has("\"_clientId\"") || input.has("\"servicePrincipalId\"") {
        let entries: Vec<AzureLegacy<'_>> = json(input.text).unwrap_or_default();
        for entry in &entries {
            let (secret, label) = match &entry.principal {
                Some(id) => (entry.access_token, format!("service principal {id}")),
                None => (
                    entry.refresh_token.or(entry.access_token),
                    format!("client {}", word(&entry.client)),
                ),
            };
            if let Some(secret) = json_secret(secret) {
                let name = input.key.value(secret.as_bytes());
                let one = Found::new(CredentialKind::AzureCredential, name);
                found.push(one.label(&label).done());
            }
        }
    }
}

/// `~/.oci/config`: it names the key by the fingerprint that the cloud shows, 16 bytes in hex.
fn oracle(input: Input<'_>, found: &mut Vec<Credential>) {
    for setting in ini(input.text) {
        let parts = || setting.value.split(':');
        if setting.key == "fingerprint"
            && parts().count() == 16
            && parts().all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
            && let Some(name) = public_id("oci", &setting.value.to_ascii_lowercase())
        {
            found.push(
                Found::new(CredentialKind::OciApiKey, name)
                    .label(&format!("profile {}", setting.section))
                    .done(),
            );
        }
    }
}
