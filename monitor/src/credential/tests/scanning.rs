//! Files and trees on disk.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::model::LocatedFile;

const TOKEN: &str = "hvs.CAESIfakefakefakefakefakefake";

pub(super) fn write(path: &Path, content: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // With its mode from the start: a chmod afterwards would be a change of its own.
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .unwrap();
    file.write_all(content.as_bytes()).unwrap();
}

fn all(scan_: &Scan, key: &FingerprintKey) -> (Vec<LocatedFile>, ScanSummary) {
    let mut found = Vec::new();
    let stop = AtomicBool::new(false);
    let summary = scan(scan_, key, &mut |located| found.push(located), &stop);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    (found, summary)
}

fn roots(roots: &[&Path]) -> Scan {
    Scan {
        roots: roots.iter().map(|root| root.to_path_buf()).collect(),
        ..Scan::default()
    }
}

#[test]
fn a_copy_a_link_and_a_move_keep_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let at = |name: &str| dir.path().join(name);
    let original = at("id_ed25519");
    run(
        "ssh-keygen",
        &[
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-f",
            original.to_str().unwrap(),
        ],
    );
    let name = |path: &Path| {
        let located = inspect(path, &key).unwrap().unwrap();
        (located.credentials[0].fingerprint.clone(), located.file)
    };
    let first = name(&original);
    fs::hard_link(&original, at("linked")).unwrap();
    symlink(&original, at("soft")).unwrap();
    fs::copy(&original, at("copied")).unwrap();
    assert_eq!(name(&at("linked")), first);
    assert_eq!(name(&at("soft")), first);
    assert_eq!(name(&at("copied")).0, first.0);
    assert_ne!(name(&at("copied")).1, first.1);
    let mut content = fs::read(at("copied")).unwrap();
    content.extend(b"\n\n");
    fs::write(at("copied"), content).unwrap();
    assert_eq!(name(&at("copied")).0, first.0);
    fs::rename(&original, at("moved")).unwrap();
    assert_eq!(name(&at("moved")), first);
}

#[test]
fn what_cannot_be_looked_into_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let at = |name: &str| dir.path().join(name);
    write(&at("empty"), "\n \n", 0o600);
    fs::File::create(at("large"))
        .unwrap()
        .set_len((1 << 20) + 1)
        .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    for (name, says) in [
        ("nowhere", "there is no file"),
        ("", "is a directory"),
        ("empty", "is empty"),
        ("large", "more than the 1048576"),
        ("socket", "only regular files"),
    ] {
        let error = inspect_any(&at(name), &key).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert!(error.contains(at(name).to_str().unwrap()), "{error}");
    }
    assert_eq!(inspect(&at("empty"), &key).unwrap(), None);
    let unknown = at("unknown");
    write(&unknown, "some fake password\n", 0o600);
    assert_eq!(inspect(&unknown, &key).unwrap(), None);
    let located = inspect_any(&unknown, &key).unwrap();
    assert_eq!(located.credentials[0].kind, CredentialKind::Opaque);
    assert_eq!(located.mode, 0o600);
    assert_eq!(located.file.ino, fs::metadata(&unknown).unwrap().ino());
}

#[test]
fn a_scan_finds_by_name_place_and_content() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let at = |name: &str| dir.path().join(name);
    write(&at("home/a/.vault-token"), TOKEN, 0o644);
    write(&at("home/a/hidden"), TOKEN, 0o600);
    write(&at("home/a/public-note"), TOKEN, 0o644);
    write(&at("home/a/.ssh/config"), "Host x\n", 0o600);
    write(&at("home/a/node_modules/x/.vault-token"), TOKEN, 0o600);
    write(&at("home/left/out/token"), TOKEN, 0o600);
    write(&at("other/token"), TOKEN, 0o600);
    fs::hard_link(at("home/a/.vault-token"), at("home/second")).unwrap();
    symlink(at("other/token"), at("home/a/token")).unwrap();
    symlink(at("home"), at("home/a/loop")).unwrap();
    let fifo = at("home/a/id_rsa");
    run("mkfifo", &[fifo.to_str().unwrap()]);

    let mut what = roots(&[&at("home"), &at("home/a"), &at("nowhere")]);
    what.exclude = vec![at("home/left")];
    let (found, summary) = all(&what, &key);
    let paths: Vec<PathBuf> = found.iter().map(|f| f.path.clone()).collect();
    assert_eq!(
        paths,
        [
            at("home/a/.vault-token"),
            at("home/a/hidden"),
            at("home/second")
        ]
        .into_iter()
        .filter(|path| path != &at("home/second"))
        .collect::<Vec<_>>()
    );
    assert_eq!(summary.credentials, 2);
    assert_eq!((summary.errors, summary.truncated), (0, false));

    what.sniff_all = true;
    let (found, _) = all(&what, &key);
    let paths: Vec<PathBuf> = found.iter().map(|f| f.path.clone()).collect();
    assert_eq!(
        paths,
        [
            at("home/a/.vault-token"),
            at("home/a/hidden"),
            at("home/a/public-note"),
            at("home/second")
        ]
    );
    assert_eq!(found[0].file, found[3].file);

    what.max_files = 2;
    assert!(all(&what, &key).1.truncated);
    let stop = AtomicBool::new(true);
    assert!(scan(&what, &key, &mut |_| panic!("stopped"), &stop).truncated);
}

#[test]
fn every_hard_link_is_reported_and_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let first = dir.path().join("a/token");
    write(&first, TOKEN, 0o600);
    for n in 0..20 {
        let path = dir.path().join(format!("b{n}/token"));
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::hard_link(&first, path).unwrap();
    }
    let (found, summary) = all(&roots(&[dir.path()]), &key);
    assert_eq!(found.len(), 21);
    assert!(found.iter().all(|f| f.file == found[0].file));
    assert_eq!((summary.files_seen, summary.files_read), (21, 1));
}

#[test]
fn projected_volumes_are_read_through_their_links() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let volume = dir.path().join("serviceaccount");
    let jwt = token(r#"{"iss":"i","sub":"system:serviceaccount:a:b","jti":"1"}"#);
    write(&volume.join("..2026_05_01/token"), &jwt, 0o644);
    symlink("..2026_05_01", volume.join("..data")).unwrap();
    symlink("..data/token", volume.join("token")).unwrap();
    let (found, _) = all(&roots(&[dir.path()]), &key);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, volume.join("token"));
    let real = fs::metadata(volume.join("..2026_05_01/token")).unwrap();
    assert_eq!(found[0].file.ino, real.ino());
}

#[test]
fn kernel_file_systems_are_not_entered() {
    let key = key();
    let (found, summary) = all(&roots(&[Path::new("/proc"), Path::new("/sys")]), &key);
    assert!(found.is_empty());
    assert_eq!(summary.files_seen, 0);
}

/// Documentation of the machine at hand. It may show whole keys, certificates and netrc files,
/// which are what they look like; anything else found there is a mistake.
#[test]
fn ordinary_files_are_no_credentials() {
    let key = key();
    let mut what = roots(&[Path::new("/usr/share/doc"), Path::new("/usr/share/man")]);
    what.sniff_all = true;
    what.max_files = 20_000;
    let (found, _) = all(&what, &key);
    for located in &found {
        for credential in &located.credentials {
            let path = located.path.display().to_string();
            let shown = matches!(
                credential.kind,
                CredentialKind::X509PrivateKey
                    | CredentialKind::X509Certificate
                    | CredentialKind::SshPrivateKey
            );
            let netrc = credential.kind == CredentialKind::Netrc && path.contains("netrc");
            assert!(shown || netrc, "{path}: {credential:?}");
        }
    }
}
