//! Credentials that lie in no file: in the environment and the arguments of processes, and in what
//! is written to logs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::recognise::{recognise_aws_pair, recognise_value};
use super::secret::{self, ReadError, SecretBytes};
use super::{FingerprintKey, MAX_HELD};
use crate::model::Credential;

/// The most that is read of one process's environment or arguments, in bytes. The kernel gives both
/// together a quarter of the stack's limit, 2 MiB by default.
const MAX_PROCESS: u64 = 2 << 20;
/// The longest name of a variable that is told, in bytes.
const MAX_NAME: usize = 64;
/// What variables call an AWS key.
const AWS_ID: &str = "AWS_ACCESS_KEY_ID";
const AWS_SECRET: &str = "AWS_SECRET_ACCESS_KEY";

/// A credential in a variable of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The variable's name.
    pub name: String,
    /// What it holds.
    pub credential: Credential,
}

/// The credentials of known shape in the environment of a process, each once.
///
/// # Errors
/// When the process has gone, the kernel does not let this one look, or there is more than 2 MiB.
pub fn environment(pid: u32, key: &FingerprintKey) -> Result<Vec<Variable>, ReadError> {
    let content = of_process(pid, "environ")?;
    Ok(variables(content.expose(), key))
}

/// The credentials of known shape among the arguments of a process, each once.
///
/// # Errors
/// As [`environment`].
pub fn arguments(pid: u32, key: &FingerprintKey) -> Result<Vec<Credential>, ReadError> {
    let content = of_process(pid, "cmdline")?;
    let words = content.expose().split(|byte| *byte == 0);
    let mut found = Vec::new();
    for text in words
        .skip(1)
        .filter_map(|word| std::str::from_utf8(word).ok())
    {
        add(&mut found, recognise_value("", text, key), |of| of);
    }
    Ok(found)
}

/// The credentials of known shape in a part of a file, from `start` on and at most `len` bytes of
/// it; those in lines that are no UTF-8 are not found.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn part_of_file(
    path: &Path,
    start: u64,
    len: usize,
    key: &FingerprintKey,
) -> Result<Vec<Credential>, ReadError> {
    let file = secret::open(path)?;
    let mut buffer = Zeroizing::new(vec![0; len]);
    let filled = read_at(&file, &mut buffer, start)?;
    let mut found = Vec::new();
    for line in buffer[..filled].split(|byte| *byte == b'\n') {
        if let Ok(text) = std::str::from_utf8(line) {
            add(&mut found, recognise_value("", text, key), |of| of);
        }
    }
    Ok(found)
}

fn read_at(file: &File, buffer: &mut [u8], start: u64) -> Result<usize, ReadError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

fn of_process(pid: u32, what: &str) -> Result<SecretBytes, ReadError> {
    let file = secret::open(Path::new(&format!("/proc/{pid}/{what}")))?;
    SecretBytes::read(&file, MAX_PROCESS)
}

fn variables(bytes: &[u8], key: &FingerprintKey) -> Vec<Variable> {
    let settings = || {
        bytes.split(|byte| *byte == 0).filter_map(|setting| {
            let (name, value) = std::str::from_utf8(setting).ok()?.split_once('=')?;
            let is_name = |byte: u8| byte.is_ascii_graphic();
            let fits = !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(is_name);
            fits.then_some((name, value))
        })
    };
    let value_of = |wanted| settings().find_map(|(name, value)| (name == wanted).then_some(value));
    let mut found = Vec::new();
    for (name, value) in settings() {
        let pair = (name == AWS_SECRET)
            .then(|| recognise_aws_pair(value_of(AWS_ID)?, value))
            .flatten();
        let credentials = recognise_value(name, value, key).into_iter().chain(pair);
        let held = credentials.map(|credential| Variable {
            name: name.to_owned(),
            credential,
        });
        add(&mut found, held.collect(), |of| &of.credential);
    }
    found
}

fn add<T>(found: &mut Vec<T>, more: Vec<T>, credential: impl Fn(&T) -> &Credential) {
    for one in more {
        let fingerprint = &credential(&one).fingerprint;
        let is_known = found
            .iter()
            .any(|of| credential(of).fingerprint == *fingerprint);
        if !is_known && found.len() < MAX_HELD {
            found.push(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CredentialKind;

    const TOKEN: &str = concat!("ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17");

    #[test]
    fn variables_are_named_and_their_values_are_not_told() {
        let key = FingerprintKey::generate().unwrap();
        let text = format!(
            "PATH=/bin\0TOKEN={TOKEN}\0AGAIN={TOKEN}\0=x\0AWS_SECRET_ACCESS_KEY=Fake/SecretKeyForTests+\
             0123456789abcdefG\0AWS_ACCESS_KEY_ID=AKIAFAKEFAKEFAKE0001\0WORD=ghp_\0"
        );
        let found = variables(text.as_bytes(), &key);
        let names: Vec<_> = found.iter().map(|of| of.name.as_str()).collect();
        assert_eq!(names, ["TOKEN", AWS_SECRET]);
        assert_eq!(found[0].credential.kind, CredentialKind::GitCredential);
        assert_eq!(
            found[1].credential.fingerprint.as_str(),
            "aws:AKIAFAKEFAKEFAKE0001"
        );
        assert!(!format!("{found:?}").contains("zQWB"));
    }

    #[test]
    fn a_docker_login_in_a_variable_is_one() {
        let key = FingerprintKey::generate().unwrap();
        let text = r#"DOCKER_AUTH_CONFIG={"auths":{"r.example":{"auth":"dTpmYWtlLXBhc3N3b3Jk"}}}"#;
        let found = variables(text.as_bytes(), &key);
        assert_eq!(
            found[0].credential.kind,
            CredentialKind::ContainerRegistryAuth
        );
    }

    #[test]
    fn this_process_has_an_environment() {
        let key = FingerprintKey::generate().unwrap();
        assert!(environment(std::process::id(), &key).is_ok());
        assert!(arguments(std::process::id(), &key).is_ok());
        assert!(environment(u32::MAX, &key).is_err());
    }

    #[test]
    fn a_part_of_a_log_is_read_and_no_more() {
        let key = FingerprintKey::generate().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut text = format!("old {TOKEN}\n").into_bytes();
        text.extend(b"\0\xff broken\nnew line\n");
        std::fs::write(file.path(), &text).unwrap();
        let at = |start| part_of_file(file.path(), start, 1024, &key).unwrap();
        assert_eq!(at(0).len(), 1);
        assert_eq!(at(10), []);
    }
}
