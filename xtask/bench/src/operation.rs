//! The operations that are measured, and what they need.

use std::{
    fs::{self, File},
    hint::black_box,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    libc,
    sys::socket::{setsockopt, sockopt},
    unistd::getpid,
};

/// One kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Getpid,
    OpenClose,
    OpenReadClose,
    OpenReadCloseWatched,
    Connect,
    Datagram,
    ForkExec,
}

impl Operation {
    pub(crate) const ALL: [Self; 7] = [
        Self::Getpid,
        Self::OpenClose,
        Self::OpenReadClose,
        Self::OpenReadCloseWatched,
        Self::Connect,
        Self::Datagram,
        Self::ForkExec,
    ];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Getpid => "getpid",
            Self::OpenClose => "open, close",
            Self::OpenReadClose => "open, read, close",
            Self::OpenReadCloseWatched => "the same of a credential",
            Self::Connect => "connect on loopback",
            Self::Datagram => "datagram on loopback",
            Self::ForkExec => "fork, exec /bin/true",
        }
    }

    /// For programs.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Getpid => "getpid",
            Self::OpenClose => "open_close",
            Self::OpenReadClose => "open_read_close",
            Self::OpenReadCloseWatched => "open_read_close_watched",
            Self::Connect => "connect",
            Self::Datagram => "datagram",
            Self::ForkExec => "fork_exec",
        }
    }
}

/// Files and a listener to operate on.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The folder that the daemon looks for credentials in.
    pub(crate) root: PathBuf,
    unwatched: PathBuf,
    credential: PathBuf,
    listener: TcpListener,
    address: SocketAddr,
    /// Connected with itself.
    datagrams: UdpSocket,
}

impl Stage {
    /// Sets everything up in a folder: a plain file, and a credential in a root of its own.
    pub(crate) fn set_up(folder: &Path) -> Result<Self> {
        let root = folder.join("root");
        let credential = make_key(&root, 0)?;
        let unwatched = folder.join("notes.txt");
        // As long as the credential, so that both reads copy the same.
        let length = usize::try_from(fs::metadata(&credential)?.len())?;
        fs::write(&unwatched, vec![b'.'; length])?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("cannot listen on the loopback address")?;
        let address = listener.local_addr()?;
        let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        datagrams.connect(datagrams.local_addr()?)?;
        Ok(Self {
            root,
            unwatched,
            credential,
            listener,
            address,
            datagrams,
        })
    }

    /// Does one operation so many times.
    pub(crate) fn repeat(&self, operation: Operation, times: u64) -> Result<()> {
        for _ in 0..times {
            match operation {
                // glibc and musl keep no copy of it: a system call each.
                Operation::Getpid => drop(black_box(getpid())),
                Operation::OpenClose => drop(File::open(&self.unwatched)?),
                Operation::OpenReadClose => read(&self.unwatched)?,
                Operation::OpenReadCloseWatched => read(&self.credential)?,
                Operation::Connect => self.connect()?,
                Operation::Datagram => {
                    self.datagrams.send(b".")?;
                    self.datagrams.recv(&mut [0])?;
                }
                Operation::ForkExec => {
                    let status = Command::new("/bin/true").stdin(Stdio::null()).status()?;
                    ensure!(status.success(), "/bin/true failed");
                }
            }
        }
        Ok(())
    }

    fn connect(&self) -> Result<()> {
        let client = TcpStream::connect(self.address)?;
        let (server, _) = self.listener.accept()?;
        // Closed by a reset: waiting out each connection would use up the ports in seconds.
        let at_once = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        setsockopt(&client, sockopt::Linger, &at_once)?;
        drop(client);
        drop(server);
        Ok(())
    }
}

fn read(path: &Path) -> Result<()> {
    let mut buffer = [0; 4096];
    let length = File::open(path)?.read(&mut buffer)?;
    ensure!(length > 0, "{} is empty", path.display());
    black_box(&buffer);
    Ok(())
}

/// Makes an SSH key where people keep them, in a home folder with a number, and gives its path.
pub(crate) fn make_key(root: &Path, number: u64) -> Result<PathBuf> {
    let folder = root.join(format!("home/user{number}/.ssh"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let key = folder.join("id_ed25519");
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C"])
        .arg(format!("user{number}@bench"))
        .arg("-f")
        .arg(&key)
        .stdin(Stdio::null())
        .output()
        .context("cannot run ssh-keygen; `cargo xtask bench` installs it")?;
    ensure!(
        output.status.success(),
        "ssh-keygen failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_works_and_leaves_nothing_open() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::set_up(folder.path()).unwrap();
        let open = || fs::read_dir("/proc/self/fd").unwrap().count();
        stage.repeat(Operation::Connect, 1).unwrap();
        let before = open();
        for operation in Operation::ALL {
            stage.repeat(operation, 20).unwrap();
        }
        // Other tests of this process open files meanwhile; a leak would be a hundred.
        assert!(open() < before + 15, "descriptors were left open");
    }

    #[test]
    fn keys_are_distinct_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let keys = [1, 2].map(|number| make_key(folder.path(), number).unwrap());
        let contents = keys.each_ref().map(|key| fs::read_to_string(key).unwrap());
        assert!(contents[0].starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
        assert_ne!(contents[0], contents[1]);
        assert_eq!(
            fs::metadata(&keys[0]).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
