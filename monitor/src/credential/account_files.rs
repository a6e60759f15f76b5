//! The host's accounts: who can log in, and how. The password file holds secrets: it is read here,
//! and what leaves is the class of each field.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::inspect::InspectError;
use super::secret::{self, MAX_FILE, ReadError, SecretBytes};
use crate::model::{AccountState, PasswordField, ShellClass, Timestamp};

/// The uid of `nobody`, whatever `UID_MIN` says.
const NOBODY: u32 = 65_534;
/// `UID_MIN` where login.defs has none.
const UID_MIN: u32 = 1_000;
/// Programs that are no shell: they say no and end.
const NO_SHELLS: &[&str] = &["nologin", "false", "sync", "halt", "shutdown"];

/// Where a host keeps its accounts.
#[derive(Debug, Clone, Copy)]
pub struct AccountFiles<'a> {
    /// passwd(5)
    pub passwd: &'a Path,
    /// shadow(5)
    pub shadow: &'a Path,
    /// login.defs(5), which says which uids people get. It may be missing.
    pub login_defs: &'a Path,
}

impl AccountFiles<'static> {
    /// Those of this host.
    pub fn of_host() -> Self {
        Self {
            passwd: Path::new("/etc/passwd"),
            shadow: Path::new("/etc/shadow"),
            login_defs: Path::new("/etc/login.defs"),
        }
    }
}

/// Every account, by its name. Of two lines with one name the first counts, as for the C library.
///
/// # Errors
/// When the list of accounts or of their passwords cannot be read.
pub fn accounts(files: AccountFiles<'_>) -> Result<BTreeMap<String, AccountState>, InspectError> {
    let uid_min = read(files.login_defs).map_or(UID_MIN, |defs| uid_min(defs.expose()));
    let (passwd, shadow) = (read(files.passwd)?, read(files.shadow)?);
    Ok(parse(passwd.expose(), shadow.expose(), uid_min))
}

fn read(path: &Path) -> Result<SecretBytes, InspectError> {
    let failed = |source: io::Error| InspectError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = secret::open(path).map_err(failed)?;
    SecretBytes::read(&file, MAX_FILE).map_err(|error| match error {
        ReadError::Io(source) => failed(source),
        other => failed(io::Error::other(other.to_string())),
    })
}

fn lines(text: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let lines = text.split(|byte| *byte == b'\n');
    lines.map(|line| line.split(|byte| *byte == b':').collect())
}

fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn parse(passwd: &[u8], shadow: &[u8], uid_min: u32) -> BTreeMap<String, AccountState> {
    let mut shadows: BTreeMap<&[u8], (PasswordField, Option<Timestamp>)> = BTreeMap::new();
    for fields in lines(shadow) {
        if let [name, password, rest @ ..] = fields.as_slice() {
            let days: Option<i64> = rest.get(5).and_then(|days| number(days));
            let expires = days.filter(|days| *days >= 0);
            let expires =
                expires.map(|days| Timestamp::from_unix_seconds(days.saturating_mul(86_400)));
            shadows.entry(name).or_insert((field(password), expires));
        }
    }
    let mut accounts = BTreeMap::new();
    for fields in lines(passwd) {
        let [name, password, uid, _gid, _gecos, _home, rest @ ..] = fields.as_slice() else {
            continue;
        };
        let (Ok(text), Some(uid)) = (std::str::from_utf8(name), number::<u32>(uid)) else {
            continue;
        };
        if text.is_empty() || text.starts_with(['+', '-', '#']) {
            continue;
        }
        let shadowed = shadows.get(name).copied();
        let (password, expires) = match *password {
            b"x" => shadowed.unwrap_or((PasswordField::None, None)),
            own => (field(own), shadowed.and_then(|(_, expires)| expires)),
        };
        let state = AccountState {
            uid,
            password,
            shell: shell(rest.first().copied().unwrap_or_default()),
            expires,
            is_system: uid != 0 && (uid < uid_min || uid == NOBODY),
        };
        accounts.entry(text.to_owned()).or_insert(state);
    }
    accounts
}

/// The class of a password's field (crypt(5)): what begins with `!` or `*` fits no password.
fn field(field: &[u8]) -> PasswordField {
    match field {
        [] => PasswordField::Empty,
        [b'!', rest @ ..] => {
            let rest: &[u8] = match rest {
                [b'!', rest @ ..] => rest,
                rest => rest,
            };
            if is_hash(rest) {
                PasswordField::Locked
            } else {
                PasswordField::None
            }
        }
        other if is_hash(other) => PasswordField::Set,
        _ => PasswordField::None,
    }
}

/// A hash with its method, or of 13 letters from before there were methods, or one with an
/// underscore. What is no hash fits no password.
fn is_hash(field: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    match field {
        [b'$', ..] => field.len() > 3,
        [b'_', rest @ ..] => rest.len() == 19 && rest.iter().all(is_letter),
        other => other.len() == 13 && other.iter().all(is_letter),
    }
}

/// The class of a shell. No shell at all is /bin/sh.
fn shell(path: &[u8]) -> ShellClass {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let is_none = NO_SHELLS.iter().any(|none| none.as_bytes() == name);
    if is_none && !path.is_empty() {
        ShellClass::None
    } else {
        ShellClass::Login
    }
}

fn uid_min(defs: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(defs);
    let mut values = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("UID_MIN")).then(|| words.next()?.parse().ok())?
    });
    values.next().unwrap_or(UID_MIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7";

    fn one(passwd: &str, shadow: &str) -> AccountState {
        let accounts = parse(passwd.as_bytes(), shadow.as_bytes(), UID_MIN);
        assert_eq!(accounts.len(), 1, "{accounts:?}");
        accounts.into_values().next().unwrap()
    }

    #[test]
    fn a_field_is_what_crypt_makes_of_it() {
        let locked = format!("!{HASH}");
        for (text, class) in [
            ("*", PasswordField::None),
            ("!", PasswordField::None),
            ("!!", PasswordField::None),
            ("!*", PasswordField::None),
            ("NP", PasswordField::None),
            ("", PasswordField::Empty),
            (HASH, PasswordField::Set),
            ("rl0uE0wi8pN6.", PasswordField::Set),
            (&locked, PasswordField::Locked),
        ] {
            let shadow = format!("svc:{text}:19000:0:99999:7:::\n");
            let state = one("svc:x:998:998::/srv:/usr/sbin/nologin\n", &shadow);
            assert_eq!(state.password, class, "{text}");
        }
    }

    #[test]
    fn shells_ends_and_uids_are_read() {
        let state = one("svc:x:998:998::/srv:/bin/bash\n", "svc:*:1:0:9:7::100:\n");
        assert_eq!(state.shell, ShellClass::Login);
        assert_eq!(state.expires, Some(Timestamp::from_unix_seconds(8_640_000)));
        assert!(state.is_system);
        for (line, shell, is_system) in [
            ("ana:x:1000:1000::/home/ana:", ShellClass::Login, false),
            ("root:x:0:0::/root:/bin/bash", ShellClass::Login, false),
            (
                "nobody:x:65534:1::/:/usr/sbin/nologin",
                ShellClass::None,
                true,
            ),
            ("sync:x:4:65534::/bin:/bin/sync", ShellClass::None, true),
        ] {
            let state = one(line, "");
            assert_eq!((state.shell, state.is_system), (shell, is_system), "{line}");
            assert_eq!(state.password, PasswordField::None, "not in shadow");
        }
        assert_eq!(uid_min(b"# UID_MIN 5\nUID_MIN\t\t 500\n"), 500);
    }

    #[test]
    fn accounts_of_this_host_are_read_and_hold_no_hash() {
        let accounts = accounts(AccountFiles::of_host()).unwrap();
        assert_eq!(accounts["root"].uid, 0);
        assert!(!serde_json::to_string(&accounts).unwrap().contains('$'));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_accounts(
            passwd in proptest::collection::vec(any::<u8>(), 0..300),
            shadow in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            parse(&passwd, &shadow, UID_MIN);
            uid_min(&passwd);
        }
    }
}
