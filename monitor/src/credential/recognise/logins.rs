//! Logins to hosts: git's credential store, netrc, and gh's.
//!
//! Labels name the host only: some services take the token as the user name.

use super::text::{is_placeholder, yaml};
use super::{Found, Input};
use crate::model::{Credential, CredentialKind};

/// Files of these formats.
pub(super) fn recognise(input: Input<'_>, found: &mut Vec<Credential>) {
    if input.has("://") && input.has("@") {
        git(input, found);
    }
    if found.is_empty() && input.has("passw") && (input.has("machine") || input.has("default")) {
        netrc(input, found);
    }
    if found.is_empty() && input.has("oauth_token:") {
        gh(input, found);
    }
}

/// `.git-credentials`: nothing but URLs with a password in each (git-credential-store(1)).
fn git(input: Input<'_>, found: &mut Vec<Credential>) {
    let mut all = Vec::new();
    for line in input.text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parts = line
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "http" | "https" | "ftp" | "ftps"))
            .and_then(|(_, rest)| {
                let authority = rest.split(['/', '?', '#']).next()?;
                let (login, host) = authority.rsplit_once('@')?;
                let (user, password) = login.split_once(':')?;
                (!user.is_empty() && !host.is_empty() && !line.contains(char::is_whitespace))
                    .then_some((user, password, host))
            });
        let Some((user, password, host)) = parts else {
            return;
        };
        let name = match password {
            // The token is the user name.
            "" | "x-oauth-basic" | "x" => input.key.value(user.as_bytes()),
            password if is_placeholder(password) => continue,
            password => input.key.login(user.as_bytes(), password.as_bytes()),
        };
        all.push(
            Found::new(CredentialKind::GitCredential, name)
                .label(host)
                .done(),
        );
    }
    found.append(&mut all);
}

/// `.netrc`: words, of which `machine`, `default`, `login`, `account`, `password` and `macdef`
/// have a meaning (ftp(1)).
fn netrc(input: Input<'_>, found: &mut Vec<Credential>) {
    let named = input.name == "netrc" || input.name.ends_with(".netrc") || input.name == "_netrc";
    let mut host = None;
    let mut user = "";
    let mut all = Vec::new();
    let mut lines = input.text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "machine" => {
                    host = words.next();
                    user = "";
                }
                "default" => {
                    host = Some("default");
                    user = "";
                }
                "login" => user = words.next().unwrap_or(""),
                "account" => {
                    words.next();
                }
                "password" | "passwd" => {
                    if let (Some(host), Some(password)) = (host, words.next())
                        && !is_placeholder(password)
                        && (named || !user.is_empty())
                    {
                        let name = input.key.login(user.as_bytes(), password.as_bytes());
                        all.push(Found::new(CredentialKind::Netrc, name).label(host).done());
                    }
                }
                // A macro's body ends with an empty line.
                "macdef" => {
                    lines.by_ref().find(|line| line.trim().is_empty());
                    break;
                }
                // Prose that speaks of machines and passwords has other words too.
                _ if !named => return,
                _ => {}
            }
        }
    }
    found.append(&mut all);
}

/// gh's `hosts.yml`.
fn gh(input: Input<'_>, found: &mut Vec<Credential>) {
    let mut host = "";
    for line in yaml(input.text) {
        if line.indent == 0 {
            host = line.key;
        } else if line.key == "oauth_token" && !is_placeholder(line.value) {
            let name = input.key.value(line.value.as_bytes());
            let one = Found::new(CredentialKind::GitCredential, name);
            found.push(one.label(host).done());
        }
    }
}
