//! The same inode by other roots and mounts is the same credential.

use std::fs;

use monitor::model::DetectionId;

use super::daemon::{Daemon, Place};
use super::host::{SshKey, command, compile, program, run};
use super::turn::shared;

const READ: DetectionId = DetectionId::RetiredCredentialRead;

/// A C library of its own is more than this needs.
const STATIC_READER: &str = r#"
#include <fcntl.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char buffer[64];
    int fd = open(argv[1], O_RDONLY);
    return fd >= 0 && read(fd, buffer, sizeof buffer) > 0 ? 0 : 1;
}
"#;

#[test]
fn a_retired_key_is_seen_through_mounts_and_roots() {
    let _host = shared();
    let place = Place::new();
    let root = place.root();
    let key = |name: &str| SshKey::ed25519(root.join(name));
    let (bound, unshared, jailed, layered) =
        (key("bound"), key("unshared"), key("jailed"), key("layered"));
    compile(&root, "reader", STATIC_READER);
    run(&mut command(
        "cc",
        &[
            &"-static",
            &"-o",
            &root.join("reader"),
            &root.join("reader.c"),
        ],
    ));
    for name in ["mounted", "upper", "work", "merged"] {
        fs::create_dir(place.at(name)).unwrap();
    }
    let _daemon = Daemon::start(&place);
    for key in [&bound, &unshared, &jailed, &layered] {
        place.retire(&key.path);
    }
    let name = |key: &SshKey| key.path.file_name().unwrap().to_owned();
    let mounted = place.at("mounted");
    let own_mounts = |line: &str| {
        let mut command = command(
            "unshare",
            &[&"--mount", &program("sh"), &"-ec", &line, &"sh"],
        );
        command.args([&root, &mounted]);
        command
    };
    let cases = [
        (
            "a bind mount",
            &bound,
            own_mounts("mount --bind \"$1\" \"$2\"; exec cat \"$2/bound\""),
        ),
        (
            "another mount namespace",
            &unshared,
            own_mounts("mount -t tmpfs none /mnt; exec cat \"$1/unshared\""),
        ),
        (
            "a chroot",
            &jailed,
            command("chroot", &[&root, &"/reader", &"/jailed"]),
        ),
        ("an overlay", &layered, {
            let mut command = command(
                "unshare",
                &[
                    &"--mount",
                    &program("sh"),
                    &"-ec",
                    &"mount -t overlay -o lowerdir=$1,upperdir=$2,workdir=$3 none $4; \
                      exec cat $4/layered",
                    &"sh",
                ],
            );
            command.args([
                &root,
                &place.at("upper"),
                &place.at("work"),
                &place.at("merged"),
            ]);
            command
        }),
    ];
    for (what, key, mut command) in cases {
        let done = run(&mut command);
        let alert = place.wait(what, done.is(READ));
        done.assert_time(&alert);
        assert!(key.is_in(&alert), "{what}: {alert:#?}");
        let credential = alert.credential.unwrap();
        let path = credential.path.unwrap();
        assert!(
            path.ends_with(name(key).to_str().unwrap()),
            "{what}: {path}"
        );
        // The registry knows where it really lies.
        assert_eq!(place.known(&key.path).fingerprint.as_str(), key.fingerprint);
    }
}
