//! Reaching into other processes, their sockets and the system's own files: CW-205 to CW-208.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use monitor::model::{Alert, DetectionId, Severity};

use super::daemon::{Daemon, Place, open_to_all};
use super::host::{Account, Done, Partner, SshKey, act, command, exe, program, python, run};
use super::turn::shared;

const ENVIRON: DetectionId = DetectionId::EnvironScrape;
const MEMORY: DetectionId = DetectionId::MemoryScrape;
const SOCKET: DetectionId = DetectionId::ControlSocket;
const SYSTEM: DetectionId = DetectionId::SystemSecret;

/// An account's process that has a key in its memory, and waits.
fn holder(account: &Account, key: &SshKey) -> Partner {
    chown(&key.path, Some(account.uid), Some(account.gid)).unwrap();
    Partner::start(&mut account.runs(
        "python3",
        &[
            &"-c",
            &"import sys\n\
              kept = open(sys.argv[1]).read()\n\
              print('up', flush=True)\n\
              sys.stdin.readline()",
            &key.path,
        ],
    ))
}

/// The alert is about this act, on this process.
fn assert_target(alert: &Alert, done: &Done, target: &Partner, account: &Account) {
    done.assert_time(alert);
    assert_eq!(alert.identity.as_ref().unwrap().as_str(), "unix:user:root");
    assert_eq!(alert.process.as_ref().unwrap().exe, Some(exe("python3")));
    let of = alert.target.as_ref().unwrap();
    assert_eq!((of.pid, of.uid), (target.pid(), account.uid), "{alert:#?}");
    assert_eq!(of.exe, Some(exe("python3")));
}

#[test]
fn root_reads_the_environment_of_another_account() {
    let _host = shared();
    let place = Place::new();
    let account = Account::new();
    let _daemon = Daemon::start(&place);
    let target = Partner::start(
        account
            .runs("sh", &[&"-c", &"echo up; read line"])
            .env("TOKEN", "planted"),
    );
    let environ = format!("/proc/{}/environ", target.pid());
    let done = run(&mut python(
        "import sys\nassert b'TOKEN' in open(sys.argv[1], 'rb').read()",
        &[&environ],
    ));
    let alert = place.wait("an environment is read", done.is(ENVIRON));
    done.assert_time(&alert);
    assert_eq!(alert.severity, Severity::High);
    let of = alert.target.as_ref().unwrap();
    assert_eq!((of.pid, of.uid), (target.pid(), account.uid));
    assert!(alert.summary.contains("read the environment of"));

    // Its own is its own.
    let own = run(&mut account.runs("cat", &[&environ]));
    place.silent("an environment of one's own", own.is(ENVIRON));
    target.finish();
}

#[test]
fn an_environment_that_is_refused_was_tried() {
    let _host = shared();
    let place = Place::new();
    let (account, other) = (Account::new(), Account::new());
    let _daemon = Daemon::start(&place);
    let target = Partner::start(&mut account.runs("sh", &[&"-c", &"echo up; read line"]));
    let environ = format!("/proc/{}/environ", target.pid());
    let refused = act(&mut other.runs("cat", &[&environ]));
    assert!(!refused.output.status.success());
    let alert = place.wait("an environment is refused", refused.is(ENVIRON));
    assert_eq!(alert.severity, Severity::Medium);
    assert!(alert.summary.ends_with("it was refused"));
    assert_eq!(alert.identity.unwrap().as_str(), other.selector());
    target.finish();
}

/// Reads the first bytes of a mapping of its target by the way that is named.
const SCRAPER: &str = r#"
import ctypes, os, sys
pid, way = int(sys.argv[1]), sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result == -1:
        sys.exit(os.strerror(ctypes.get_errno()))
class iovec(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]
at = int(sys.argv[3], 16)
if way == 'process_vm_readv':
    buffer = ctypes.create_string_buffer(16)
    local = iovec(ctypes.cast(buffer, ctypes.c_void_p), 16)
    remote = iovec(at, 16)
    libc.process_vm_readv.restype = ctypes.c_ssize_t
    check(libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0))
elif way == 'mem':
    with open(f'/proc/{pid}/mem', 'rb', buffering=0) as mem:
        mem.seek(at)
        mem.read(16)
elif way == 'ptrace':
    PTRACE_ATTACH, PTRACE_DETACH = 16, 17
    libc.ptrace.argtypes = [ctypes.c_long] * 4
    libc.ptrace.restype = ctypes.c_long
    check(libc.ptrace(PTRACE_ATTACH, pid, 0, 0))
    os.waitpid(pid, 0x40000000)
    check(libc.ptrace(PTRACE_DETACH, pid, 0, 0))
elif way == 'pidfd_getfd':
    pidfd = os.pidfd_open(pid)
    check(libc.syscall(438, pidfd, 0, 0))
"#;

/// The first readable address of a process, as the kernel writes it.
fn first_address(pid: u32) -> String {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    maps.split('-').next().unwrap().to_owned()
}

#[test]
fn each_way_into_the_memory_of_a_process_that_holds_a_key() {
    let _host = shared();
    let place = Place::with("[detection]\nfold_quiet = \"1s\"");
    let key = SshKey::ed25519(place.root().join("deploy"));
    let account = Account::new();
    let _daemon = Daemon::start(&place);
    place.known(&key.path);
    for way in ["process_vm_readv", "mem", "ptrace"] {
        let target = holder(&account, &key);
        let address = first_address(target.pid());
        let done = run(&mut python(
            SCRAPER,
            &[&target.pid().to_string(), &way, &address],
        ));
        let is = done.is(MEMORY);
        let alert = place.wait(way, |alert| is(alert) && alert.severity != Severity::Low);
        assert_target(&alert, &done, &target, &account);
        assert!(key.is_in(&alert), "{way}: {alert:#?}");
        assert_eq!(alert.severity, Severity::High, "{way}");
        assert_eq!(alert.evidence, None);
        target.finish();
        // The next way is another cause only once this one has ended.
        std::thread::sleep(std::time::Duration::from_millis(1_500));
    }
}

#[test]
fn a_descriptor_is_taken_from_another_account() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let account = Account::new();
    let _daemon = Daemon::start(&place);
    place.known(&key.path);
    let target = holder(&account, &key);
    let pid = target.pid().to_string();
    let done = run(&mut python(SCRAPER, &[&pid, &"pidfd_getfd", &"0"]));
    let alert = place.wait("a descriptor is taken", done.is(MEMORY));
    done.assert_time(&alert);
    assert!(
        alert.summary.contains("took a descriptor from"),
        "{}",
        alert.summary
    );
    // Whose it is, not every kernel tells.
    match &alert.target {
        Some(of) => assert_eq!((of.pid, alert.severity), (target.pid(), Severity::High)),
        None => assert_eq!(alert.severity, Severity::Medium),
    }
    target.finish();
}

#[test]
fn a_process_that_holds_nothing_and_a_tracer_of_its_own_child_raise_nothing() {
    let _host = shared();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let account = Account::new();
    let _daemon = Daemon::start(&place);
    place.known(&key.path);
    let empty = Partner::start(&mut account.runs("sh", &[&"-c", &"echo up; read line"]));
    let address = first_address(empty.pid());
    let done = run(&mut python(
        SCRAPER,
        &[&empty.pid().to_string(), &"process_vm_readv", &address],
    ));
    let trace = place.at("trace");
    let traced = run(&mut command(
        "strace",
        &[&"-f", &"-o", &trace, &program("cat"), &key.path],
    ));
    place.silent("nothing is held, or it is one's own", |alert| {
        done.is(MEMORY)(alert) || traced.is(MEMORY)(alert)
    });
    empty.finish();
}

/// A real agent of an account; its socket is where ssh-agent puts it.
struct Agent {
    socket: PathBuf,
    pid: u32,
}

impl Agent {
    fn of(account: &Account, directory: &Path) -> Self {
        // ssh-agent's own name for it, in a directory of the test.
        let home = directory.join("ssh-live");
        fs::create_dir(&home).unwrap();
        chown(&home, Some(account.uid), Some(account.gid)).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let socket = home.join("agent.1");
        let done = run(&mut account.runs("ssh-agent", &[&"-s", &"-a", &socket]));
        let said = String::from_utf8(done.output.stdout).unwrap();
        let pid = said.split("SSH_AGENT_PID=").nth(1).unwrap();
        let pid = pid.split(';').next().unwrap().parse().unwrap();
        Self { socket, pid }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        super::host::signal(self.pid, rustix::process::Signal::TERM);
    }
}

#[test]
fn root_uses_the_agent_of_somebody_who_is_logged_in() {
    let _host = shared();
    let place = Place::new();
    open_to_all(&place.at("root"));
    let account = Account::new();
    let agent = Agent::of(&account, &place.at("root"));
    let _daemon = Daemon::start(&place);
    let list = |mut command: std::process::Command| {
        // There are no keys in it: ssh-add says so with 1.
        let done = act(command.env("SSH_AUTH_SOCK", &agent.socket));
        assert_eq!(done.output.status.code(), Some(1), "{:?}", done.output);
        done
    };
    let own = list(account.runs("ssh-add", &[&"-l"]));
    let hijack = list(command("ssh-add", &[&"-l"]));
    let alert = place.wait("an agent is hijacked", hijack.is(SOCKET));
    hijack.assert_time(&alert);
    assert_eq!(alert.severity, Severity::High);
    assert_eq!(alert.path.as_deref(), agent.socket.to_str());
    assert!(
        alert
            .summary
            .contains(&format!("an ssh agent of {}", account.name)),
        "{}",
        alert.summary
    );
    place.silent("the owner's own ssh-add", own.is(SOCKET));
}

#[test]
fn a_program_of_no_container_runtime_speaks_to_docker() {
    let _host = shared();
    let place = Place::new();
    let socket = place.at("docker.sock");
    let _daemon_of_docker = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let _daemon = Daemon::start(&place);
    let done = run(&mut python(
        "import socket, sys\n\
         s = socket.socket(socket.AF_UNIX)\n\
         s.connect(sys.argv[1])\n\
         s.send(b'GET /containers/json HTTP/1.0\\r\\n\\r\\n')",
        &[&socket],
    ));
    let alert = place.wait("docker is spoken to", done.is(SOCKET));
    assert_eq!(alert.severity, Severity::High);
    assert_eq!(alert.attack, ["T1611"]);
    assert_eq!(alert.path.as_deref(), socket.to_str());
}

#[test]
fn the_password_file_is_read_by_an_outsider() {
    let _host = shared();
    let place = Place::new();
    let _daemon = Daemon::start(&place);
    let done = run(&mut command("cat", &[&"/etc/shadow"]));
    let alert = place.wait("the password file is read", done.is(SYSTEM));
    done.assert_time(&alert);
    assert_eq!(alert.severity, Severity::High);
    assert_eq!(alert.path.as_deref(), Some("/etc/shadow"));
    assert_eq!(alert.attack, ["T1003.008"]);
    assert_eq!(alert.credential, None);
    // Whoever changes passwords reads it, too.
    let account = Account::new();
    let mut chage = command("chage", &[&"-l", &account.name]);
    let insider = run(&mut chage);
    place.silent("chage", insider.is(SYSTEM));
}

/// Copies of the system's files, below the directory that the daemon looks through.
fn system(place: &Place) -> (PathBuf, PathBuf, PathBuf) {
    let etc = place.root().join("etc");
    let home = place.root().join("home/.ssh");
    for directory in [&etc, &home] {
        fs::create_dir_all(directory).unwrap();
    }
    let shadow = etc.join("shadow");
    fs::write(
        &shadow,
        "root:$6$salt$abcdefghijklmnopqrstuvwxyz0123456789:19000:0:99999:7:::\n",
    )
    .unwrap();
    let sudoers = etc.join("sudoers");
    fs::write(&sudoers, "root ALL=(ALL:ALL) ALL\n").unwrap();
    let keys = home.join("authorized_keys");
    fs::write(&keys, "").unwrap();
    for path in [&shadow, &sudoers, &keys] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        // What waits to be written back is not changed anew in the eyes of the page cache.
        fs::File::open(path).unwrap().sync_all().unwrap();
    }
    (shadow, sudoers, keys)
}

#[test]
fn the_systems_files_are_read_refused_and_changed() {
    let _host = shared();
    let place = Place::new();
    let (shadow, sudoers, keys) = system(&place);
    let account = Account::new();
    let _daemon = Daemon::start(&place);
    place.known(&shadow);
    for path in [&shadow, &sudoers] {
        let done = run(&mut command("cat", &[path]));
        let alert = place.wait("it is read", |alert| {
            done.is(SYSTEM)(alert) && alert.path.as_deref() == path.to_str()
        });
        assert!(alert.severity <= Severity::High, "{alert:#?}");
        let refused = act(&mut account.runs("cat", &[path]));
        assert!(!refused.output.status.success());
        let alert = place.wait("it is refused", refused.is(SYSTEM));
        assert!(
            alert.summary.ends_with("it was refused"),
            "{}",
            alert.summary
        );
        assert_eq!(alert.identity.unwrap().as_str(), account.selector());
    }
    // The files that hold no credential are watched, and are none.
    let listed = place.credentials();
    let is_listed = |path: &Path| listed.iter().any(|of| of.paths.iter().any(|at| at == path));
    assert!(is_listed(&shadow) && !is_listed(&sudoers) && !is_listed(&keys));
    for (path, severity) in [
        (&shadow, Severity::Critical),
        (&sudoers, Severity::Critical),
        (&keys, Severity::Medium),
    ] {
        let done = run(&mut python(
            "import sys\nopen(sys.argv[1], 'a').write('# changed\\n')",
            &[path],
        ));
        let alert = place.wait("it is changed", |alert| {
            done.is(SYSTEM)(alert) && alert.summary.contains(" changed ")
        });
        assert_eq!(alert.severity, severity, "{}", path.display());
        assert_eq!(alert.path.as_deref(), path.to_str());
    }
}

#[test]
fn an_open_of_a_retired_key_that_is_refused_is_an_attempt_and_no_use() {
    let _host = shared();
    let place = Place::new();
    let account = Account::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let _daemon = Daemon::start(&place);
    place.retire(&key.path);
    let done = act(&mut account.runs("cat", &[&key.path]));
    assert!(!done.output.status.success());
    let alert = place.wait(
        "a refused open",
        done.is(DetectionId::RetiredCredentialRead),
    );
    done.assert_time(&alert);
    assert_eq!(alert.severity, Severity::Medium);
    assert_eq!(alert.evidence, None);
    assert_eq!(alert.title, "An open of a retired credential was refused");
    let known = place.known(&key.path);
    assert_eq!((known.last_used, known.uses), (None, 0));
}

#[test]
fn a_key_of_another_account_in_the_kernels_keyrings_is_read() {
    let _host = shared();
    // Where functions cannot be hooked, only a hook on every system call sees it.
    let place = Place::with("[sensor]\nsystem_call_hook = true");
    let account = Account::new();
    let _daemon = Daemon::start(&place);
    // add_key(2), then keyctl(2) KEYCTL_SETPERM and KEYCTL_READ by their numbers on x86_64.
    let mut owner = Partner::start(&mut account.runs(
        "python3",
        &[
            &"-c",
            &"import ctypes, sys\n\
              libc = ctypes.CDLL(None, use_errno=True)\n\
              key = libc.syscall(248, b'user', b'credwatch-live', b'planted', 7, -4)\n\
              assert key > 0, ctypes.get_errno()\n\
              assert libc.syscall(250, 5, key, 0x3f3f3f3f) == 0\n\
              print(key, flush=True)\n\
              print(key, flush=True)\n\
              sys.stdin.readline()",
        ],
    ));
    let serial = owner.listen();
    let done = run(&mut python(
        "import ctypes, sys\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         buffer = ctypes.create_string_buffer(64)\n\
         assert libc.syscall(250, 11, int(sys.argv[1]), buffer, 64) == 7, ctypes.get_errno()",
        &[&serial],
    ));
    let alert = place.wait("a key is read", done.is(SYSTEM));
    assert!(
        alert.summary.contains("of the kernel's keyrings"),
        "{}",
        alert.summary
    );
    assert!(alert.severity >= Severity::Medium);
    owner.finish();
}
