//! kubeconfigs: the users in them that hold a secret. Those that name a file or a plugin do not.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::pem::decode_base64;
use super::text::{Word, is_placeholder, json, json_secret, word, yaml};
use super::{Found, Input, jwt, x509};
use crate::model::{Credential, CredentialKind};

/// Where a user's secret may stand, from the most telling on; `client-certificate-data` is public.
const SECRETS: [&str; 6] = [
    "client-key-data",
    "token",
    "password",
    "refresh-token",
    "id-token",
    "access-token",
];

/// A kubeconfig in YAML or JSON.
pub(super) fn recognise(input: Input<'_>, found: &mut Vec<Credential>) {
    if !input.has("users") || !input.has("clusters") {
        return;
    }
    if input.text.trim_start().starts_with('{') {
        from_json(input, found);
    } else {
        from_yaml(input, found);
    }
}

/// A user on the way: the best secret found so far, by its rank in [`SECRETS`].
#[derive(Default)]
struct User<'a> {
    name: &'a str,
    username: &'a str,
    secret: Option<(usize, &'a str)>,
    /// Public, and says when the key beside it ends.
    certificate: Option<&'a str>,
}

impl<'a> User<'a> {
    fn offer(&mut self, key: &str, value: &'a str) {
        let Some(rank) = SECRETS.iter().position(|secret| *secret == key) else {
            return;
        };
        if !is_placeholder(value) && self.secret.is_none_or(|(best, _)| rank < best) {
            self.secret = Some((rank, value));
        }
    }

    fn credential(&self, input: Input<'_>) -> Option<Credential> {
        let (rank, value) = self.secret?;
        let label = format!("user {}", self.name);
        // The name is the value's own: the same key or token in a file of its own has it too.
        let found = match SECRETS[rank] {
            "client-key-data" => {
                let pem = decode_base64(value.as_bytes())?;
                let name = x509::name_of_key(&pem, input.key)
                    .unwrap_or_else(|| input.key.hmac("private-key", &pem));
                let valid = self.certificate.and_then(|of| decode_base64(of.as_bytes()));
                let valid = valid.and_then(|pem| x509::validity(&pem));
                let found = Found::new(CredentialKind::Kubeconfig, name).label(&label);
                match valid {
                    Some((issued, expires)) => found.issued(Some(issued)).expires(Some(expires)),
                    None => found,
                }
            }
            "password" => {
                let name = input.key.login(self.username.as_bytes(), value.as_bytes());
                Found::new(CredentialKind::Kubeconfig, name).label(&label)
            }
            _ => match jwt::credential(value, input.key) {
                Some(token) => Found::new(CredentialKind::Kubeconfig, token.fingerprint)
                    .label(&label)
                    .subject(token.subject)
                    .issued(token.issued)
                    .expires(token.expires),
                None => {
                    let name = input.key.value(value.as_bytes());
                    Found::new(CredentialKind::Kubeconfig, name).label(&label)
                }
            },
        };
        Some(found.done())
    }
}

fn from_yaml(input: Input<'_>, found: &mut Vec<Credential>) {
    let mut in_users = false;
    // The depth at which users start; items deeper down are a plugin's arguments.
    let mut depth = None;
    // The depth of `exec:` whose environment may look like keys of ours.
    let mut plugin: Option<usize> = None;
    let mut user = User::default();
    for line in yaml(input.text) {
        if line.indent == 0 {
            in_users = line.key == "users";
            depth = None;
            continue;
        }
        if !in_users {
            continue;
        }
        let top = *depth.get_or_insert(line.indent);
        if line.item && line.indent == top {
            found.extend(user.credential(input));
            user = User::default();
            plugin = None;
        }
        if plugin.is_some_and(|at| line.indent <= at) {
            plugin = None;
        }
        match line.key {
            _ if plugin.is_some() => {}
            "exec" => plugin = Some(line.indent),
            "name" if line.indent == top => user.name = line.value,
            "username" => user.username = line.value,
            "client-certificate-data" => user.certificate = Some(line.value),
            key => user.offer(key, line.value),
        }
    }
    found.extend(user.credential(input));
}

#[derive(Deserialize)]
struct Config<'a> {
    #[serde(borrow)]
    users: Vec<NamedUser<'a>>,
}

#[derive(Deserialize)]
struct NamedUser<'a> {
    #[serde(borrow)]
    name: Word<'a>,
    #[serde(borrow)]
    user: UserFields<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UserFields<'a> {
    #[serde(borrow)]
    client_certificate_data: Word<'a>,
    #[serde(borrow)]
    client_key_data: Option<&'a RawValue>,
    #[serde(borrow)]
    token: Option<&'a RawValue>,
    #[serde(borrow)]
    username: Word<'a>,
    #[serde(borrow)]
    password: Option<&'a RawValue>,
}

fn from_json(input: Input<'_>, found: &mut Vec<Credential>) {
    let Some(config) = json::<Config<'_>>(input.text) else {
        return;
    };
    for entry in &config.users {
        let mut user = User {
            name: word(&entry.name),
            username: word(&entry.user.username),
            secret: None,
            certificate: entry.user.client_certificate_data.as_deref(),
        };
        for (key, value) in [
            ("client-key-data", entry.user.client_key_data),
            ("token", entry.user.token),
            ("password", entry.user.password),
        ] {
            if let Some(value) = json_secret(value) {
                user.offer(key, value);
            }
        }
        found.extend(user.credential(input));
    }
}
