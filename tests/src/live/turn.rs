//! Turns on this host: which tests may run beside which, and how long one may take.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Once;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use super::daemon::patiently;

/// Tests that load the host, or count what happens on it, run alone: without others of this run and
/// of any other run on this host.
const LOCK: &str = "/var/tmp/credwatch-live.lock";
/// How long a turn may take. The longest takes three minutes on a busy host; one that takes longer
/// waits for something that never comes, and everybody would wait with it.
const TURN: Duration = Duration::from_mins(10);
/// How long others may keep a test waiting: those of this run, and a whole other run.
const WAIT: Duration = Duration::from_mins(40);

/// A turn on this host, until it is dropped.
pub(super) struct Turn {
    _lock: File,
    _limit: Limit,
}

/// For a test that does not mind others.
pub(super) fn shared() -> Turn {
    Turn::take(File::lock_shared)
}

/// For a test that must be alone.
pub(super) fn alone() -> Turn {
    Turn::take(File::lock)
}

impl Turn {
    fn take(wait: impl Fn(&File) -> std::io::Result<()>) -> Self {
        be_no_person();
        let mut options = File::options();
        let lock = options.create(true).append(true).open(LOCK).unwrap();
        let waits = Limit::of(WAIT, "waits for its turn");
        wait(&lock).unwrap();
        drop(waits);
        Self {
            _lock: lock,
            _limit: Limit::of(TURN, "runs"),
        }
    }
}

/// Whoever typed the command that runs these tests did not do what they do: without the terminal and
/// the login of that person this thread, and so all that it starts, is a machine's.
fn be_no_person() {
    static TERMINAL: Once = Once::new();
    TERMINAL.call_once(|| {
        if let Ok(terminal) = File::open("/dev/tty") {
            // SAFETY: the request takes no argument and changes nothing but whose terminal this is.
            let left = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCNOTTY) };
            assert_eq!(left, 0, "{}", std::io::Error::last_os_error());
        }
    });
    // Each thread has its own, and gives it to the threads and processes that it starts.
    match fs::write("/proc/thread-self/loginuid", u32::MAX.to_string()) {
        // A kernel without audit knows nobody.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        written => written.unwrap(),
    }
}

/// Whether a person's terminal or login is above this process all the same: what a test starts is then
/// by that person's hand, as the daemon sees it, and rightly.
pub(super) fn is_typed() -> bool {
    let above = std::iter::successors(parent(std::process::id()), |pid| parent(*pid));
    let is_person = |pid: u32| {
        let login = fs::read_to_string(format!("/proc/{pid}/loginuid")).unwrap_or_default();
        let terminal = stat(pid).and_then(|stat| stat.split(' ').nth(4)?.parse().ok());
        terminal.is_some_and(|terminal: i32| terminal != 0)
            || !["", "4294967295"].contains(&login.trim())
    };
    above.take_while(|pid| *pid != 0).any(is_person)
}

/// Ends the whole run when it is not dropped in time, and says what everybody was waiting for: a
/// thread that hangs in the kernel cannot be failed.
struct Limit(#[expect(dead_code, reason = "what counts is that it is dropped")] Sender<()>);

impl Limit {
    fn of(limit: Duration, does: &'static str) -> Self {
        let limit = patiently(limit);
        let test = thread::current().name().unwrap_or("a test").to_owned();
        let (ended, waits) = mpsc::channel();
        thread::spawn(move || {
            if waits.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                eprintln!(
                    "\n{test} {does} for {} s and does not end:",
                    limit.as_secs()
                );
                eprint!("{}", everybody());
                std::process::exit(101);
            }
        });
        Self(ended)
    }
}

/// What this process and its descendants are doing: each thread with its place in the kernel.
fn everybody() -> String {
    let mut said = String::new();
    let mut family = vec![std::process::id()];
    let mut next = 0;
    let all = numbers(Path::new("/proc"));
    while let Some(&pid) = family.get(next) {
        next += 1;
        family.extend(all.iter().filter(|of| parent(**of) == Some(pid)));
        let process = Path::new("/proc").join(pid.to_string());
        let read = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
        let line = read("cmdline").replace('\0', " ");
        said += &format!("{pid} (of {}): {line}\n", parent(pid).unwrap_or(0));
        for thread in numbers(&process.join("task")) {
            let read = |name: &str| read(&format!("task/{thread}/{name}"));
            let state = stat(thread).and_then(|stat| stat.chars().next());
            let stack: Vec<String> = read("stack").lines().map(str::to_owned).collect();
            said += &format!(
                "  {thread} {} {}: {}\n",
                read("comm").trim(),
                state.unwrap_or('?'),
                stack.join(" ").replace("[<0>] ", "")
            );
        }
    }
    said
}

/// The entries of a directory that are numbers.
fn numbers(directory: &Path) -> Vec<u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect()
}

/// What `/proc/PID/stat` says behind the name, which may hold anything: state, parent, group, session,
/// terminal.
fn stat(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.to_owned())
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.split(' ').nth(1)?.parse().ok()
}

#[test]
fn who_hangs_is_named_with_where() {
    let mut child = super::host::command("sleep", &[&"60"]).spawn().unwrap();
    let said = everybody();
    child.kill().unwrap();
    child.wait().unwrap();
    let (own, sleeps) = (std::process::id(), child.id());
    assert!(said.contains(&format!("{sleeps} (of {own}): ")), "{said}");
    assert!(said.contains("live::turn::who"), "{said}");
}
