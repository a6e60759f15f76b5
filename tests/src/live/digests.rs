//! Programs that are allowed by their SHA-256, and by nothing else that they are called.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::time::Duration;

use monitor::model::DetectionId;

use super::daemon::{Daemon, Place, patiently};
use super::host::{Account, Done, SshKey, command, program, run};
use super::turn::shared;

const OUTSIDER: DetectionId = DetectionId::OutsiderReads;
/// An act waits for its program's digest for so long at most.
const WAITS: Duration = Duration::from_secs(7);

fn digest(path: &Path) -> String {
    let done = run(&mut command("sha256sum", &[&path]));
    let text = String::from_utf8(done.output.stdout).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

/// A host with a key of an account, and a program that may read it by its digest.
struct Declared {
    place: Place,
    account: Account,
    key: SshKey,
}

impl Declared {
    fn new(pattern: impl Fn(&str, &Account) -> String) -> Self {
        let account = Account::new();
        let tool = program("tail").canonicalize().unwrap();
        let pattern = pattern(&digest(&tool), &account);
        let place = Place::with(&format!(
            "[detection.users]\nlearning = \"1s\"\n\
             [[users]]\ncredentials = [\"/**/deploy\"]\nallowed = [{pattern}]"
        ));
        let key = SshKey::ed25519(place.root().join("deploy"));
        chown(&key.path, Some(account.uid), Some(account.gid)).unwrap();
        fs::copy(&tool, place.at("reader")).unwrap();
        Self {
            place,
            account,
            key,
        }
    }

    fn start(&self) -> Daemon<'_> {
        let daemon = Daemon::start(&self.place);
        self.place.known(&self.key.path);
        std::thread::sleep(patiently(Duration::from_secs(2)));
        daemon
    }

    fn reads(&self, with: &Path) -> Done {
        let with = with.to_str().unwrap();
        run(&mut self.account.runs(with, &[&self.key.path]))
    }
}

#[test]
fn the_same_bytes_are_the_same_program_wherever_they_lie_and_others_are_not() {
    let _host = shared();
    let of = Declared::new(|digest, _| format!("\"sha256:{digest}\""));
    let _daemon = of.start();
    let (reader, copy) = (of.place.at("reader"), of.place.at("copy"));
    let itself = of.reads(&reader);
    fs::copy(&reader, &copy).unwrap();
    let elsewhere = of.reads(&copy);
    fs::rename(&reader, of.place.at("renamed")).unwrap();
    let renamed = of.reads(&of.place.at("renamed"));

    // Another file under the declared one's old name, and under the copy's inode.
    fs::copy(program("head"), &reader).unwrap();
    let replaced = of.reads(&reader);
    of.place
        .wait("another file at its path", replaced.is(OUTSIDER));
    let before = fs::metadata(&copy).unwrap().ino();
    let mut file = File::options().append(true).open(&copy).unwrap();
    file.write_all(b"behind the program's end").unwrap();
    drop(file);
    assert_eq!(fs::metadata(&copy).unwrap().ino(), before);
    let changed = of.reads(&copy);
    of.place
        .wait("other bytes in its inode", changed.is(OUTSIDER));

    std::thread::sleep(patiently(WAITS));
    for done in [&itself, &elsewhere, &renamed] {
        let all = of.place.all(done.is(OUTSIDER));
        assert!(all.is_empty(), "{all:#?}");
    }
}

#[test]
fn a_digest_with_an_identity_allows_that_identity_alone() {
    let _host = shared();
    let of = Declared::new(|digest, account| {
        format!(
            "{{ identity = \"{}\", sha256 = \"{digest}\" }}",
            account.selector()
        )
    });
    let _daemon = of.start();
    let reader = of.place.at("reader");
    let declared = of.reads(&reader);
    let roots = run(&mut command(reader.to_str().unwrap(), &[&of.key.path]));
    of.place
        .wait("the same program of root's", roots.is(OUTSIDER));
    let other = of.reads(&program("head"));
    of.place.wait("another program", other.is(OUTSIDER));
    std::thread::sleep(patiently(WAITS));
    let all = of.place.all(declared.is(OUTSIDER));
    assert!(all.is_empty(), "{all:#?}");
}
