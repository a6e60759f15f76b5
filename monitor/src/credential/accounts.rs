//! What shadow(5) says of accounts, without the hashes: these stay in [`SecretBytes`].

use std::collections::HashMap;
use std::path::Path;

use super::secret::{self, ReadError, SecretBytes};
use crate::model::Password;

/// The password file.
pub const SHADOW: &str = "/etc/shadow";
/// The largest that is read, in bytes: some hundred thousand accounts.
const MAX_SHADOW: u64 = 16 << 20;

/// Whether passwords open accounts, by name.
///
/// # Errors
/// When the file cannot be read: only root may.
pub fn passwords(path: &Path) -> Result<HashMap<String, Password>, ReadError> {
    let file = secret::open(path)?;
    let content = SecretBytes::read(&file, MAX_SHADOW)?;
    let lines = content.expose().split(|byte| *byte == b'\n');
    Ok(lines.filter_map(line).collect())
}

/// `NAME:HASH:…`
fn line(line: &[u8]) -> Option<(String, Password)> {
    let mut fields = line.split(|byte| *byte == b':');
    let (name, hash) = (fields.next()?, fields.next()?);
    let name = std::str::from_utf8(name)
        .ok()
        .filter(|name| !name.is_empty())?;
    let password = match hash.first() {
        None => Password::Empty,
        Some(b'!' | b'*') => Password::Locked,
        Some(_) => Password::Set,
    };
    Some((name.to_owned(), password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_told_by_their_first_character() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shadow");
        let text = "root:$y$j9T$a$b:1::::::\nbin:*:1::::::\nsvc:!$6$x$y:1\nopen::1\nodd\n:x:\n\n";
        std::fs::write(&path, text).unwrap();
        let mut told: Vec<_> = passwords(&path).unwrap().into_iter().collect();
        told.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [
            ("bin", Password::Locked),
            ("open", Password::Empty),
            ("root", Password::Set),
            ("svc", Password::Locked),
        ];
        assert_eq!(told, expected.map(|(name, is)| (name.to_owned(), is)));
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(bytes: Vec<u8>) {
            let _ = line(&bytes);
        }
    }
}
