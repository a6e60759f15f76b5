//! What the daemon keeps of root: exactly what it needs, and each of it is needed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use monitor::model::{CredentialState, DetectionId};
use rustix::process::Signal;

use super::daemon::{Daemon, Place, program};
use super::host::{Account, SshKey, act, command, kernel, program as program_of_host, run, signal};
use super::turn::shared;

const CHOWN: u64 = 1 << 0;
const DAC_READ_SEARCH: u64 = 1 << 2;
const SETUID: u64 = 1 << 7;
const NET_ADMIN: u64 = 1 << 12;
const SYS_PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;

/// What every daemon keeps on this kernel: it reads environments unless it is told not to.
fn needed() -> u64 {
    needed_without_environments() | SYS_PTRACE
}

fn needed_without_environments() -> u64 {
    let for_old_kernels = if kernel() < (6, 9) { NET_ADMIN } else { 0 };
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    let is_hidden = lockdown.contains("[confidentiality]");
    let for_paths = if is_hidden { SYS_PTRACE } else { 0 };
    SYS_ADMIN | DAC_READ_SEARCH | SETUID | for_old_kernels | for_paths
}

/// The lines of a thread's status.
fn status(pid: u32, thread: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(":\t"));
    lines
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// Every thread of the daemon holds these capabilities, and can get no others.
fn holds_exactly(daemon: &Daemon<'_>, expected: u64) {
    let pid = daemon.pid();
    let threads: Vec<_> = fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(threads.len() > 5, "{threads:?}");
    for thread in threads {
        let status = status(pid, &thread);
        let held = |name: &str| u64::from_str_radix(&status[name], 16).unwrap();
        for (name, expected) in [
            ("CapEff", expected),
            ("CapPrm", expected),
            ("CapBnd", expected),
            ("CapInh", 0),
            ("CapAmb", 0),
        ] {
            let of = &status["Name"];
            assert_eq!(held(name), expected, "{name} of the thread {of}");
        }
        assert_eq!(status["NoNewPrivs"], "1");
    }
}

#[test]
fn it_keeps_what_it_needs_and_works_with_that() {
    let _host = shared();
    let place = Place::new();
    let account = Account::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let daemon = Daemon::start(&place);
    holds_exactly(&daemon, needed());
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core"));
    let words: Vec<_> = core.unwrap().split_whitespace().collect();
    assert_eq!(words[..6], ["Max", "core", "file", "size", "0", "0"]);

    // The self-test has passed, its child's change of uid too, with all that this kernel attaches.
    let hooks = place.status().hooks;
    let attached: Vec<_> = hooks.iter().filter(|hook| hook.attached).collect();
    assert!(attached.len() > 15, "{hooks:#?}");
    assert!(attached.iter().all(|hook| hook.fired > 0), "{attached:#?}");
    // An alert, and a new file of somebody else in a directory that nobody else may enter.
    place.retire(&key.path);
    let done = run(&mut command("cat", &[&key.path]));
    let read = DetectionId::RetiredCredentialRead;
    place.wait("an alert", done.is(read));
    let private = place.root().join("private");
    fs::create_dir(&private).unwrap();
    let new = SshKey::ed25519(private.join("new"));
    for path in [&new.path, &private] {
        chown(path, Some(account.uid), Some(account.gid)).unwrap();
    }
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    place.known(&new.path);
    // A reload.
    let text = format!("[[credential]]\npath = {:?}\nstate = \"decoy\"\n", new.path);
    fs::write(place.at("registry.d/new.toml"), text).unwrap();
    signal(daemon.pid(), Signal::HUP);
    place.until("the decoy", || {
        place.known(&new.path).state == CredentialState::Decoy
    });
    let done = run(&mut command("cat", &[&new.path]));
    place.wait("the decoy", done.is(DetectionId::DecoyTouched));
    holds_exactly(&daemon, needed());
    let untested = place.all(|alert| alert.summary.contains("self_test"));
    assert_eq!(untested, []);
    daemon.stop();
}

#[test]
fn who_wants_no_environments_read_keeps_one_less() {
    let _host = shared();
    let place = Place::new();
    let config = place.at("credwatch.toml");
    let text = fs::read_to_string(&config).unwrap();
    let without = text.replacen("roots = [", "environments = false\nroots = [", 1);
    fs::write(&config, without).unwrap();
    let daemon = Daemon::start(&place);
    holds_exactly(&daemon, needed_without_environments());
    daemon.stop();
}

#[test]
fn a_group_of_the_control_socket_is_one_more() {
    let _host = shared();
    let account = Account::new();
    let place = Place::with(&format!("[control]\ngroup = {:?}", account.name));
    let daemon = Daemon::start(&place);
    holds_exactly(&daemon, needed() | CHOWN);
    daemon.stop();
}

/// What loads the kernel half puts its classifiers at interfaces too, also at those that come later.
#[test]
fn a_gateway_takes_no_more() {
    a_gateway_takes(needed(), "auto");
}

/// Filters are no programs to the kernel, but a matter of its network.
#[test]
fn a_gateway_by_filters_takes_one_more() {
    a_gateway_takes(needed() | NET_ADMIN, "clsact");
}

fn a_gateway_takes(expected: u64, backend: &str) {
    let _host = shared();
    let place = Place::with(&format!(
        "[gateway]\ninterfaces = [\"gw0\"]\n[sensor]\nheartbeat = \"1s\"\nbackend = {backend:?}"
    ));
    let mut own_network = command("unshare", &[&"--net", &program_of_host("sh"), &"-ec"]);
    let line = "(sleep 2; ip link add gw0 type veth peer name gw1) & exec \"$@\"";
    own_network.args([line, "sh"]).arg(program());
    let daemon = Daemon::start_by(&place, own_network);
    place.until("the interface is watched", || {
        let hook = place.hook("gateway_flow");
        hook.attached && (backend == "auto" || hook.backend == format!("{backend} gw0"))
    });
    holds_exactly(&daemon, expected);
    daemon.stop();
}

/// The program without one capability.
fn without(capability: &str) -> Command {
    command(
        "setpriv",
        &[&format!("--bounding-set=-{capability}"), &program()],
    )
}

#[test]
fn each_of_them_is_needed() {
    let _host = shared();
    let account = Account::new();
    let fails = |place: &Place, capability: &str, says: &str| {
        let mut run = without(capability);
        run.arg("run")
            .arg("--config")
            .arg(place.at("credwatch.toml"));
        run.arg("--state-dir").arg(place.state());
        let done = act(&mut run);
        let errors = String::from_utf8_lossy(&done.output.stderr);
        assert_eq!(done.output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(says), "{errors}");
    };
    fails(&Place::new(), "sys_admin", "needs CAP_SYS_ADMIN");
    let group = format!("[control]\ngroup = {:?}", account.name);
    fails(&Place::with(&group), "chown", "Operation not permitted");

    let place = Place::new();
    let daemon = Daemon::start_by(&place, without("setuid"));
    let alert = place.wait("the self-test", |alert| alert.id == DetectionId::HookFailed);
    assert!(alert.summary.contains("self_test"), "{}", alert.summary);
    daemon.stop();

    let place = Place::new();
    let private = place.root().join("private");
    fs::create_dir(&private).unwrap();
    let key = SshKey::ed25519(private.join("key"));
    let own = SshKey::ed25519(place.root().join("own"));
    for path in [&key.path, &private] {
        chown(path, Some(account.uid), Some(account.gid)).unwrap();
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(path, mode).unwrap();
    }
    let daemon = Daemon::start_by(&place, without("dac_read_search"));
    place.known(&own.path);
    let known = place.credentials();
    assert!(known.iter().all(|of| !of.paths.contains(&key.path)));
    daemon.stop();
    let _daemon = Daemon::start(&place);
    place.known(&key.path);
}
