//! Objects of a cluster that are really deleted, at a real API server: their tokens are dead, and
//! whoever uses one is told of.
//!
//! With `cargo xtask kubernetes`, which builds the API server.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use monitor::control::protocol::{CredentialView, IdentityView};
use monitor::model::{Alert, CredentialKind, CredentialState, DetectionId, Severity};
use tempfile::TempDir;

use super::api_server::ApiServer;
use super::daemon::{Daemon, Place, patiently};
use super::host::{SshKey, command, run};
use super::turn::shared;

const READ: DetectionId = DetectionId::RetiredCredentialRead;
const API: DetectionId = DetectionId::HookFailed;
const NODE: &str = "node-1";
/// A token's volume is on tmpfs, where the kubelet keeps it.
const TMPFS: &str = "/dev/shm";

/// A projected volume of a pod, as the kubelet lays it out.
struct Volume(TempDir);

impl Volume {
    fn new(token: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("credwatch-live-pod-")
            .tempdir_in(TMPFS)
            .unwrap();
        let volume = Self(directory);
        volume.put("..2026_01", token);
        symlink("..data/token", volume.token()).unwrap();
        volume
    }

    /// Puts a version in place: a directory of its own, and one link that leads there.
    fn put(&self, version: &str, token: &str) {
        let directory = self.0.path().join(version);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("token"), token).unwrap();
        let next = self.0.path().join("..data_tmp");
        symlink(version, &next).unwrap();
        fs::rename(next, self.0.path().join("..data")).unwrap();
    }

    fn token(&self) -> PathBuf {
        self.0.path().join("token")
    }
}

/// A daemon's place that looks into these volumes and watches this API.
fn place(server: &ApiServer, volumes: &[&Volume], more: &str) -> Place {
    let kubeconfig = server.kubeconfig();
    let place = Place::with(&format!(
        "{more}\n[kubernetes]\napi = true\nkubeconfig = {kubeconfig:?}\nnode = {NODE:?}"
    ));
    let config = place.at("credwatch.toml");
    let text = fs::read_to_string(&config).unwrap();
    let mut roots = "roots = [".to_owned();
    for volume in volumes {
        roots += &format!("{:?}, ", volume.0.path());
    }
    fs::write(&config, text.replacen("roots = [", &roots, 1)).unwrap();
    place
}

/// Waits for as long as a busy API server needs.
fn until(place: &Place, what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + patiently(Duration::from_secs(120));
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "it did not come about: {what}\n{:?}\ndaemon: {}",
            place.status().kubernetes,
            place.log()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until the daemon knows so many accounts and pods.
fn knows(place: &Place, accounts: u64, pods: u64) {
    until(place, &format!("{accounts} accounts, {pods} pods"), || {
        let known = place.status().kubernetes;
        known.is_some_and(|of| (of.accounts, of.pods) == (accounts, pods) && of.away.is_none())
    });
}

fn at(place: &Place, path: &Path) -> CredentialView {
    place.known(path)
}

fn state(place: &Place, selector: &str) -> Option<CredentialState> {
    let all: Vec<IdentityView> = place.ask(&["identities"]);
    let mut all = all.into_iter();
    all.find(|of| of.selector.as_str() == selector)
        .map(|of| of.state)
}

fn is_retired(place: &Place, path: &Path) -> bool {
    at(place, path).state == CredentialState::Retired
}

/// Reads a file and expects that it is told as the use of what is retired. Each read of one token is by
/// another program: else it is a repeat.
fn read_is_told(place: &Place, with: &str, path: &Path) -> Alert {
    let done = run(&mut command(with, &[&path]));
    place.wait("a read of a dead token", done.is(READ))
}

#[test]
fn a_deleted_account_is_offboarded_and_one_that_is_made_again_is_another() {
    let _host = shared();
    let server = ApiServer::start();
    server.give_rights();
    server.make_namespace("prod");
    server.make_account("prod", "api");
    server.make_account("prod", "other");
    let uid = server.make_pod("prod", "api-1", "api", NODE);
    let token = server.token("prod", "api", Some(("api-1", &uid)));
    let other = server.token("prod", "other", None);
    let (volume, others) = (Volume::new(&token), Volume::new(&other));
    let place = place(
        &server,
        &[&volume, &others],
        "[offboard]\nremoval_grace = \"3s\"",
    );
    let _daemon = Daemon::start(&place);
    knows(&place, 2, 1);
    let known = at(&place, &volume.token());
    assert_eq!(known.kind, CredentialKind::KubernetesServiceAccountToken);
    assert_eq!(known.owner.unwrap().as_str(), "k8s:sa:prod/api");
    assert_eq!(known.state, CredentialState::Active);
    assert!(server.takes(&token));
    let done = run(&mut command("cat", &[&volume.token()]));
    place.silent("a token that is good", done.is(READ));

    server.delete_account("prod", "api");
    until(&place, "the account is offboarded", || {
        is_retired(&place, &volume.token())
    });
    // It remembers for ten seconds whom it has let in.
    until(&place, "the API server takes it no more", || {
        !server.takes(&token)
    });
    let known = at(&place, &volume.token());
    assert_eq!(known.retired_by.as_deref(), Some("credwatch"));
    let reason = known.reason.unwrap();
    assert!(reason.starts_with("its service account"), "{reason}");
    let selector = "k8s:sa:prod/api";
    let retired = Some(CredentialState::Retired);
    until(&place, "so is its name", || {
        state(&place, selector) == retired
    });
    let alert = read_is_told(&place, "cat", &volume.token());
    assert!(
        alert.summary.contains("its service account"),
        "{}",
        alert.summary
    );
    let done = run(&mut command("cat", &[&others.token()]));
    place.silent("a token of another account", done.is(READ));

    // One of the same name is another.
    server.make_account("prod", "api");
    until(&place, "the name is good again", || {
        state(&place, selector) != retired
    });
    assert!(is_retired(&place, &volume.token()) && !server.takes(&token));
    let next = server.token("prod", "api", None);
    volume.put("..2026_02", &next);
    until(&place, "its token is known", || {
        !is_retired(&place, &volume.token())
    });
    let done = run(&mut command("cat", &[&volume.token()]));
    place.silent("a token of the new account", done.is(READ));
    // What was copied before is still dead.
    let copy = place.root().join("copy");
    fs::write(&copy, &token).unwrap();
    until(&place, "the copy is known", || is_retired(&place, &copy));
    read_is_told(&place, "head", &copy);
}

#[test]
fn a_deleted_pod_takes_its_tokens_along_at_once_and_a_copy_that_comes_later() {
    let _host = shared();
    let server = ApiServer::start();
    server.give_rights();
    server.make_namespace("prod");
    server.make_account("prod", "api");
    let pods = ["api-1", "api-2", "api-3"].map(|name| {
        let uid = server.make_pod("prod", name, "api", NODE);
        server.token("prod", "api", Some((name, &uid)))
    });
    server.make_pod("prod", "elsewhere", "api", "node-2");
    let [first, second, third] = &pods;
    let (gone, there) = (Volume::new(first), Volume::new(second));
    // An hour of grace is for accounts alone.
    let place = place(&server, &[&gone, &there], "");
    let _daemon = Daemon::start(&place);
    // The pod of the other node is none of this one's.
    knows(&place, 1, 3);
    assert_eq!(at(&place, &gone.token()).state, CredentialState::Active);
    for name in ["api-1", "api-3"] {
        server.delete_pod("prod", name);
    }
    until(&place, "the pod's token is retired", || {
        is_retired(&place, &gone.token())
    });
    assert!(!server.takes(first) && server.takes(second));
    assert_eq!(
        at(&place, &gone.token()).reason.as_deref(),
        Some("its pod k8s:pod:prod/api-1 was deleted")
    );
    let alert = read_is_told(&place, "cat", &gone.token());
    assert!(
        alert.summary.contains("api-1 was deleted"),
        "{}",
        alert.summary
    );
    let done = run(&mut command("cat", &[&there.token()]));
    place.silent("the token of a pod that is there", done.is(READ));
    assert_ne!(
        state(&place, "k8s:sa:prod/api"),
        Some(CredentialState::Retired)
    );

    // Nobody knew this one while its pod was there.
    knows(&place, 1, 1);
    let copy = place.root().join("copy");
    fs::write(&copy, third).unwrap();
    until(&place, "the copy is known", || is_retired(&place, &copy));
    read_is_told(&place, "head", &copy);
}

#[test]
fn what_is_deleted_while_no_daemon_runs_is_noticed_at_the_next_start() {
    let _host = shared();
    let server = ApiServer::start();
    server.give_rights();
    server.make_namespace("prod");
    for name in ["gone", "stays"] {
        server.make_account("prod", name);
    }
    let uid = server.make_pod("prod", "stays-1", "stays", NODE);
    let gone = Volume::new(&server.token("prod", "gone", None));
    let stays = Volume::new(&server.token("prod", "stays", None));
    let pod = Volume::new(&server.token("prod", "stays", Some(("stays-1", &uid))));
    let volumes = [&gone, &stays, &pod];
    let place = place(&server, &volumes, "[offboard]\nremoval_grace = \"3s\"");
    let daemon = Daemon::start(&place);
    knows(&place, 2, 1);
    daemon.stop();
    server.delete_account("prod", "gone");
    server.delete_pod("prod", "stays-1");
    server.make_account("prod", "new");
    let daemon = Daemon::start(&place);
    knows(&place, 2, 0);
    until(&place, "both are retired", || {
        is_retired(&place, &gone.token()) && is_retired(&place, &pod.token())
    });
    assert_eq!(at(&place, &stays.token()).state, CredentialState::Active);
    read_is_told(&place, "cat", &gone.token());
    // It stays so, and whoever gives one back is heard.
    place.restore(pod.token());
    daemon.stop();
    let _daemon = Daemon::start(&place);
    knows(&place, 2, 0);
    assert!(is_retired(&place, &gone.token()));
    assert!(!is_retired(&place, &pod.token()));
}

#[test]
fn an_api_server_that_is_away_is_told_once_and_nothing_is_lost_by_it() {
    let _host = shared();
    let mut server = ApiServer::start();
    server.give_rights();
    server.make_namespace("prod");
    for name in ["gone", "stays"] {
        server.make_account("prod", name);
    }
    let gone = Volume::new(&server.token("prod", "gone", None));
    let place = place(&server, &[&gone], "[offboard]\nremoval_grace = \"1s\"");
    let key = SshKey::ed25519(place.root().join("key"));
    let _daemon = Daemon::start(&place);
    knows(&place, 2, 0);
    server.kill();
    until(&place, "status tells that it is away", || {
        let known = place.status().kubernetes;
        known.is_some_and(|of| of.away.is_some())
    });
    // Everything else goes on.
    place.retire(&key.path);
    let done = run(&mut command("cat", &[&key.path]));
    assert!(key.is_in(&place.wait("a retired key", done.is(READ))));
    let is_away = |alert: &Alert| alert.id == API && alert.summary.contains("kubernetes_api");
    until(&place, "it is told", || !place.all(is_away).is_empty());
    let told = place.all(is_away);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].severity, Severity::Medium);
    assert!(told[0].summary.contains("refused"), "{}", told[0].summary);

    // Before the daemon comes by again.
    server.start_again();
    server.delete_account("prod", "gone");
    until(&place, "what was deleted is noticed", || {
        is_retired(&place, &gone.token())
    });
    knows(&place, 1, 0);
    // The watch is in place again, and not only a list.
    server.make_account("prod", "later");
    knows(&place, 2, 0);
    server.delete_account("prod", "later");
    knows(&place, 1, 0);
    let news = place.all(|alert| is_away(alert) && alert.alert_id != told[0].alert_id);
    assert!(news.is_empty(), "{news:#?}");
}

#[test]
fn a_daemon_without_the_right_says_so_and_watches_once_it_has_it() {
    let _host = shared();
    let server = ApiServer::start();
    server.make_namespace("prod");
    server.make_account("prod", "api");
    let volume = Volume::new(&server.token("prod", "api", None));
    let place = place(&server, &[&volume], "");
    let _daemon = Daemon::start(&place);
    let is_refused = |alert: &Alert| alert.id == API && alert.summary.contains("forbidden");
    until(&place, "it is told", || !place.all(is_refused).is_empty());
    assert_eq!(at(&place, &volume.token()).state, CredentialState::Active);
    server.give_rights();
    knows(&place, 1, 0);
}
