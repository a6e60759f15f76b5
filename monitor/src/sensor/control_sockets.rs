//! Unix sockets whose use is as good as a credential: agents, container runtimes, secret stores.

use std::collections::HashMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::model::FileId;

/// Basenames that name one by themselves.
const NAMES: &[&str] = &[
    "docker.sock",
    "containerd.sock",
    "podman.sock",
    "crio.sock",
    "S.gpg-agent.ssh",
];

/// Parts of a directory's name, with the start of a basename below it.
const PLACES: &[(&str, &str)] = &[
    ("/ssh-", "agent."),
    ("/keyring/", "ssh"),
    ("/spire", "api.sock"),
    ("/spire", "agent.sock"),
    ("/vault", "agent"),
    ("/openssh_agent", ""),
];

/// The sockets that are watched, by inode.
#[derive(Default)]
pub(super) struct ControlSockets(Mutex<HashMap<FileId, Guard>>);

/// A socket that is watched.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    pub(super) path: String,
    /// The uid that owns it.
    pub(super) owner: Option<u32>,
}

impl ControlSockets {
    /// Looks at every listening unix socket of this network namespace, and hands those that are
    /// new to `watch`.
    pub(super) fn refresh<E>(&self, mut watch: impl FnMut(FileId) -> Result<(), E>) {
        let Ok(sockets) = procfs::net::unix() else {
            return;
        };
        for path in sockets.into_iter().filter_map(|socket| socket.path) {
            if !is_control_socket(&path) {
                continue;
            }
            let Ok(metadata) = std::fs::metadata(&path) else {
                continue;
            };
            let file = FileId {
                dev: metadata.dev(),
                ino: metadata.ino(),
            };
            if metadata.file_type().is_socket() && self.guard(file).is_none() && watch(file).is_ok()
            {
                self.add(file, &path);
            }
        }
    }

    pub(super) fn add(&self, socket: FileId, path: &Path) {
        let guard = Guard {
            path: path.to_string_lossy().into_owned(),
            owner: std::fs::metadata(path).ok().map(|metadata| metadata.uid()),
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(socket, guard);
    }

    pub(super) fn guard(&self, socket: FileId) -> Option<Guard> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&socket)
            .cloned()
    }
}

fn is_control_socket(path: &Path) -> bool {
    let Some(text) = path.to_str().filter(|text| text.starts_with('/')) else {
        return false;
    };
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    NAMES.contains(&name)
        || PLACES
            .iter()
            .any(|(place, start)| text.contains(place) && name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_agents_and_runtimes_and_nothing_else() {
        for yes in [
            "/tmp/ssh-XyZ12/agent.4711",
            "/run/docker.sock",
            "/run/user/1000/keyring/ssh",
        ] {
            assert!(is_control_socket(Path::new(yes)), "{yes}");
        }
        for no in [
            "/run/systemd/notify",
            "/run/dbus/system_bus_socket",
            "@/tmp/docker.sock",
        ] {
            assert!(!is_control_socket(Path::new(no)), "{no}");
        }
    }
}
