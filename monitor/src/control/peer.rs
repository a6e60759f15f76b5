//! Who is at the other end of the control socket, and whether they may be.

use std::io;

use tokio::net::UnixStream;

/// The user of a client, as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerUser {
    /// Effective uid when it connected.
    pub uid: u32,
    /// The uid's name; `uid 1234` where it has none.
    pub name: String,
    /// Its process when it connected; `None` where that is in another pid namespace.
    pub pid: Option<i32>,
}

/// What the kernel says of the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) pid: Option<i32>,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        Ok(Self {
            uid: credentials.uid(),
            gid: credentials.gid(),
            // The kernel says 0 of a process that it cannot name here.
            pid: credentials.pid().filter(|pid| *pid > 0),
        })
    }

    /// Whether this is root, the daemon's own user, or a member of `group`. The socket's mode says
    /// the same; this holds also where somebody has widened it. Reads `/proc`: blocks.
    pub(super) fn is_allowed(&self, own_uid: u32, group: Option<u32>) -> bool {
        self.uid == 0
            || self.uid == own_uid
            || group.is_some_and(|group| self.gid == group || self.groups().contains(&group))
    }

    /// Supplementary groups; none where the process has gone.
    fn groups(&self) -> Vec<u32> {
        self.pid
            .and_then(|pid| procfs::process::Process::new(pid).ok()?.status().ok())
            .map(|status| status.groups)
            .unwrap_or_default()
    }

    /// Asks the host's user database: blocks.
    pub(super) fn named(self) -> PeerUser {
        let name = uzers::get_user_by_uid(self.uid).map_or_else(
            || format!("uid {}", self.uid),
            |user| user.name().to_string_lossy().into_owned(),
        );
        PeerUser {
            uid: self.uid,
            name,
            pid: self.pid,
        }
    }
}
