//! Discovery by use: which files are found when a process reads them, and which are not.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use monitor::model::CredentialKind;

use super::daemon::{Daemon, Place, patiently};
use super::host::{SshKey, command, run};
use super::leaking::token;
use super::turn::shared;

#[test]
fn a_file_that_is_read_is_found_where_its_name_or_its_place_tells() {
    let _host = shared();
    let place = Place::new();
    let staged = |base| {
        let mut builder = tempfile::Builder::new();
        builder.prefix("credwatch-live-").tempdir_in(base).unwrap()
    };
    let (shm, tmp) = (staged("/dev/shm"), staged("/tmp"));
    let outside = place.at("elsewhere");
    // The test's own root lies in /var/tmp, where every small file is looked into.
    let root = staged("/opt");
    let config = place.at("credwatch.toml");
    let text = fs::read_to_string(&config).unwrap();
    let roots = format!("roots = [{:?}, ", root.path());
    fs::write(&config, text.replacen("roots = [", &roots, 1)).unwrap();
    let root = root.path();
    // A directory each: where one credential is known, all that is read is looked at.
    let mut files: Vec<(&str, PathBuf, bool)> = Vec::new();
    let mut put = |what, path: PathBuf, mode, is_found| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("TOKEN={}\n", token(what))).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        files.push((what, path, is_found));
    };
    // What is there before the daemon.
    put("no root, .env", outside.join("a/b/c/.env"), 0o644, true);
    put(
        "no root, credentials.json",
        outside.join("a/b/d/credentials.json"),
        0o644,
        true,
    );
    put(
        "no root, beside a key that was read",
        outside.join("beside/untelling"),
        0o644,
        true,
    );
    put(
        "no root, web-1.pem",
        outside.join("a/b/e/web-1.pem"),
        0o644,
        false,
    );
    put(
        "no root, three directories deep, settings.py",
        outside.join("a/b/f/settings.py"),
        0o600,
        false,
    );
    put(
        "/tmp, one directory deep, notes",
        tmp.path().join("notes"),
        0o644,
        true,
    );
    put(
        "/tmp, three directories deep, notes",
        tmp.path().join("a/b/notes"),
        0o644,
        false,
    );
    put(
        "/dev/shm, one directory deep, notes",
        shm.path().join("notes"),
        0o644,
        true,
    );
    put(
        "/dev/shm, three directories deep, notes",
        shm.path().join("a/b/notes"),
        0o644,
        false,
    );
    let _daemon = Daemon::start(&place);
    // What comes while it runs.
    put(
        "below a root, five directories deep, .env",
        root.join("1/2/3/4/5/.env"),
        0o644,
        true,
    );
    put(
        "below a root, two directories deep, settings.py of mode 0600",
        root.join("1/6/settings.py"),
        0o600,
        true,
    );
    put(
        "below a root, two directories deep, settings.py of mode 0644",
        root.join("1/7/settings.py"),
        0o644,
        false,
    );
    put(
        "below a root, five directories deep, settings.py of mode 0600",
        root.join("1/2/3/4/8/settings.py"),
        0o600,
        false,
    );

    // A key with a telling name leads to what lies beside it.
    let key = SshKey::ed25519(outside.join("beside/id_ed25519"));
    run(&mut command("cat", &[&key.path]));
    place.known(&key.path);
    for (_, path, _) in &files {
        run(&mut command("cat", &[path]));
    }
    std::thread::sleep(patiently(Duration::from_millis(2_500)));
    for (_, path, _) in &files {
        run(&mut command("head", &[path]));
    }
    std::thread::sleep(patiently(Duration::from_millis(1_500)));
    let known = place.credentials();
    let is_known = |path: &PathBuf| known.iter().any(|of| of.paths.contains(path));
    for (what, path, _) in &files {
        println!("{:5} {what}", if is_known(path) { "found" } else { "-" });
    }
    for (what, path, is_found) in &files {
        assert_eq!(is_known(path), *is_found, "{what}");
    }
}

#[test]
fn what_systemd_gives_a_unit_is_the_units() {
    let _host = shared();
    let place = Place::new();
    let unit = format!("credwatch-live-{}.service", std::process::id());
    let directory = PathBuf::from("/run/credentials").join(&unit);
    let parent_was_there = directory.parent().unwrap().exists();
    let _daemon = Daemon::start(&place);
    // As systemd does: a file system of its own, filled elsewhere, then put in place.
    let workspace = place.at("workspace");
    for path in [&workspace, &directory] {
        fs::create_dir_all(path).unwrap();
    }
    run(&mut command(
        "mount",
        &[&"-t", &"ramfs", &"none", &workspace],
    ));
    fs::write(workspace.join("db"), "no shape at all").unwrap();
    fs::set_permissions(workspace.join("db"), Permissions::from_mode(0o400)).unwrap();
    run(&mut command("mount", &[&"--bind", &workspace, &directory]));
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let known = place.known(&directory.join("db"));
        assert_eq!(known.kind, CredentialKind::Opaque);
        assert_eq!(
            known.owner.unwrap().as_str(),
            format!("systemd:unit:{unit}")
        );
        run(&mut command("cat", &[&directory.join("db")]));
        place.until("its use is seen", || {
            place.known(&directory.join("db")).last_used.is_some()
        });
    }));
    for path in [&directory, &workspace] {
        run(&mut command("umount", &[path]));
    }
    fs::remove_dir(&directory).unwrap();
    if !parent_was_there {
        let _ = fs::remove_dir("/run/credentials");
    }
    seen.unwrap();
}
