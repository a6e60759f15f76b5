//! A daemon of one test: its own state, configuration, registry and sink, and a whole host to see.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use monitor::control::protocol::{ChangeView, CredentialView, HookStatus, Status};
use monitor::model::{Alert, Usage};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::host::signal;

/// How long an alert may take to come out of the sink. It takes milliseconds; this machine may be
/// busy.
const SOON: Duration = Duration::from_secs(8);
/// How long a daemon may take to start, or to stop.
const START: Duration = Duration::from_secs(30);
/// How many times as long as elsewhere everything may take here, and is waited for: an emulated
/// machine is that much slower.
const PATIENCE: &str = "CREDWATCH_TEST_PATIENCE";

/// A time to wait, on this machine.
pub(super) fn patiently(time: Duration) -> Duration {
    static FACTOR: OnceLock<u32> = OnceLock::new();
    let factor = FACTOR.get_or_init(|| match std::env::var(PATIENCE) {
        Ok(factor) => factor
            .parse()
            .unwrap_or_else(|_| panic!("{PATIENCE} is no whole number: {factor}")),
        Err(_) => 1,
    });
    time * *factor
}

/// Whether an alert is about an act of this test program, or about the daemon itself: others may be
/// at work on this host.
pub(super) fn is_own(alert: &Alert) -> bool {
    let test = std::process::id();
    alert.process.as_ref().is_none_or(|process| {
        process.pid == test || process.ancestors.iter().any(|of| of.pid == test)
    })
}

/// The daemon under test: the one that is named, else one built from these sources.
pub(super) fn program() -> PathBuf {
    std::env::var_os("CREDWATCH_BIN")
        .map_or_else(|| crate::cli::program().to_owned(), PathBuf::from)
}

/// A test's directory on the disk, with all that its daemon has.
pub(super) struct Place {
    directory: TempDir,
    state: PathBuf,
}

impl Place {
    /// With a daemon that looks for credentials below `root` only, and repeats end after a minute.
    pub(super) fn new() -> Self {
        Self::with("")
    }

    /// The same with more configuration.
    pub(super) fn with(more: &str) -> Self {
        let uid = rustix::process::geteuid();
        assert!(uid.is_root(), "live tests need root: run them with sudo");
        let directory = tempfile::Builder::new()
            .prefix("credwatch-live-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let place = Self {
            state: directory.path().join("state"),
            directory,
        };
        // Other accounts come by here; the state directory is the daemon's own.
        open_to_all(place.directory.path());
        for name in ["root", "registry.d"] {
            fs::create_dir(place.at(name)).unwrap();
            open_to_all(&place.at(name));
        }
        // Other tests have daemons of their own, which look at what this one guards.
        let config = format!(
            "[discovery]\nroots = [{:?}]\n[registry]\ndirectory = {:?}\n\
             [detection.system_secrets]\nallowed = [\"/**/credwatch\"]\n\
             [[users]]\ncredentials = [\"/**\"]\nallowed = [\"/**/credwatch\"]\n\
             [detection.process_memory]\nallowed = [\"/**/credwatch\"]\n\
             [[sinks]]\ntype = \"json\"\npath = {:?}\n{more}\n",
            place.root(),
            place.at("registry.d"),
            place.at("alerts.jsonl"),
        );
        fs::write(place.at("credwatch.toml"), config).unwrap();
        place
    }

    /// With its state elsewhere.
    pub(super) fn keep_state_in(&mut self, directory: &Path) {
        self.state = directory.to_owned();
    }

    /// A path in the test's directory.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the daemon looks for credentials.
    pub(super) fn root(&self) -> PathBuf {
        self.at("root")
    }

    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// A client, to be run by whoever is wanted.
    pub(super) fn client(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(args)
            .env("CREDWATCH_STATE_DIR", &self.state)
            .stdin(Stdio::null());
        command
    }

    /// What a client prints as JSON, once it has succeeded.
    pub(super) fn ask<T: DeserializeOwned>(&self, args: &[&str]) -> T {
        let args = [args, &["--output", "json"]].concat();
        let output = self.client(&args).output().unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(super) fn retire(&self, target: impl AsRef<Path>) -> Vec<ChangeView> {
        let target = target.as_ref().to_str().unwrap();
        self.ask(&["retire", target, "--reason", "moved to OIDC"])
    }

    pub(super) fn restore(&self, target: impl AsRef<Path>) -> Vec<ChangeView> {
        self.ask(&["restore", target.as_ref().to_str().unwrap()])
    }

    pub(super) fn status(&self) -> Status {
        self.ask(&["status"])
    }

    pub(super) fn hook(&self, name: &str) -> HookStatus {
        let hooks = self.status().hooks.into_iter();
        hooks.into_iter().find(|hook| hook.name == name).unwrap()
    }

    pub(super) fn credentials(&self) -> Vec<CredentialView> {
        self.ask(&["credentials"])
    }

    pub(super) fn usage(&self) -> Vec<Usage> {
        self.ask(&["usage"])
    }

    pub(super) fn stored_alerts(&self) -> Vec<Alert> {
        self.ask(&["alerts", "--limit", "1000"])
    }

    /// What the sink has written so far.
    pub(super) fn alerts(&self) -> Vec<Alert> {
        let text = fs::read_to_string(self.at("alerts.jsonl")).unwrap_or_default();
        // The last line may be half written.
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Those that a test is about.
    pub(super) fn all(&self, is: impl Fn(&Alert) -> bool) -> Vec<Alert> {
        self.alerts().into_iter().filter(is).collect()
    }

    /// The first alert of this kind, once it has come.
    pub(super) fn wait(&self, what: &str, is: impl Fn(&Alert) -> bool) -> Alert {
        let deadline = Instant::now() + patiently(SOON);
        loop {
            if let Some(alert) = self.alerts().into_iter().find(&is) {
                return alert;
            }
            if Instant::now() >= deadline {
                // What matters last: of much output the end is read.
                panic!(
                    "daemon: {}\ninstead: {:#?}\nno alert came: {what}",
                    self.log(),
                    self.alerts()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until something holds.
    pub(super) fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + patiently(SOON);
        while !holds() {
            assert!(
                Instant::now() < deadline,
                "daemon: {}\nit did not come about: {what}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until discovery has come by: this path is known.
    pub(super) fn known(&self, path: &Path) -> CredentialView {
        let find = || {
            let all = self.credentials().into_iter();
            all.into_iter()
                .find(|credential| credential.paths.iter().any(|known| known == path))
        };
        let what = format!("{} becomes known", path.display());
        self.until(&what, || find().is_some());
        find().unwrap()
    }

    /// Nothing like this comes, although what happened has been taken in.
    pub(super) fn silent(&self, what: &str, is: impl Fn(&Alert) -> bool) {
        std::thread::sleep(patiently(Duration::from_millis(1_200)));
        let found = self.all(is);
        assert!(found.is_empty(), "{what}: {found:#?}");
    }

    /// What the daemon said on stderr.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.at("stderr")).unwrap_or_default()
    }
}

/// A running daemon. It is killed when it is dropped.
pub(super) struct Daemon<'a> {
    place: &'a Place,
    child: Child,
}

impl<'a> Daemon<'a> {
    /// Starts it and waits until it is ready.
    pub(super) fn start(place: &'a Place) -> Self {
        Self::start_with(place, |_| {})
    }

    /// The same with a say in how.
    pub(super) fn start_with(place: &'a Place, adapt: impl FnOnce(&mut Command)) -> Self {
        Self::launch(place, Command::new(program()), adapt)
    }

    /// The same by a command to which the daemon's own arguments are added.
    pub(super) fn start_by(place: &'a Place, command: Command) -> Self {
        Self::launch(place, command, |_| {})
    }

    fn launch(place: &'a Place, mut command: Command, adapt: impl FnOnce(&mut Command)) -> Self {
        let append = |name: &str| {
            let mut options = File::options();
            options
                .create(true)
                .append(true)
                .open(place.at(name))
                .unwrap()
        };
        command
            .arg("run")
            .arg("--config")
            .arg(place.at("credwatch.toml"))
            .arg("--state-dir")
            .arg(place.state())
            .env_remove("CREDWATCH_STATE_DIR")
            .env("CREDWATCH_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(append("stdout"))
            .stderr(append("stderr"));
        adapt(&mut command);
        let mut daemon = Self {
            place,
            child: command.spawn().unwrap(),
        };
        daemon.wait_until_ready();
        daemon
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + patiently(START);
        loop {
            let output = self.place.client(&["status", "--output", "json"]).output();
            let output: Output = output.unwrap();
            let status = serde_json::from_slice::<Status>(&output.stdout);
            if status.is_ok_and(|status| status.ready && status.pid == self.child.id()) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the daemon did not become ready ({ended:?}): {}",
                self.place.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as an operator would: it must end well and soon.
    pub(super) fn stop(self) {
        signal(self.child.id(), rustix::process::Signal::TERM);
        self.ended_well();
    }

    /// Waits until it has ended as it was told to.
    pub(super) fn ended_well(mut self) {
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{status}: {}", self.place.log());
        let log = self.place.log();
        assert!(!log.contains("panicked"), "{log}");
    }

    /// Ends it as a power cut would.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.ended().signal(), Some(9));
    }

    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + patiently(START);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the daemon does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // One that has ended already is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everybody may enter and read.
pub(super) fn open_to_all(directory: &Path) {
    fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
}
