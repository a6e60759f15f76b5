//! What the host said of itself, as facts.

use std::collections::HashMap;

/// Half of the cgroups whose paths are kept. Whoever tells of them forgets whom it has told after
/// as many, so that what is dropped here is told anew when it is met again.
const GENERATION: usize = 65_536;

/// Names of uids and paths of cgroups.
#[derive(Debug, Clone, Default)]
pub struct Host {
    users: HashMap<u32, String>,
    /// Cgroups come and go with every session and job, and nothing tells of their end: those that
    /// were told of longest ago are dropped, a generation at a time.
    cgroups: HashMap<u64, String>,
    older: HashMap<u64, String>,
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
        if self.cgroups.len() >= GENERATION && !self.cgroups.contains_key(&id) {
            self.older = std::mem::take(&mut self.cgroups);
        }
        self.cgroups.insert(id, path.to_owned());
    }

    /// The name of a uid.
    pub fn user(&self, uid: u32) -> Option<&str> {
        self.users.get(&uid).map(String::as_str)
    }

    /// The path of a cgroup.
    pub fn cgroup(&self, id: u64) -> Option<&str> {
        self.cgroups
            .get(&id)
            .or_else(|| self.older.get(&id))
            .map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_are_bounded_and_the_latest_are_kept() {
        let mut host = Host::default();
        let last = GENERATION as u64 * 5 / 2;
        for id in 1..=last {
            host.set_cgroup(id, "/a.slice");
            assert!(
                host.cgroup(id.saturating_sub(GENERATION as u64 - 1).max(1))
                    .is_some()
            );
        }
        assert!(host.cgroups.len() + host.older.len() <= 2 * GENERATION);
        assert_eq!(host.cgroup(1), None);
    }
}
