//! Which credentials and identities there are, in which state, and how they were used. Pure.

mod answer;
mod blindness;
mod cluster;
mod devices;
mod entry;
mod files;
mod guarded;
mod held;
mod observed;
mod offboarding;
mod overprivileged;
mod owner;
mod rhythm;
mod rights;
mod rotation;
mod safe_to_delete;
mod usage;
mod users;
mod watched;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use answer::{Reason, Verdict};
pub use cluster::Cluster;
pub use devices::{DEVICES, Destination, Device, Devices, Use};
use entry::Departed;
pub use entry::{CredentialEntry, Declared, IdentityEntry, Standing};
pub use files::FileFacts;
use files::Files;
pub use guarded::GuardedFile;
use guarded::GuardedFiles;
pub use held::{Held, HeldAt};
pub use observed::{Observed, Unstored};
pub use offboarding::{Belonging, Offboarding, Owned, Removal, Since, is_ended};
pub use overprivileged::{
    GivenBy, GivenCapabilities, GivenCredential, LeastPrivilege, ProgramView, least_privilege,
};
pub use owner::OwnerFrom;
pub use rhythm::{Rhythms, Silence};
pub use rights::{Rights, Run};
pub use rotation::{Rotation, Rotations, Successor};
pub use safe_to_delete::{Assessment, Holder, Living, Requirements, assess};
pub use usage::{UsageMap, UseSummary};
pub use users::{FileOwner, Learned, Users, is_same_identity};
pub use words::span;

use crate::model::{
    Credential, CredentialKind, CredentialState, FileId, Fingerprint, Flow, LocatedFile,
    RegistryChange, Selector, Target, Timestamp,
};

/// How long an event may be on its way from the kernel to here.
const QUEUED: Duration = Duration::from_secs(2);

/// The registry.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    credentials: BTreeMap<Fingerprint, CredentialEntry>,
    files: HashMap<FileId, Vec<Fingerprint>>,
    places: HashMap<PathBuf, FileId>,
    /// Looked up several times with each act.
    identities: foldhash::HashMap<Selector, IdentityEntry>,
    paths: BTreeMap<PathBuf, Declared>,
    departed: HashMap<FileId, Departed>,
    guarded: GuardedFiles,
    facts: Files,
    /// Who used what.
    pub usage: UsageMap,
    /// Which version followed which.
    pub rotations: Rotations,
    /// How long they rest.
    pub rhythms: Rhythms,
    /// Who is known to use what.
    pub users: Users,
    /// What lies elsewhere than in files.
    pub held: Held,
    /// When that was watched.
    pub observed: Observed,
    /// Whose files are whose, and who is gone.
    pub offboarding: Offboarding,
    /// Objects that the cluster has no longer.
    pub cluster: Cluster,
    /// What devices of the network do.
    pub devices: Devices,
    /// What programs were given, and used.
    pub rights: Rights,
}

/// Most files that are remembered after they went: they matter for seconds.
const DEPARTED: usize = 4_096;

impl Registry {
    /// Takes in what discovery found in a file, in place of what was known of that path. Returns
    /// what follows something else there.
    pub fn locate(&mut self, located: &LocatedFile, now: Timestamp) -> Vec<Successor> {
        let successors = self.successors(located, now);
        self.forget_path(&located.path, now);
        if self.guarded.locate(located) {
            self.places.insert(located.path.clone(), located.file);
        }
        if located.credentials.is_empty() {
            return successors;
        }
        self.places.insert(located.path.clone(), located.file);
        self.facts.locate(located);
        let at = self.files.entry(located.file).or_default();
        for credential in &located.credentials {
            let entry = self
                .credentials
                .entry(credential.fingerprint.clone())
                .or_insert_with(|| CredentialEntry::new(credential.clone(), now));
            if entry.credential.kind == CredentialKind::Opaque {
                // Declared before it was found: now its content can say what it is.
                entry.credential = credential.clone();
            }
            if entry.credential.bound.is_none() {
                // What was stored before it was known is none.
                entry.credential.bound.clone_from(&credential.bound);
            }
            entry.locations.insert((located.path.clone(), located.file));
            if !at.contains(&credential.fingerprint) {
                at.push(credential.fingerprint.clone());
            }
            entry.written = entry
                .written
                .min(Some(located.modified))
                .or(Some(located.modified));
        }
        successors
    }

    /// When a credential was first found, by a daemon before this one.
    pub fn first_found(&mut self, fingerprint: &Fingerprint, at: Timestamp) {
        if let Some(entry) = self.credentials.get_mut(fingerprint) {
            entry.first_seen = entry.first_seen.min(at);
        }
    }

    /// Takes in a credential that is known and lies nowhere at present.
    pub fn know(&mut self, credential: &Credential, now: Timestamp) {
        self.credentials
            .entry(credential.fingerprint.clone())
            .or_insert_with(|| CredentialEntry::new(credential.clone(), now));
    }

    /// Forgets that a path held credentials, and returns the inode when no other path of it is
    /// known. The credentials stay: they may come back, and what was said about them must hold.
    pub fn unlocate(&mut self, path: &Path, now: Timestamp) -> Option<FileId> {
        self.note_left(path);
        self.forget_path(path, now)
    }

    fn forget_path(&mut self, path: &Path, now: Timestamp) -> Option<FileId> {
        let file = self.places.remove(path)?;
        self.guarded.unlocate(file, path, now);
        let fingerprints = self.files.get_mut(&file)?;
        let before = fingerprints.clone();
        fingerprints.retain(|fingerprint| {
            let Some(entry) = self.credentials.get_mut(fingerprint) else {
                return false;
            };
            entry.locations.remove(&(path.to_owned(), file));
            entry.locations.iter().any(|(_, at)| *at == file)
        });
        if !fingerprints.is_empty() {
            return None;
        }
        self.files.remove(&file);
        self.facts.forget(file);
        if self.departed.len() >= DEPARTED {
            self.departed.retain(|_, of| now.since(of.at) <= QUEUED);
        }
        if self.departed.len() < DEPARTED {
            let departed = Departed {
                path: path.to_owned(),
                fingerprints: before,
                at: now,
            };
            self.departed.insert(file, departed);
        }
        Some(file)
    }

    /// Takes in a word about a state.
    pub fn change(&mut self, change: &RegistryChange, now: Timestamp) {
        let declared = Declared::by(change, now);
        self.rotations.spoken(change);
        match &change.target {
            Target::Credential(fingerprint) => {
                self.credentials
                    .entry(fingerprint.clone())
                    .or_insert_with(|| CredentialEntry::unknown(fingerprint.clone(), now))
                    .declared = declared;
            }
            Target::Identity(selector) => {
                self.identities
                    .entry(selector.clone())
                    .or_default()
                    .declared = declared;
            }
            Target::Path(path) => {
                match declared {
                    Some(declared) => self.paths.insert(path.clone(), declared),
                    None => self.paths.remove(path),
                };
            }
        }
    }

    /// Notes traffic of a device; `acted` tells whether it has sent any of it. `false` where there are
    /// too many devices, and this one is none of those that are known.
    #[must_use]
    pub fn device_seen(
        &mut self,
        selector: &Selector,
        flow: &Flow,
        acted: bool,
        now: Timestamp,
    ) -> bool {
        let is_known = self.identities.contains_key(selector);
        if !is_known && !acted {
            // Nobody has to be there for packets to be sent there.
            return true;
        }
        if !is_known && self.devices.are_full() {
            return false;
        }
        if acted {
            self.identity_seen(selector, now);
        }
        self.devices.note(selector, flow, now);
        true
    }

    /// Notes that an identity acted. Returns when it was last seen to before.
    pub fn identity_seen(&mut self, selector: &Selector, now: Timestamp) -> Option<Timestamp> {
        if let Some(entry) = self.identities.get_mut(selector) {
            let before = entry.last_seen;
            entry.first_seen.get_or_insert(now);
            entry.last_seen = before.max(Some(now));
            before
        } else {
            let entry = IdentityEntry {
                declared: None,
                first_seen: Some(now),
                last_seen: Some(now),
            };
            self.identities.insert(selector.clone(), entry);
            self.became_known(selector);
            None
        }
    }

    fn became_known(&mut self, selector: &Selector) {
        if selector.is_device() {
            self.devices.became_known();
        }
    }

    /// Takes back what was stored about an identity's acts.
    pub fn restore_identity(&mut self, selector: &Selector, first: Timestamp, last: Timestamp) {
        if !self.identities.contains_key(selector) {
            self.became_known(selector);
        }
        let entry = self.identities.entry(selector.clone()).or_default();
        entry.first_seen = Some(first);
        entry.last_seen = Some(last);
    }

    /// The credentials of a file.
    pub fn credentials_at(&self, file: FileId) -> &[Fingerprint] {
        self.files.get(&file).map_or(&[], Vec::as_slice)
    }

    /// The credentials that lay in a file at a time: those there now, else those that lay there
    /// until just after it. Who reads a file and deletes it at once was still a reader.
    pub fn credentials_then(&self, file: FileId, time: Timestamp) -> &[Fingerprint] {
        match self.credentials_at(file) {
            [] => self
                .departed
                .get(&file)
                .filter(|departed| departed.held_at(time))
                .map_or(&[], |departed| &departed.fingerprints),
            now => now,
        }
    }

    /// The system's own file that lay there at a time.
    pub fn guarded_then(&self, file: FileId, time: Timestamp) -> Option<&GuardedFile> {
        self.guarded.then(file, time)
    }

    /// The system's own file that lies there.
    pub fn guarded(&self, file: FileId) -> Option<&GuardedFile> {
        self.guarded.get(file)
    }

    /// What the file system says of a file that holds credentials.
    pub fn file_facts(&self, file: FileId) -> Option<FileFacts> {
        self.facts.get(file)
    }

    /// Notes that every account can read a file.
    pub fn expose(&mut self, file: FileId) {
        self.facts.expose(file);
    }

    /// Whether acts on a file are of interest: it holds a credential, or is the system's own.
    pub fn is_watched(&self, file: FileId) -> bool {
        self.files.contains_key(&file) || self.guarded.get(file).is_some()
    }

    /// One credential.
    pub fn credential(&self, fingerprint: &Fingerprint) -> Option<&CredentialEntry> {
        self.credentials.get(fingerprint)
    }

    /// All credentials, by fingerprint.
    pub fn credentials(&self) -> impl Iterator<Item = &CredentialEntry> {
        self.credentials.values()
    }

    /// All identities, by selector.
    pub fn identities(&self) -> impl Iterator<Item = (&Selector, &IdentityEntry)> {
        let mut all: Vec<_> = self.identities.iter().collect();
        all.sort_unstable_by_key(|(selector, _)| *selector);
        all.into_iter()
    }

    /// One identity.
    pub fn identity(&self, selector: &Selector) -> Option<&IdentityEntry> {
        self.identities.get(selector)
    }

    /// All paths and inodes at which credentials lie.
    pub fn locations(&self) -> impl Iterator<Item = (&Path, FileId)> {
        self.places
            .iter()
            .map(|(path, file)| (path.as_path(), *file))
    }

    /// The inode that is known to lie at a path.
    pub fn file_at(&self, path: &Path) -> Option<FileId> {
        self.places.get(path).copied()
    }

    /// A credential's state at `now`, when it is touched at `file`: what was said about it, else
    /// about one of its paths, else its own end date.
    pub fn standing(
        &self,
        entry: &CredentialEntry,
        file: Option<FileId>,
        now: Timestamp,
    ) -> Standing {
        let by_path = || {
            entry
                .locations
                .iter()
                .filter(|(_, at)| file.is_none_or(|file| *at == file))
                .find_map(|(path, _)| self.paths.get(path))
                .or_else(|| {
                    let departed = self.departed.get(&file?)?;
                    departed
                        .held_at(now)
                        .then(|| self.paths.get(&departed.path))?
                })
        };
        let own = entry.declared.as_ref();
        let declared = match own {
            // What follows from the facts gives way to what somebody has said.
            Some(own) if own.is_derived() => by_path().or(Some(own)),
            _ => own.or_else(by_path),
        };
        let declared = declared.cloned();
        let said = declared
            .as_ref()
            .filter(|declared| !declared.came_after(now))
            .map_or(CredentialState::Active, |declared| declared.state);
        let expired = entry.credential.expires.is_some_and(|end| end <= now);
        let state = match said {
            CredentialState::Active | CredentialState::Rotating if expired => {
                CredentialState::Expired
            }
            said => said,
        };
        Standing { state, declared }
    }

    /// Whether somebody has spoken about a path.
    pub fn is_path_declared(&self, path: &Path) -> bool {
        self.paths.contains_key(path)
    }

    /// Whether somebody has spoken about a path at which a credential lies.
    pub fn is_declared_by_path(&self, entry: &CredentialEntry) -> bool {
        let mut paths = entry.locations.iter();
        paths.any(|(path, _)| self.paths.contains_key(path))
    }

    /// How many credentials and identities are known.
    pub fn counts(&self) -> (usize, usize) {
        (self.credentials.len(), self.identities.len())
    }
}

#[cfg(test)]
mod tests;
