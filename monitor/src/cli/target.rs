//! What `retire` and `restore` speak of: a selector, a fingerprint or a path.

use std::ffi::OsStr;
use std::path::Path;

use super::CommandError;
use crate::model::Selector;

/// The target as the daemon takes it: a selector or a fingerprint as it is; a path made absolute
/// from this process's directory, which the daemon does not know. Symlinks are left to the daemon,
/// which opens the file and so cannot be shown another one in between.
pub(super) fn resolve(target: &OsStr) -> Result<String, CommandError> {
    let usage = |text: String| Err(CommandError::Usage(text));
    let shown = target.to_string_lossy();
    if let Some(text) = target.to_str() {
        if Selector::looks_like(text) {
            return match text.parse::<Selector>() {
                Ok(selector) => Ok(selector.to_string()),
                Err(error) => usage(error.to_string()),
            };
        }
        if looks_like_fingerprint(text) {
            return Ok(text.to_owned());
        }
    }
    match std::path::absolute(target) {
        Ok(path) => match path.into_os_string().into_string() {
            Ok(path) => Ok(path),
            Err(_) => usage(format!(
                "the path {shown} is not UTF-8: name its credential by the fingerprint that \
                 `credwatch credentials` shows"
            )),
        },
        Err(error) => usage(format!(
            "`{shown}` is no path ({error}): name a path, a fingerprint or a selector"
        )),
    }
}

/// `SHA256:nTh/Q4`, `hmac:…`, `x509:spki-sha256:…`: a colon before any slash, and no such file.
fn looks_like_fingerprint(text: &str) -> bool {
    let colon_first = text
        .find([':', '/'])
        .is_some_and(|at| text.as_bytes().get(at) == Some(&b':'));
    colon_first && Path::new(text).symlink_metadata().is_err()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn selectors_and_fingerprints_stay_and_paths_become_absolute() {
        let resolved = |text: &str| resolve(OsStr::new(text)).unwrap();
        for same in [
            "unix:user:svc-backup",
            "SHA256:nTh/Q4+x",
            "hmac:00ff",
            "jwt:https://issuer.example/sub/jti",
            "/etc/../etc/shadow",
        ] {
            assert_eq!(resolved(same), same);
        }
        let cwd = std::env::current_dir().unwrap();
        let here = |name: &str| cwd.join(name).to_str().unwrap().to_owned();
        assert_eq!(resolved("id_ed25519"), here("id_ed25519"));
        assert_eq!(resolved("./a:b"), here("a:b"));
        assert_eq!(resolved("keys/a:b"), here("keys/a:b"));
        // `..` behind a symlink leads elsewhere than its text says: it stays.
        assert_eq!(resolved("../x"), here("../x"));
    }

    #[test]
    fn what_is_nothing_is_a_usage_error() {
        for bad in [&b""[..], b"unix:user:", b"unix:user:a b", b"/k\xff"] {
            let error = resolve(OsStr::from_bytes(bad)).unwrap_err();
            assert!(matches!(error, CommandError::Usage(_)), "{bad:?}");
        }
    }
}
