//! Package and container registries: docker and podman, npm, PyPI, cargo.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use toml::de::{DeTable, DeValue};

use super::pem::decode_base64;
use super::text::{ini, is_placeholder, json, json_secret};
use super::{Found, Input};
use crate::model::{Credential, CredentialKind};

/// Files of these registries' own formats.
pub(super) fn recognise(input: Input<'_>, found: &mut Vec<Credential>) {
    if input.has("\"auths\"") || input.name == ".dockercfg" {
        containers(input, found);
    } else if input.has("_authToken") || input.has("_auth") || input.has("_password") {
        npm(input, found);
    } else if input.has("[pypi]") || input.has("[distutils]") || input.name == ".pypirc" {
        pypi(input, found);
    } else if input.has("[registry]") || input.has("[registries") {
        cargo(input, found);
    }
}

#[derive(Deserialize)]
struct Containers<'a> {
    #[serde(borrow)]
    auths: BTreeMap<&'a str, Login<'a>>,
}

#[derive(Deserialize)]
struct Login<'a> {
    #[serde(borrow)]
    auth: Option<&'a RawValue>,
    #[serde(borrow)]
    identitytoken: Option<&'a RawValue>,
    #[serde(borrow)]
    username: Option<&'a RawValue>,
    #[serde(borrow)]
    password: Option<&'a RawValue>,
}

/// `config.json` and `auth.json`; `.dockercfg` is the same without the outer object. An entry
/// without a value says that a helper holds it.
fn containers(input: Input<'_>, found: &mut Vec<Credential>) {
    let logins = json::<Containers<'_>>(input.text)
        .map(|file| file.auths)
        .or_else(|| json(input.text))
        .unwrap_or_default();
    for (host, login) in &logins {
        let name = if let Some(token) = json_secret(login.identitytoken) {
            input.key.value(token.as_bytes())
        } else if let Some(auth) = json_secret(login.auth) {
            let Some(plain) = decode_base64(auth.as_bytes()) else {
                continue;
            };
            let Some(colon) = memchr::memchr(b':', &plain) else {
                continue;
            };
            // Docker pads with NUL bytes in old files.
            let password = plain[colon + 1..].split(|b| *b == 0).next().unwrap_or(&[]);
            if password.is_empty() {
                continue;
            }
            input.key.login(&plain[..colon], password)
        } else if let Some(password) = json_secret(login.password) {
            let user = json_secret(login.username).unwrap_or("");
            input.key.login(user.as_bytes(), password.as_bytes())
        } else {
            continue;
        };
        found.push(
            Found::new(CredentialKind::ContainerRegistryAuth, name)
                .label(host)
                .done(),
        );
    }
}

/// `.npmrc`: `//host/:_authToken=…`, or the whole registry's.
fn npm(input: Input<'_>, found: &mut Vec<Credential>) {
    for setting in ini(input.text) {
        let (scope, key) = setting
            .key
            .rsplit_once(':')
            .unwrap_or(("the default registry", setting.key));
        if !matches!(key, "_authToken" | "_auth" | "_password") || is_placeholder(setting.value) {
            continue;
        }
        found.push(
            Found::new(
                CredentialKind::NpmToken,
                input.key.value(setting.value.as_bytes()),
            )
            .label(scope.trim_matches('/'))
            .done(),
        );
    }
}

/// `.pypirc`: a section an index.
fn pypi(input: Input<'_>, found: &mut Vec<Credential>) {
    let mut section = "";
    let mut user = "";
    for setting in ini(input.text) {
        if setting.section != section {
            section = setting.section;
            user = "";
        }
        match setting.key {
            "username" => user = setting.value,
            "password" if !is_placeholder(setting.value) => {
                // An API token is one whoever sends it.
                let name = match user {
                    "" | "__token__" => input.key.value(setting.value.as_bytes()),
                    user => input.key.login(user.as_bytes(), setting.value.as_bytes()),
                };
                let one = Found::new(CredentialKind::PypiToken, name);
                found.push(one.label(&format!("index {section}")).done());
            }
            _ => {}
        }
    }
}

/// cargo's `credentials.toml`: `[registry]` is crates.io, `[registries.NAME]` the others.
fn cargo(input: Input<'_>, found: &mut Vec<Credential>) {
    let Ok(file) = DeTable::parse(input.text) else {
        return;
    };
    let file = file.get_ref();
    let mut add = |label: &str, table: &DeValue<'_>| {
        for field in ["token", "secret-key"] {
            if let Some(token) = table.get(field).and_then(|value| value.get_ref().as_str())
                && !is_placeholder(token)
            {
                let name = input.key.value(token.as_bytes());
                let one = Found::new(CredentialKind::CargoToken, name);
                found.push(one.label(label).done());
            }
        }
    };
    if let Some(table) = file.get("registry") {
        add("crates.io", table.get_ref());
    }
    if let Some(tables) = file.get("registries").and_then(|t| t.get_ref().as_table()) {
        for (name, table) in tables {
            add(name.get_ref(), table.get_ref());
        }
    }
}
