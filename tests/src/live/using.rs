//! Discovery by use: which files are found when a process reads them, and which are not.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::daemon::{Daemon, Place, patiently, shared};
use super::host::{SshKey, command, run};
use super::leaking::token;

#[test]
fn a_file_that_is_read_is_found_where_its_name_or_its_place_tells() {
    let _host = shared();
    let place = Place::new();
    let far = place.at("elsewhere/a/b/c");
    fs::create_dir_all(&far).unwrap();
    let shm = tempfile::Builder::new()
        .prefix("credwatch-live-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let tmp = tempfile::Builder::new()
        .prefix("credwatch-live-")
        .tempdir_in("/tmp")
        .unwrap();
    fs::create_dir_all(tmp.path().join("a/b")).unwrap();
    let deep = place.root().join("1/2/3/4");
    fs::create_dir_all(&deep).unwrap();
    let beside = place.at("beside");
    fs::create_dir(&beside).unwrap();
    // What is there before the daemon.
    let mut files: Vec<(&str, PathBuf, bool)> = Vec::new();
    let mut put = |what, path: PathBuf, is_found| {
        fs::write(
            &path,
            format!("TOKEN={}\n", token(&path.display().to_string())),
        )
        .unwrap();
        files.push((what, path, is_found));
    };
    put("no root, a telling name (.env)", far.join(".env"), true);
    put(
        "no root, a telling name (credentials.json)",
        far.join("credentials.json"),
        true,
    );
    put(
        "no root, beside a key that was read",
        beside.join("untelling"),
        true,
    );
    put(
        "no root, a telling extension only (.pem)",
        far.join("web-1.pem"),
        false,
    );
    put(
        "no root, no telling name, three levels deep",
        far.join("settings.py"),
        false,
    );
    put(
        "/tmp, two directories deep, no telling name",
        tmp.path().join("a/b/notes"),
        false,
    );
    put(
        "/dev/shm, one directory deep, no telling name",
        shm.path().join("notes"),
        false,
    );
    let _daemon = Daemon::start(&place);
    // What comes while it runs.
    put(
        "below a root, four levels deep, telling name",
        deep.join(".env"),
        true,
    );
    put(
        "below a root, four levels deep, no telling name",
        deep.join("settings.py"),
        false,
    );
    put(
        "below a root, two levels deep, no telling name, mode 0600",
        place.root().join("1/2/settings.py"),
        true,
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(place.root().join("1/2/settings.py"), mode).unwrap();

    // A key with a telling name leads to what lies beside it.
    let key = SshKey::ed25519(beside.join("id_ed25519"));
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
