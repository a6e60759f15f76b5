//! Proof that every hook works: a child process does one harmless act for each, and each must come
//! through its hook and the rings to the daemon. The daemon's own acts are not events, so it has to
//! be a child.

mod acts;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub use acts::{SUBCOMMAND, act};

use super::{HookState, Sensor};
use crate::model::FileId;

const WATCHED: &str = "watched";
const SOCKET: &str = "socket";
/// How long hooks have to fire after the child is done: twice the longest wait of the ring.
const PATIENCE: Duration = Duration::from_secs(2);
/// Hooks that the test's acts do not reach: one that works at start only, and one to which packets must
/// come from elsewhere.
const UNTESTED: &[&str] = &["running_tasks", "gateway_flow"];
/// A host that takes long for the acts takes long to tell of them: so many times as long as they took is
/// waited for, at most [`LONGEST`].
const TIMES: u32 = 4;
const LONGEST: Duration = Duration::from_secs(30);
/// Hooks that tell only of what others have kept: they are silent where those are.
const STANDS_UPON: &[(&str, &[&str])] = &[("socket_close", &["connect4", "connect6"])];

/// A hook that is in place and did not fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    /// The hook.
    pub hook: &'static str,
    /// Its backend.
    pub backend: String,
    /// What that means.
    pub reason: String,
}

/// What the acts are done to.
pub struct SelfTest {
    directory: PathBuf,
    /// Nobody is answered: the other end only has to be there.
    _listener: UnixListener,
}

impl SelfTest {
    /// Makes a file and a socket of its own below the state directory, and has them watched.
    ///
    /// # Errors
    /// When that is not possible: one sentence.
    pub fn new(sensor: &Sensor, state_dir: &Path) -> Result<Self, String> {
        let directory = state_dir.join("self-test");
        match prepare(sensor, &directory) {
            Ok(listener) => Ok(Self {
                directory,
                _listener: listener,
            }),
            Err(error) => Err(format!("self-test in {}: {error}", directory.display())),
        }
    }

    /// Finds for each hook a backend that fires. Returns the hooks for which there is none.
    ///
    /// # Errors
    /// When the test itself could not be run: one sentence.
    pub fn settle(&self, sensor: &Sensor) -> Result<Vec<HookState>, String> {
        loop {
            let silent = self.beat(sensor)?;
            if silent.is_empty() {
                break;
            }
            for silent in silent {
                let found = sensor.fall(silent.hook);
                let Silent { hook, backend, .. } = silent;
                tracing::warn!(hook, backend, found, "attached, and it does not fire");
            }
        }
        sensor.settle();
        let hooks = sensor.hooks().into_iter();
        Ok(hooks.filter(|hook| !hook.attached).collect())
    }

    /// Makes every hook fire once, and says which did not.
    ///
    /// # Errors
    /// When the test itself could not be run: one sentence.
    pub fn beat(&self, sensor: &Sensor) -> Result<Vec<Silent>, String> {
        let before = sensor.hooks();
        let start = Instant::now();
        let skipped = self.act_in_child()?;
        let deadline = Instant::now() + patience(start.elapsed());
        loop {
            let mut silent: Vec<_> = sensor
                .hooks()
                .into_iter()
                .filter(|now| now.attached && !UNTESTED.contains(&now.name))
                .filter(|now| !skipped.iter().any(|(hook, _)| hook == now.name))
                .filter(|now| {
                    let before = before.iter().find(|before| before.name == now.name);
                    // An act that is told with another of the same process has come through too.
                    before.is_none_or(|before| {
                        now.heard == before.heard && now.folded == before.folded
                    })
                })
                .map(|now| Silent {
                    hook: now.name,
                    reason: format!(
                        "it is attached and did not fire in the self-test; not seen: {}",
                        now.blind_to
                    ),
                    backend: now.backend,
                })
                .collect();
            if silent.is_empty() || Instant::now() >= deadline {
                for (hook, why) in &skipped {
                    tracing::debug!(hook, why, "the self-test cannot make this hook fire here");
                }
                leave_out_consequences(&mut silent);
                return Ok(silent);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Takes the file and the socket away. Its inode's number goes to another file soon.
    pub fn end(self, sensor: &Sensor) {
        let watched = self.directory.join(WATCHED);
        if let Ok(id) = file_id(&watched) {
            sensor.unwatch_file(id, &watched);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }

    /// Runs the acts and returns the hooks whose act this host does not allow, with the reason.
    fn act_in_child(&self) -> Result<Vec<(String, String)>, String> {
        let output = Command::new("/proc/self/exe")
            .arg(SUBCOMMAND)
            .arg(&self.directory)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("the self-test's child did not start: {error}"))?;
        if !output.status.success() {
            return Err(format!(
                "the self-test's child failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ));
        }
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(hook, why)| (hook.to_owned(), why.to_owned()))
            .collect())
    }
}

/// How long is waited for what hooks have to tell of acts that took so long.
fn patience(took: Duration) -> Duration {
    (took * TIMES).clamp(PATIENCE, LONGEST)
}

/// One cause is told once, and a hook does not fall for another's silence: when that one works again, so
/// does this.
fn leave_out_consequences(silent: &mut Vec<Silent>) {
    let names: Vec<_> = silent.iter().map(|of| of.hook).collect();
    silent.retain(|of| {
        let mut upon = STANDS_UPON.iter().filter(|(hook, _)| *hook == of.hook);
        !upon.any(|(_, others)| others.iter().any(|other| names.contains(other)))
    });
}

/// What the cheapest system call takes, in nanoseconds: the least of several rounds.
pub(super) fn system_call_ns() -> f64 {
    const ROUNDS: u32 = 20;
    const CALLS: u32 = 20_000;
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                std::hint::black_box(rustix::process::getppid());
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
        })
        .fold(f64::INFINITY, f64::min)
}

fn prepare(sensor: &Sensor, directory: &Path) -> std::io::Result<UnixListener> {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory)?;
    // The acts include an open that the file's own mode refuses, which a closed directory would
    // refuse before.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o711))?;
    let watched = directory.join(WATCHED);
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&watched)?;
    file.write_all(b"no credential: the sensor's self-test reads this file\n")?;
    // A page that waits to be written back cannot become dirty.
    file.sync_all()?;
    sensor
        .watch_file(file_id(&watched)?, &watched)
        .map_err(std::io::Error::other)?;
    let socket = directory.join(SOCKET);
    let listener = UnixListener::bind(&socket)?;
    listener.set_nonblocking(true)?;
    sensor
        .watch_socket(file_id(&socket)?, &socket)
        .map_err(std::io::Error::other)?;
    Ok(listener)
}

fn file_id(path: &Path) -> std::io::Result<FileId> {
    fs::metadata(path).map(|metadata| FileId {
        dev: metadata.dev(),
        ino: metadata.ino(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(hooks: &[&'static str]) -> Vec<&'static str> {
        let silent = hooks.iter().map(|&hook| Silent {
            hook,
            backend: String::new(),
            reason: String::new(),
        });
        let mut silent = silent.collect();
        leave_out_consequences(&mut silent);
        silent.iter().map(|of| of.hook).collect()
    }

    #[test]
    fn what_stands_upon_a_silent_hook_is_no_cause_of_its_own() {
        assert_eq!(
            left(&["connect4", "socket_close", "dns"]),
            ["connect4", "dns"]
        );
        assert_eq!(left(&["socket_close", "dns"]), ["socket_close", "dns"]);
    }

    #[test]
    fn a_starved_host_is_waited_for_and_not_for_ever() {
        let of = |millis| patience(Duration::from_millis(millis)).as_millis();
        assert_eq!([of(40), of(2_500), of(90_000)], [2_000, 10_000, 30_000]);
    }

    #[test]
    fn hooks_are_called_what_they_are() {
        let known = |name: &str| monitor_common::Hook::ALL.iter().any(|of| of.name() == name);
        for (hook, others) in STANDS_UPON {
            assert!(known(hook) && others.iter().all(|other| known(other)));
        }
        assert!(UNTESTED.iter().all(|hook| known(hook)));
    }
}
