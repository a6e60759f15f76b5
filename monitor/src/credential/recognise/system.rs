//! The host's own: shadow passwords, and tokens that are a whole file.

use super::tokens::is_shown;
use super::{Found, Input};
use crate::model::{Credential, CredentialKind, Selector, Timestamp};

const DAY: i64 = 86_400;

/// Files of these formats.
pub(super) fn recognise(input: Input<'_>, found: &mut Vec<Credential>) {
    shadow(input, found);
    if found.is_empty() {
        vault(input, found);
    }
}

/// shadow(5): one credential an account that has a password; nine fields a line. Locked accounts
/// have none that could be used.
fn shadow(input: Input<'_>, found: &mut Vec<Credential>) {
    let fields = |line: &str| line.bytes().filter(|b| *b == b':').count();
    let mut lines = input.text.lines().filter(|line| !line.is_empty());
    if !lines.clone().all(|line| fields(line) == 8) {
        return;
    }
    found.extend(lines.by_ref().filter_map(|line| {
        let mut fields = line.split(':');
        let (account, hash) = (fields.next()?, fields.next()?);
        let changed = fields.next()?;
        let expires = fields.nth(4)?;
        // crypt(5): `$id$…`, or the 13 characters of the oldest scheme.
        let usable = hash.starts_with('$') && hash.len() > 12
            || hash.len() == 13
                && hash
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/'));
        if !usable || account.is_empty() {
            return None;
        }
        let day = |text: &str| {
            let days: i64 = text.parse().ok().filter(|days| *days > 0)?;
            Some(Timestamp::from_unix_seconds(days.saturating_mul(DAY)))
        };
        let name = input.key.hmac("shadow", hash.as_bytes());
        Some(
            Found::new(CredentialKind::ShadowPassword, name)
                .label(account)
                .subject(format!("unix:user:{account}").parse::<Selector>().ok())
                .issued(day(changed))
                .expires(day(expires))
                .done(),
        )
    }));
}

/// A Vault token alone in a file. Those of Vault 1.10 and later tell by their prefix; older ones
/// are known by the file's name only.
fn vault(input: Input<'_>, found: &mut Vec<Credential>) {
    let token = input.text.trim();
    let one_word = (8..=1024).contains(&token.len())
        && token
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    let prefixed = ["hvs.", "hvb.", "hvr."]
        .iter()
        .any(|prefix| token.starts_with(prefix) && token.len() >= 24);
    let prefixed = prefixed && !is_shown(token);
    if one_word && (prefixed || matches!(input.name, ".vault-token" | "vault-token")) {
        let name = input.key.value(token.as_bytes());
        found.push(Found::new(CredentialKind::VaultToken, name).done());
    }
}
