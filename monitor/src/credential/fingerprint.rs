//! Names of credentials. Every [`Fingerprint`] is made here, from the value alone: a file that is
//! moved, linked, copied or laid out anew keeps its name.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::model::Fingerprint;

/// The file below the state directory.
/// The key's name in the state directory.
pub const FILE: &str = "fingerprint.key";
/// What the file starts with; the digit is the format's version.
const MAGIC: &[u8; 8] = b"CWFPKEY1";
const KEY: usize = 32;
const CHECK: usize = 8;
/// Public words that go into a name are cut off by this, in bytes; longer ones are hashed.
const MAX_WORD: usize = 200;

/// This installation's key, under which credentials without a public part are named. Without it
/// nobody can test a guess of a secret against a name.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct FingerprintKey([u8; KEY]);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is not what was written.
    #[error(
        "{path} is damaged ({what}); restore it from a backup, or remove it to have a new one \
         made: credentials without a public part then get new names, and must be retired again",
        path = .path.display()
    )]
    Damaged {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Others can read or write the key.
    #[error(
        "{path} has mode {mode:04o}, so others can reach it; run `chmod 600 {path}`, and if \
         somebody may have read it, remove it to have a new one made",
        path = .path.display()
    )]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The kernel said no.
    #[error(
        "cannot {action} {path}: {source}; the state directory must exist and be writable",
        path = .path.display()
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl FingerprintKey {
    /// A new random key.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn generate() -> io::Result<Self> {
        let mut key = Self([0; KEY]);
        let flags = rustix::rand::GetRandomFlags::empty();
        let mut filled = 0;
        while filled < KEY {
            match rustix::rand::getrandom(&mut key.0[filled..], flags) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(key)
    }

    /// Reads `fingerprint.key` in the state directory, or makes it with mode 0600.
    ///
    /// # Errors
    /// When the file is damaged, reachable by others, or cannot be read or made.
    pub fn load_or_create(state_dir: &Path) -> Result<Self, KeyError> {
        let path = state_dir.join(FILE);
        if let Some(key) = Self::load(&path)? {
            return Ok(key);
        }
        let key = Self::generate().map_err(failed("get random bytes for", &path))?;
        // The content is complete before the name exists: a crash in between leaves no half key.
        // Each starter has a draft of its own, also among threads: one that fails takes its own away.
        static STARTERS: AtomicU32 = AtomicU32::new(0);
        let starter = STARTERS.fetch_add(1, Ordering::Relaxed);
        let draft = state_dir.join(format!("{FILE}.{}.{starter}.new", std::process::id()));
        let written = key.write(&draft).and_then(|()| {
            std::fs::hard_link(&draft, &path)?;
            File::open(state_dir)?.sync_all()
        });
        // A draft that is left behind is a copy of the key that nobody looks after.
        let removed = std::fs::remove_file(&draft);
        match written {
            Ok(()) => removed
                .map(|()| key)
                .map_err(failed("remove the draft of", &path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::load(&path)?.ok_or_else(|| failed("create", &path)(error))
            }
            Err(error) => Err(failed("create", &path)(error)),
        }
    }

    fn load(path: &Path) -> Result<Option<Self>, KeyError> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(path);
        let mut file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", path)(error)),
        };
        let metadata = file.metadata().map_err(failed("look at", path))?;
        let damaged = |what| KeyError::Damaged {
            path: path.to_owned(),
            what,
        };
        if !metadata.is_file() {
            return Err(damaged("it is no regular file"));
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(KeyError::Exposed {
                path: path.to_owned(),
                mode: metadata.mode() & 0o7777,
            });
        }
        let mut content = Zeroizing::new([0; MAGIC.len() + KEY + CHECK]);
        if metadata.len() != content.len() as u64 {
            return Err(damaged("its length is wrong"));
        }
        file.read_exact(&mut *content)
            .map_err(failed("read", path))?;
        let (magic, rest) = content.split_at(MAGIC.len());
        let (bytes, check) = rest.split_at(KEY);
        if magic != MAGIC {
            return Err(damaged("it does not start like a key file"));
        }
        if Sha256::digest(bytes)[..CHECK] != *check {
            return Err(damaged("its checksum is wrong"));
        }
        let mut key = Self([0; KEY]);
        key.0.copy_from_slice(bytes);
        Ok(Some(key))
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut content = Zeroizing::new(Vec::with_capacity(MAGIC.len() + KEY + CHECK));
        content.extend_from_slice(MAGIC);
        content.extend_from_slice(&self.0);
        content.extend_from_slice(&Sha256::digest(self.0)[..CHECK]);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(path)?;
        file.write_all(&content)?;
        file.sync_all()
    }

    /// `hmac:` and 32 hex digits: HMAC-SHA256 (RFC 2104) of the domain and the secret, cut to 128
    /// bits. The domain keeps secrets of different shape apart.
    pub fn hmac(&self, domain: &str, secret: &[u8]) -> Fingerprint {
        Fingerprint::new(format!("hmac:{}", self.digest(domain, &[secret])))
    }

    /// A seal on something that is stored, by which this installation knows later that it wrote it:
    /// HMAC-SHA256 of the domain and the parts.
    pub fn seal(&self, domain: &str, parts: &[&[u8]]) -> Vec<u8> {
        let mac = self.mac(domain, parts);
        mac.map_or_else(Vec::new, |mac| mac.finalize().into_bytes().to_vec())
    }

    /// Whether a seal is the one of these parts. Takes as long for any that is not.
    pub fn is_sealed(&self, domain: &str, parts: &[&[u8]], seal: &[u8]) -> bool {
        let mac = self.mac(domain, parts);
        mac.is_some_and(|mac| mac.verify_slice(seal).is_ok())
    }

    /// A bare secret (a token, the content of a declared file): white space around it, such as an
    /// editor's newline, does not count.
    pub(super) fn value(&self, secret: &[u8]) -> Fingerprint {
        self.hmac("value", secret.trim_ascii())
    }

    /// A login. The same password of another user is another credential.
    pub(super) fn login(&self, user: &[u8], password: &[u8]) -> Fingerprint {
        Fingerprint::new(format!("hmac:{}", self.digest("login", &[user, password])))
    }

    /// `jwt:iss/sub/jti`. A token without an id is told from its siblings by an HMAC.
    pub(super) fn jwt(&self, iss: &str, sub: &str, jti: Option<&str>, token: &[u8]) -> Fingerprint {
        let usable = |word: &str| !word.is_empty() && is_word(word);
        match jti {
            Some(jti) if usable(iss) && usable(sub) && usable(jti) => {
                Fingerprint::new(format!("jwt:{iss}/{sub}/{jti}"))
            }
            _ if usable(iss) && usable(sub) => {
                let digest = self.digest("jwt", &[token]);
                Fingerprint::new(format!("jwt:{iss}/{sub}/hmac:{digest}"))
            }
            _ => self.hmac("jwt", token),
        }
    }

    fn digest(&self, domain: &str, parts: &[&[u8]]) -> String {
        use std::fmt::Write as _;

        // Were there none, the name would be a constant, which the tests would show.
        let Some(mac) = self.mac(domain, parts) else {
            return String::new();
        };
        let mut hex = String::with_capacity(32);
        for byte in &mac.finalize().into_bytes()[..16] {
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }

    /// `None` never comes: HMAC takes keys of any length.
    fn mac(&self, domain: &str, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(b"credwatch/1\0");
        // Each part goes in with its length: no two lists of parts read the same.
        for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Some(mac)
    }
}

/// `SHA256:…` of an SSH public key in its wire encoding, as `ssh-keygen -lf` prints it.
pub(super) fn ssh(public: &[u8]) -> Fingerprint {
    Fingerprint::new(format!("SHA256:{}", ssh_digest(public)))
}

/// The same of a key that is let in and not held.
pub(super) fn ssh_authorized(public: &[u8]) -> Fingerprint {
    Fingerprint::new(format!("authorized:SHA256:{}", ssh_digest(public)))
}

/// `ssh-cert:SHA256:…` of a whole certificate. A renewed certificate of the same key is another one.
pub(super) fn ssh_certificate(certificate: &[u8]) -> Fingerprint {
    Fingerprint::new(format!("ssh-cert:SHA256:{}", ssh_digest(certificate)))
}

fn ssh_digest(public: &[u8]) -> String {
    STANDARD_NO_PAD.encode(Sha256::digest(public))
}

/// `x509:spki-sha256:…` of a private key by its SubjectPublicKeyInfo in DER (RFC 7469, in hex).
pub(super) fn spki(spki: &[u8]) -> Fingerprint {
    Fingerprint::new(format!("x509:spki-sha256:{}", hex(&Sha256::digest(spki))))
}

/// `x509:serial:…/spki-sha256:…` of a certificate. A renewed certificate of the same key is
/// another one.
pub(super) fn certificate(serial: &[u8], spki: &[u8]) -> Fingerprint {
    Fingerprint::new(format!(
        "x509:serial:{}/spki-sha256:{}",
        hex(serial),
        hex(&Sha256::digest(spki))
    ))
}

/// A public id under its issuer's name, such as `aws:AKIA…`; `None` when the id has characters
/// or a length that no such id has.
pub(super) fn public_id(issuer: &str, id: &str) -> Option<Fingerprint> {
    (!id.is_empty() && is_word(id)).then(|| Fingerprint::new(format!("{issuer}:{id}")))
}

/// Whether a text can stand in a name as it is.
fn is_word(text: &str) -> bool {
    text.len() <= MAX_WORD && text.bytes().all(|b| b.is_ascii_graphic())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError + use<> {
    let path = path.to_owned();
    move |source| KeyError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = FingerprintKey::load_or_create(dir.path()).unwrap();
        let again = FingerprintKey::load_or_create(dir.path()).unwrap();
        assert_eq!(first.hmac("d", b"s"), again.hmac("d", b"s"));
        let path = dir.path().join(FILE);
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);

        let other = FingerprintKey::generate().unwrap();
        assert_ne!(first.hmac("d", b"s"), other.hmac("d", b"s"));
    }

    #[test]
    fn a_damaged_or_exposed_key_is_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        FingerprintKey::load_or_create(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        let good = std::fs::read(&path).unwrap();

        let mut flipped = good.clone();
        flipped[20] ^= 1;
        let mut foreign = good.clone();
        foreign[0] ^= 1;
        for bad in [&good[..good.len() - 1], &[], &flipped, &foreign] {
            std::fs::write(&path, bad).unwrap();
            let error = FingerprintKey::load_or_create(dir.path()).err().unwrap();
            assert!(matches!(error, KeyError::Damaged { .. }), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), bad);
        }

        std::fs::write(&path, &good).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = FingerprintKey::load_or_create(dir.path()).err().unwrap();
        assert!(error.to_string().contains("chmod 600"), "{error}");

        let missing = dir.path().join("nowhere");
        let error = FingerprintKey::load_or_create(&missing).err().unwrap();
        assert!(error.to_string().contains("must exist"), "{error}");
    }

    #[test]
    fn many_starters_agree_on_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<_> = std::thread::scope(|scope| {
            let starters: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| FingerprintKey::load_or_create(dir.path())))
                .collect();
            starters
                .into_iter()
                .filter_map(|starter| starter.join().unwrap().ok())
                .map(|key| key.hmac("d", b"s"))
                .collect()
        });
        let kept = FingerprintKey::load_or_create(dir.path()).unwrap();
        assert!(names.iter().all(|name| *name == kept.hmac("d", b"s")));
    }

    #[test]
    fn domains_and_parts_do_not_run_into_each_other() {
        let key = FingerprintKey([7; KEY]);
        assert_ne!(key.hmac("ab", b"c"), key.hmac("a", b"bc"));
        assert_ne!(key.login(b"ab", b"c"), key.login(b"a", b"bc"));
        assert_eq!(key.value(b"token\n"), key.value(b" token"));
        let text = key.hmac("d", b"s").to_string();
        assert_eq!(text.len(), "hmac:".len() + 32);
        assert!(text[5..].bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn a_seal_fits_its_parts_and_no_others() {
        let key = FingerprintKey([7; KEY]);
        let seal = key.seal("d", &[b"ab", b"c"]);
        assert_eq!(seal.len(), 32);
        assert!(key.is_sealed("d", &[b"ab", b"c"], &seal));
        assert!(!key.is_sealed("d", &[b"a", b"bc"], &seal));
        assert!(!key.is_sealed("e", &[b"ab", b"c"], &seal));
        assert!(!FingerprintKey([8; KEY]).is_sealed("d", &[b"ab", b"c"], &seal));
        for other in [&seal[..31], &[], &[0; 32]] {
            assert!(!key.is_sealed("d", &[b"ab", b"c"], other));
        }
    }

    #[test]
    fn a_token_id_with_odd_characters_is_hashed() {
        let key = FingerprintKey([7; KEY]);
        let name = key.jwt("iss", "sub", Some("a b\n"), b"t").to_string();
        assert!(name.starts_with("jwt:iss/sub/hmac:"), "{name}");
        assert!(
            key.jwt("i\u{7}", "s", None, b"t")
                .to_string()
                .starts_with("hmac:")
        );
        assert_eq!(key.jwt("i", "s", Some("j"), b"t").as_str(), "jwt:i/s/j");
    }
}
