//! Proof that every hook fires: a child process does one harmless act for each, and the counters
//! must move. The daemon's own acts are not events, so it has to be a child.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::Sensor;
use crate::model::FileId;

/// The hidden subcommand under which [`act`] runs.
pub const SUBCOMMAND: &str = "self-test";

const WATCHED: &str = "watched";
const SOCKET: &str = "socket";
/// How long hooks have to fire after the child is done: twice the longest wait of the ring.
const PATIENCE: Duration = Duration::from_secs(2);

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

/// Runs the test and says which attached hooks stayed silent.
///
/// # Errors
/// When the test itself could not be run: one sentence.
pub fn run(sensor: &Sensor, state_dir: &Path) -> Result<Vec<Silent>, String> {
    let directory = Sensor::self_test_directory(state_dir);
    let _listener = prepare(sensor, &directory)
        .map_err(|error| format!("self-test in {}: {error}", directory.display()))?;
    let before = sensor.hooks();
    let skipped = act_in_child(&directory)?;
    let deadline = Instant::now() + PATIENCE;
    let silent = loop {
        let silent: Vec<_> = sensor
            .hooks()
            .into_iter()
            .zip(&before)
            .filter(|(now, before)| now.attached && now.fired == before.fired)
            .filter(|(now, _)| now.name != "running_tasks" || now.fired == 0)
            .filter(|(now, _)| !skipped.iter().any(|(hook, _)| hook == now.name))
            .map(|(now, _)| Silent {
                hook: now.name,
                backend: now.backend,
                reason: format!(
                    "it is attached and did not fire in the self-test; not seen: {}",
                    now.blind_to
                ),
            })
            .collect();
        if silent.is_empty() || Instant::now() >= deadline {
            break silent;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    for (hook, why) in &skipped {
        tracing::info!(
            hook,
            why,
            "the self-test could not make this hook fire on this host"
        );
    }
    // Its inode's number goes to another file soon.
    let watched = directory.join(WATCHED);
    if let Ok(id) = file_id(&watched) {
        sensor.unwatch_file(id, &watched);
    }
    let _ = fs::remove_dir_all(&directory);
    Ok(silent)
}

fn prepare(sensor: &Sensor, directory: &Path) -> std::io::Result<UnixListener> {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    let watched = directory.join(WATCHED);
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&watched)?
        .write_all(b"no credential: the sensor's self-test reads this file\n")?;
    sensor
        .watch_file(file_id(&watched)?, &watched)
        .map_err(std::io::Error::other)?;
    let socket = directory.join(SOCKET);
    let listener = UnixListener::bind(&socket)?;
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

/// Runs the acts and returns the hooks whose act this host does not allow, with the reason.
fn act_in_child(directory: &Path) -> Result<Vec<(String, String)>, String> {
    let output = Command::new("/proc/self/exe")
        .arg(SUBCOMMAND)
        .arg(directory)
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

/// The child's part: one act per hook. Prints `hook<TAB>reason` for each act that this host does
/// not allow, so that its silence is not taken for blindness.
///
/// # Errors
/// When an act fails that every host allows.
pub fn act(directory: &Path) -> std::io::Result<()> {
    let watched = directory.join(WATCHED);
    let mut content = Vec::new();
    File::open(&watched)?.read_to_end(&mut content)?;
    if on_memory_file_system(directory) {
        for hook in ["file_read", "file_map", "file_fault", "file_write"] {
            println!("{hook}\tthe state directory lies on tmpfs");
        }
    }
    map(&watched, content.len())?;
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(directory.join("written"))?
        .write_all(b"not a copy\n")?;
    // The discard port: refused at once wherever nothing listens, and harmless where it does.
    for (family, connect, send) in [
        ("127.0.0.1", "connect4", "sendmsg4"),
        ("[::1]", "connect6", "sendmsg6"),
    ] {
        let to: SocketAddr = format!("{family}:9")
            .parse()
            .map_err(std::io::Error::other)?;
        match UdpSocket::bind(SocketAddr::new(to.ip(), 0)) {
            Ok(socket) => {
                let _ = TcpStream::connect_timeout(&to, Duration::from_millis(500));
                let _ = socket.send_to(b"", to);
            }
            Err(error) => {
                println!("{connect}\tno address of this family: {error}");
                println!("{send}\tno address of this family: {error}");
            }
        }
    }
    UnixStream::connect(directory.join(SOCKET))?.write_all(b".")?;
    // Only this thread, by the bare system call; it is the last act anyway.
    rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534))?;
    Ok(())
}

/// Maps the file and touches it twice: a read is served from the page cache around the fault, a
/// write to a private mapping must fetch the page itself.
fn map(path: &Path, len: usize) -> std::io::Result<()> {
    let file = File::open(path)?;
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    for write in [false, true] {
        // SAFETY: a fresh private mapping of `len` bytes of a file that nobody truncates: it was
        // made for this test. It is touched only here and unmapped at once.
        unsafe {
            let at = mmap(
                std::ptr::null_mut(),
                len,
                protection,
                MapFlags::PRIVATE,
                &file,
                0,
            )?;
            let byte = at.cast::<u8>();
            if write {
                byte.write_volatile(b'.');
            } else {
                byte.read_volatile();
            }
            munmap(at, len)?;
        }
    }
    Ok(())
}

fn on_memory_file_system(path: &Path) -> bool {
    !super::marks::has_page_cache_reads(path)
}
