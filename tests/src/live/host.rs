//! What tests need of the host: keys, accounts, programs, and acts whose process is known.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use monitor::model::{Alert, DetectionId, Timestamp};
use rustix::process::{Pid, Signal, kill_process};

use super::daemon::patiently;

/// The real path of a program: what the kernel says that a process runs.
pub(super) fn program(name: &str) -> PathBuf {
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("these tests need the program {name}"))
}

/// The first two numbers of this kernel's version.
pub(super) fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|of| of.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// The path that an alert gives for a program.
pub(super) fn exe(name: &str) -> String {
    let path = program(name).canonicalize().unwrap();
    path.to_str().unwrap().to_owned()
}

/// A command by its real path, so that no wrapper of this machine stands between.
pub(super) fn command(name: &str, args: &[&dyn AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = Command::new(program(name));
    command.args(args.iter().map(|arg| arg.as_ref()));
    command.stdin(Stdio::null());
    command
}

/// A line of Python.
pub(super) fn python(script: &str, args: &[&dyn AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = command("python3", &[&"-c", &script]);
    command.args(args.iter().map(|arg| arg.as_ref()));
    command
}

/// A process that has ended, and when it lived.
pub(super) struct Done {
    pub(super) pid: u32,
    pub(super) output: Output,
    before: Timestamp,
    after: Timestamp,
}

impl Done {
    /// Whether an alert is about this very process.
    pub(super) fn is(&self, id: DetectionId) -> impl Fn(&Alert) -> bool + use<> {
        let pid = self.pid;
        move |alert| alert.id == id && alert.process.as_ref().is_some_and(|of| of.pid == pid)
    }

    /// The alert's time is that of the act, to the tenth of a second.
    pub(super) fn assert_time(&self, alert: &Alert) {
        const TENTH: i64 = 100_000_000;
        let span = self.before.0 - TENTH..=self.after.0 + TENTH;
        assert!(span.contains(&alert.time.0), "{span:?}: {alert:#?}");
    }
}

/// Runs a command to its end, whatever that is.
pub(super) fn act(command: &mut Command) -> Done {
    let before = Timestamp::now();
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    Done {
        pid,
        output,
        before,
        after: Timestamp::now(),
    }
}

/// Runs a command that must succeed.
pub(super) fn run(command: &mut Command) -> Done {
    let done = act(command);
    assert!(
        done.output.status.success(),
        "{command:?}: {}{}",
        done.output.status,
        String::from_utf8_lossy(&done.output.stderr)
    );
    done
}

/// A process that says what it is at and goes on when it is told: a line each way.
pub(super) struct Partner {
    child: Child,
    said: BufReader<ChildStdout>,
    before: Timestamp,
}

impl Partner {
    /// Starts it and waits for its first line.
    pub(super) fn start(command: &mut Command) -> Self {
        let before = Timestamp::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut partner = Self {
            child,
            said,
            before,
        };
        partner.listen();
        partner
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its next line.
    pub(super) fn listen(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the process ended before its time");
        line.trim_end().to_owned()
    }

    /// Lets it go on.
    pub(super) fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Lets it go on to its end, which must be a good one.
    pub(super) fn finish(mut self) -> Done {
        self.go_on();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        Done {
            pid: self.child.id(),
            output: Output {
                status,
                stdout: Vec::new(),
                stderr: Vec::new(),
            },
            before: self.before,
            after: Timestamp::now(),
        }
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // One that has ended already is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An SSH key on disk.
pub(super) struct SshKey {
    pub(super) path: PathBuf,
    /// As `ssh-keygen -l` gives it.
    pub(super) fingerprint: String,
}

impl SshKey {
    /// Makes one of a type that ssh-keygen knows, without a passphrase.
    pub(super) fn new(path: PathBuf, kind: &str) -> Self {
        let comment = "live-test";
        run(&mut command(
            "ssh-keygen",
            &[
                &"-q", &"-t", &kind, &"-N", &"", &"-C", &comment, &"-f", &path,
            ],
        ));
        // By the public half, so that nobody reads the key itself.
        let public = path.with_file_name(format!(
            "{}.pub",
            path.file_name().unwrap().to_str().unwrap()
        ));
        let listed = run(&mut command("ssh-keygen", &[&"-l", &"-f", &public]));
        fs::remove_file(public).unwrap();
        let listed = String::from_utf8(listed.output.stdout).unwrap();
        let fingerprint = listed.split(' ').nth(1).unwrap().to_owned();
        assert!(fingerprint.starts_with("SHA256:"), "{listed}");
        Self { path, fingerprint }
    }

    pub(super) fn ed25519(path: PathBuf) -> Self {
        Self::new(path, "ed25519")
    }

    /// Whether an alert speaks of this key.
    pub(super) fn is_in(&self, alert: &Alert) -> bool {
        let credential = alert.credential.as_ref();
        credential.is_some_and(|of| of.fingerprint.as_str() == self.fingerprint)
    }
}

/// A real account, for as long as this lives.
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// useradd and userdel refuse to wait for each other.
static ACCOUNTS: Mutex<()> = Mutex::new(());

impl Account {
    /// A person's.
    pub(super) fn new() -> Self {
        Self::with(&["--shell", "/bin/sh"])
    }

    /// A service's: a uid below those of people, and no shell.
    pub(super) fn system() -> Self {
        Self::with(&["--system", "--shell", "/usr/sbin/nologin"])
    }

    fn with(options: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "cwlive-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let mut useradd = command("useradd", &[&"--no-create-home"]);
        change_accounts(useradd.args(options).arg(&name));
        let id = |flag: &str| -> u32 {
            let done = run(&mut command("id", &[&flag, &name]));
            let text = String::from_utf8(done.output.stdout).unwrap();
            text.trim().parse().unwrap()
        };
        Self {
            uid: id("-u"),
            gid: id("-g"),
            name,
        }
    }

    pub(super) fn selector(&self) -> String {
        format!("unix:user:{}", self.name)
    }

    /// A program run by this account: setpriv takes the uid, then runs it in the same process.
    pub(super) fn runs(&self, name: &str, args: &[&dyn AsRef<std::ffi::OsStr>]) -> Command {
        let mut command = command(
            "setpriv",
            &[
                &format!("--reuid={}", self.uid),
                &format!("--regid={}", self.gid),
                &"--clear-groups",
                &program(name),
            ],
        );
        command.args(args.iter().map(|arg| arg.as_ref()));
        command
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = command("userdel", &[&self.name]).output();
        } else {
            change_accounts(&mut command("userdel", &[&self.name]));
        }
    }
}

/// Runs useradd, userdel and their like, again while another process of this host has the lock.
pub(super) fn change_accounts(command: &mut Command) {
    let _turn = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let deadline = Instant::now() + patiently(Duration::from_secs(20));
    loop {
        let done = act(command);
        if done.output.status.success() {
            return;
        }
        let errors = String::from_utf8_lossy(&done.output.stderr);
        assert!(
            errors.contains("lock") && Instant::now() < deadline,
            "{command:?}: {errors}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A C program, compiled.
pub(super) fn compile(directory: &Path, name: &str, source: &str) -> PathBuf {
    let (from, to) = (directory.join(format!("{name}.c")), directory.join(name));
    fs::write(&from, source).unwrap();
    run(&mut command("cc", &[&"-O2", &"-o", &to, &from]));
    to
}

/// Sends a signal to one process, which this test started.
pub(super) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Stops a process, and returns when none of its threads runs any more: until the first of them has
/// taken the signal, the others go on.
pub(super) fn stop(pid: u32) {
    signal(pid, Signal::STOP);
    let deadline = Instant::now() + patiently(Duration::from_secs(10));
    let is_stopped = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap();
        // The state is the first word behind the name, which ends with the last bracket.
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    };
    while !fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .all(|thread| is_stopped(thread.unwrap()))
    {
        assert!(Instant::now() < deadline, "process {pid} does not stop");
        std::thread::sleep(Duration::from_millis(1));
    }
}
