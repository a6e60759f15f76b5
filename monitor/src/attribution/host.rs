//! What the host said of itself, as facts.

use std::collections::HashMap;

/// Names of uids and paths of cgroups.
#[derive(Debug, Clone, Default)]
pub struct Host {
    users: HashMap<u32, String>,
    cgroups: HashMap<u64, String>,
}

impl Host {
    /// Takes in the name of a uid, or that it has none.
    pub fn set_user(&mut self, uid: u32, name: Option<&str>) {
        match name {
            Some(name) => self.users.insert(uid, name.to_owned()),
            None => self.users.remove(&uid),
        };
    }

    /// Takes in the path of a cgroup.
    pub fn set_cgroup(&mut self, id: u64, path: &str) {
        self.cgroups.insert(id, path.to_owned());
    }

    /// The name of a uid.
    pub fn user(&self, uid: u32) -> Option<&str> {
        self.users.get(&uid).map(String::as_str)
    }

    /// The path of a cgroup.
    pub fn cgroup(&self, id: u64) -> Option<&str> {
        self.cgroups.get(&id).map(String::as_str)
    }

    /// All names and paths, for the head of a recording.
    pub fn known(&self) -> (&HashMap<u32, String>, &HashMap<u64, String>) {
        (&self.users, &self.cgroups)
    }
}
