//! What the host said of itself, as facts.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::HashMap;

use super::cgroup::{Placement, candidates, placement};
use crate::model::{Account, Container, FileId, Selector, Sha256Digest};

/// Half of the cgroups whose paths are kept. Whoever tells of them forgets whom it has told after
/// as many, so that what is dropped here is told anew when it is met again.
const GENERATION: usize = 65_536;

/// Half of the addresses whose names are kept: the network says how many there are.
const ADDRESSES: usize = 32_768;
/// Names of one address that are kept, the latest: servers of many names share addresses.
const NAMES: usize = 4;
/// Longest name of the domain name system in its written form, in bytes (RFC 1035, 2.3.4).
const NAME_BYTES: usize = 253;
/// Longest label of one.
const LABEL_BYTES: usize = 63;
/// Half of the programs that are kept. Few hosts have run a tenth of it.
const PROGRAMS: usize = 16_384;
/// Half of the containers that are kept: a host has hundreds, and restarts them.
const CONTAINERS: usize = 4_096;
/// Half of the credential files whose owners are kept.
const FILES: usize = 65_536;

/// Names of uids and addresses, paths of cgroups, containers, and what programs lie where.
#[derive(Debug, Clone, Default)]
pub struct Host {
    users: HashMap<u32, User>,
    /// Cgroups come and go with every session and job, and nothing tells of their end: those that
    /// were told of longest ago are dropped, a generation at a time.
    cgroups: HashMap<u64, Cgroup>,
    older: HashMap<u64, Cgroup>,
    names: HashMap<IpAddr, VecDeque<Arc<str>>>,
    older_names: HashMap<IpAddr, VecDeque<Arc<str>>>,
    programs: HashMap<FileId, Program>,
    older_programs: HashMap<FileId, Program>,
    digests: HashMap<FileId, Sha256Digest>,
    older_digests: HashMap<FileId, Sha256Digest>,
    containers: HashMap<String, Container>,
    older_containers: HashMap<String, Container>,
    /// By the device of its root file system; it may have another by now, or be forgotten.
    container_on: HashMap<u64, String>,
    owners: HashMap<FileId, u32>,
    older_owners: HashMap<FileId, u32>,
    changes: u64,
}

/// An account of this host.
#[derive(Debug, Clone)]
struct User {
    name: String,
    /// `unix:user:NAME` and `unix:uid:N`.
    selectors: [Selector; 2],
    account: Option<Account>,
}

/// A cgroup of this host.
#[derive(Debug, Clone)]
struct Cgroup {
    path: String,
    placement: Placement,
}

/// A program of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Program {
    path: Arc<str>,
    owner: u32,
    mode: u32,
}

impl Program {
    /// Whether nobody but root could have made it what it is.
    fn is_roots(&self) -> bool {
        self.owner == 0 && self.mode & 0o022 == 0
    }
}

impl Host {
    /// How often anything has changed that actors are made from: names of uids, paths of cgroups,
    /// containers and programs.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Takes in the name of a uid and what account it is, or that it has none.
    pub fn set_user(&mut self, uid: u32, name: Option<&str>, account: Option<Account>) {
        self.changes += 1;
        match name {
            Some(name) => self.users.insert(
                uid,
                User {
                    name: name.to_owned(),
                    selectors: [Selector::unix_user(name), Selector::unix_uid(uid)],
                    account,
                },
            ),
            None => self.users.remove(&uid),
        };
    }

    /// What account a uid is.
    pub fn account(&self, uid: u32) -> Option<Account> {
        self.users.get(&uid)?.account
    }

    /// What account a selector names.
    pub fn account_of(&self, selector: &Selector) -> Option<Account> {
        let text = selector.as_str();
        if let Some(uid) = text.strip_prefix("unix:uid:") {
            return self.account(uid.parse().ok()?);
        }
        let name = text.strip_prefix("unix:user:")?;
        let user = self.users.values().find(|user| user.name == name)?;
        user.account
    }

    /// Takes in what a runtime says of a container.
    pub fn set_container(&mut self, container: &Container) {
        if self.containers.get(&container.id) == Some(container) {
            return;
        }
        self.changes += 1;
        if self.containers.len() >= CONTAINERS && !self.containers.contains_key(&container.id) {
            self.older_containers = std::mem::take(&mut self.containers);
        }
        // The number of a device is given out again when its file system is gone: it is the latest's.
        let others = self.containers.values_mut();
        for other in others.chain(self.older_containers.values_mut()) {
            if other.device == container.device {
                other.device = None;
            }
        }
        if let Some(device) = container.device {
            if self.container_on.len() >= 2 * CONTAINERS {
                let known = [&self.containers, &self.older_containers];
                let known = known.into_iter().flat_map(HashMap::values);
                let on = known.filter_map(|of| Some((of.device?, of.id.clone())));
                self.container_on = on.collect();
            }
            self.container_on.insert(device, container.id.clone());
        }
        self.containers
            .insert(container.id.clone(), container.clone());
    }

    /// A container by its id.
    pub fn container(&self, id: &str) -> Option<&Container> {
        let known = self.containers.get(id);
        known.or_else(|| self.older_containers.get(id))
    }

    /// The container that a part of a cgroup's path names, for ids that people have chosen.
    pub fn container_in(&self, path: &str) -> Option<&Container> {
        if self.containers.is_empty() && self.older_containers.is_empty() {
            return None;
        }
        candidates(path).find_map(|part| self.container(part))
    }

    /// The container whose root file system is on a device that no other has.
    pub fn container_on(&self, device: u64) -> Option<&Container> {
        let container = self.container(self.container_on.get(&device)?)?;
        (container.device == Some(device)).then_some(container)
    }

    /// Takes in who owns a file with credentials.
    pub fn set_owner(&mut self, file: FileId, uid: u32) {
        if self.owners.len() >= FILES && !self.owners.contains_key(&file) {
            self.older_owners = std::mem::take(&mut self.owners);
        }
        self.owners.insert(file, uid);
    }

    /// Who owns a file with credentials.
    pub fn owner(&self, file: FileId) -> Option<u32> {
        let known = self.owners.get(&file);
        known.or_else(|| self.older_owners.get(&file)).copied()
    }

    /// Takes in the path of a cgroup.
    pub fn set_cgroup(&mut self, id: u64, path: &str) {
        if self
            .cgroups
            .get(&id)
            .is_some_and(|known| known.path == path)
        {
            return;
        }
        self.changes += 1;
        if self.cgroups.len() >= GENERATION && !self.cgroups.contains_key(&id) {
            self.older = std::mem::take(&mut self.cgroups);
        }
        let cgroup = Cgroup {
            path: path.to_owned(),
            placement: placement(path),
        };
        self.cgroups.insert(id, cgroup);
    }

    /// Takes in what an address was just called. What is no name is dropped: it came from the
    /// network.
    pub fn set_name(&mut self, address: IpAddr, name: &str) {
        let name = name.strip_suffix('.').unwrap_or(name);
        if !is_name(name) {
            return;
        }
        let address = address.to_canonical();
        if self.names.len() >= ADDRESSES && !self.names.contains_key(&address) {
            self.older_names = std::mem::take(&mut self.names);
        }
        let before = self.older_names.remove(&address);
        let names = self
            .names
            .entry(address)
            .or_insert_with(|| before.unwrap_or_default());
        names.retain(|known| !known.eq_ignore_ascii_case(name));
        names.push_front(name.to_ascii_lowercase().into());
        names.truncate(NAMES);
    }

    /// What an address was called, the latest name first.
    pub fn names(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        let address = address.to_canonical();
        let names = self.names.get(&address);
        let names = names.or_else(|| self.older_names.get(&address));
        names.into_iter().flatten().map(AsRef::as_ref)
    }

    /// Takes in that a program lies at a path of this host.
    pub fn set_program(&mut self, file: FileId, path: &str, owner: u32, mode: u32) {
        let program = Program {
            path: path.into(),
            owner,
            mode,
        };
        if self.programs.get(&file) == Some(&program) {
            return;
        }
        self.changes += 1;
        if self.programs.len() >= PROGRAMS && !self.programs.contains_key(&file) {
            self.older_programs = std::mem::take(&mut self.programs);
        }
        self.programs.insert(file, program);
    }

    /// Takes in the digest of a program, or that what was known holds no more.
    pub fn set_digest(&mut self, file: FileId, digest: Option<Sha256Digest>) {
        self.older_digests.remove(&file);
        let Some(digest) = digest else {
            self.digests.remove(&file);
            return;
        };
        if self.digests.len() >= PROGRAMS && !self.digests.contains_key(&file) {
            self.older_digests = std::mem::take(&mut self.digests);
        }
        self.digests.insert(file, digest);
    }

    /// The digest of a program, where it is known.
    pub fn digest(&self, file: FileId) -> Option<Sha256Digest> {
        let known = self.digests.get(&file);
        known.or_else(|| self.older_digests.get(&file)).copied()
    }

    /// The path of this host at which an inode lies as a program, where somebody has run it from there.
    pub fn program_path(&self, file: FileId) -> Option<&str> {
        let known = self.programs.get(&file);
        let known = known.or_else(|| self.older_programs.get(&file));
        known.map(|program| &*program.path)
    }

    /// Whether an inode is the program that lies at this path of this host: a process may have
    /// mounts of its own, and another file at that path.
    pub fn has_program(&self, file: FileId, path: &str) -> bool {
        self.program(file, path).is_some()
    }

    /// Whether, besides, nobody but root could have put it there.
    pub fn has_program_of_root(&self, file: FileId, path: &str) -> bool {
        self.program(file, path).is_some_and(Program::is_roots)
    }

    /// Whose the program is that lies at this path of this host, and its permission bits.
    pub fn program_owner(&self, file: FileId, path: &str) -> Option<(u32, u32)> {
        self.program(file, path).map(|of| (of.owner, of.mode))
    }

    fn program(&self, file: FileId, path: &str) -> Option<&Program> {
        let known = self.programs.get(&file);
        known
            .or_else(|| self.older_programs.get(&file))
            .filter(|program| &*program.path == path)
    }

    /// The name of a uid.
    pub fn user(&self, uid: u32) -> Option<&str> {
        self.users.get(&uid).map(|user| user.name.as_str())
    }

    /// What a uid that has a name is called: by that, and by its number.
    pub(super) fn unix_selectors(&self, uid: u32) -> Option<[Selector; 2]> {
        self.users.get(&uid).map(|user| user.selectors.clone())
    }

    /// The path of a cgroup.
    pub fn cgroup(&self, id: u64) -> Option<&str> {
        self.known_cgroup(id).map(|cgroup| &*cgroup.path)
    }

    /// What the path of a cgroup says.
    pub(super) fn placement(&self, id: u64) -> Option<&Placement> {
        self.known_cgroup(id).map(|cgroup| &cgroup.placement)
    }

    fn known_cgroup(&self, id: u64) -> Option<&Cgroup> {
        self.cgroups.get(&id).or_else(|| self.older.get(&id))
    }
}

/// Whether a text is a name as hosts have them (RFC 1123, 2.1), or one of the names with
/// underscores that are about services.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_BYTES).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= NAME_BYTES && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_given_out_again_is_the_latest_containers() {
        let mut host = Host::default();
        for id in ["a", "b", "c"] {
            host.set_container(&Container {
                id: id.to_owned(),
                device: Some(7),
                ..Container::default()
            });
            assert_eq!(host.container_on(7).map(|of| of.id.as_str()), Some(id));
        }
        host.set_container(&Container::default());
        assert_eq!(host.container_on(7).map(|of| of.id.as_str()), Some("c"));
    }

    #[test]
    fn the_latest_names_of_an_address_are_kept_and_only_names() {
        let mut host = Host::default();
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
        for name in ["a.example", "B.example.", "c.example", "a.example"] {
            host.set_name(address, name);
        }
        for bad in ["", ".", "a..b", "a b", "x\u{1b}[31m", "ä.example"] {
            host.set_name(address, bad);
        }
        host.set_name(address, &"a.".repeat(127));
        host.set_name(address, &"a".repeat(64));
        let names: Vec<_> = host.names(mapped).collect();
        let longest = "a.".repeat(126) + "a";
        assert_eq!(names, [&longest, "a.example", "c.example", "b.example"]);
        host.set_name(mapped, "d.example");
        assert_eq!(host.names(address).count(), 4);
        assert_eq!(host.names(address).next(), Some("d.example"));
    }

    #[test]
    fn names_are_bounded_and_the_latest_are_kept() {
        let mut host = Host::default();
        let address = |number: u32| IpAddr::from(std::net::Ipv4Addr::from(number));
        let last = u32::try_from(ADDRESSES).unwrap() * 5 / 2;
        for number in 0..last {
            host.set_name(address(number), "a.example");
        }
        assert!(host.names.len() + host.older_names.len() <= 2 * ADDRESSES);
        assert_eq!(host.names(address(last - 1)).count(), 1);
        assert_eq!(host.names(address(0)).count(), 0);
    }

    #[test]
    fn a_program_is_known_by_inode_and_path_and_whose_it_is() {
        let mut host = Host::default();
        let file = |ino| FileId { dev: 1, ino };
        host.set_program(file(1), "/usr/bin/ssh", 0, 0o755);
        host.set_program(file(2), "/opt/agent", 998, 0o755);
        host.set_program(file(3), "/opt/open", 0, 0o777);
        assert!(host.has_program_of_root(file(1), "/usr/bin/ssh"));
        assert!(!host.has_program(file(4), "/usr/bin/ssh"));
        assert!(!host.has_program(file(1), "/usr/bin/scp"));
        assert!(host.has_program(file(2), "/opt/agent"));
        assert!(!host.has_program_of_root(file(2), "/opt/agent"));
        assert!(!host.has_program_of_root(file(3), "/opt/open"));
    }

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
