//! Which credential followed which: a new fingerprint where another one lay, or under its name.
//!
//! A key that is moved or copied over another is no new version of it, and two files that are
//! swapped are none of each other. So a successor must be new itself: never found before, found a
//! moment ago (tools write beside the place and rename), or issued later by its own words.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::hash::Hash;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Registry;
use crate::model::{
    Credential, CredentialKind, CredentialState, Fingerprint, LocatedFile, RegistryChange,
    Succession, Target, Timestamp,
};

/// How long ago a successor may have been found elsewhere, on its way to the place.
const FRESH: Duration = Duration::from_secs(600);
/// Most versions that are remembered as followed; beyond it the older half of those that are
/// settled goes, and where none is settled no more are taken.
const CAPACITY: usize = 16_384;
/// Most places that are remembered as left, and most names. Beyond it all of them are forgotten:
/// what is found next is learned anew.
const PLACES: usize = 16_384;
/// What is replaced more often than this within a window is a session that a program keeps, and no
/// version of anything.
const BUSY: usize = 3;

/// A version that was followed by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// By which, where, when.
    pub succession: Succession,
    /// Whether nothing is awaited any more: its window is over, or somebody has spoken about it.
    pub settled: bool,
}

/// A successor that was just found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    /// Who follows whom.
    pub succession: Succession,
    /// The new one is itself a version that was followed before: it came back.
    pub came_back: bool,
}

/// All versions that were followed, and what is needed to notice more.
#[derive(Debug, Clone, Default)]
pub struct Rotations {
    of: BTreeMap<Fingerprint, Rotation>,
    left: HashMap<PathBuf, Vec<Fingerprint>>,
    volumes: HashMap<PathBuf, PathBuf>,
    named: HashMap<(PathBuf, String), Fingerprint>,
}

impl Rotations {
    /// What followed a version.
    pub fn get(&self, old: &Fingerprint) -> Option<&Rotation> {
        self.of.get(old)
    }

    /// All of them, by the old version.
    pub fn all(&self) -> impl Iterator<Item = &Rotation> {
        self.of.values()
    }

    /// Whether what lies at a path is replaced all the time.
    pub fn is_busy(&self, path: &Path, window: Duration, now: Timestamp) -> bool {
        let of = self.of.values().map(|of| &of.succession);
        let recent = of.filter(|of| of.path == path && now.since(of.began) < window);
        recent.count() >= BUSY
    }

    /// Notes one, new or from before. Says whether there was room for it.
    pub fn insert(&mut self, succession: Succession) -> bool {
        if self.of.len() >= CAPACITY && !self.of.contains_key(&succession.old) {
            self.make_room();
            if self.of.len() >= CAPACITY {
                return false;
            }
        }
        let rotation = Rotation {
            settled: false,
            succession,
        };
        self.of.insert(rotation.succession.old.clone(), rotation);
        true
    }

    /// Those whose window is over at `now`, which are settled by asking.
    pub fn take_due(&mut self, window: Duration, now: Timestamp) -> Vec<Succession> {
        let due = |of: &&mut Rotation| !of.settled && now.since(of.succession.began) >= window;
        let due = self.of.values_mut().filter(due);
        due.map(|of| {
            of.settled = true;
            of.succession.clone()
        })
        .collect()
    }

    /// A word about a version settles its rotation, unless it is the one that began it.
    pub(super) fn spoken(&mut self, change: &RegistryChange) {
        let Target::Credential(of) = &change.target else {
            return;
        };
        if change.state == CredentialState::Active {
            self.of.remove(of);
        } else if let Some(rotation) = self.of.get_mut(of) {
            rotation.settled = !(change.is_derived() && change.state == CredentialState::Rotating);
        }
    }

    fn leave(&mut self, path: &Path, fingerprints: &[Fingerprint]) {
        if !fingerprints.is_empty() {
            remember(&mut self.left, place(path), fingerprints.to_vec());
        }
    }

    fn make_room(&mut self) {
        let settled = self.of.values().filter(|of| of.settled);
        let mut times: Vec<_> = settled.map(|of| of.succession.began).collect();
        times.sort_unstable();
        let Some(&oldest) = times.get(times.len() / 2) else {
            return;
        };
        self.of
            .retain(|_, of| !of.settled || of.succession.began > oldest);
    }
}

impl Registry {
    /// The credentials that lie at a path, of a kind that has versions.
    fn lying_at(&self, path: &Path) -> Vec<Fingerprint> {
        let Some(file) = self.places.get(path) else {
            return Vec::new();
        };
        let at = (path.to_owned(), *file);
        let here = |of: &&Fingerprint| {
            let entry = self.credentials.get(*of);
            entry.is_some_and(|entry| entry.locations.contains(&at))
        };
        self.credentials_at(*file)
            .iter()
            .filter(here)
            .cloned()
            .collect()
    }

    /// Remembers what lay at a path that is left, for what comes there next.
    pub(super) fn note_left(&mut self, path: &Path) {
        let lay = self.lying_at(path);
        self.rotations.leave(path, &lay);
    }

    /// What a file holds in place of something else, as it is about to be taken in.
    pub(super) fn successors(&mut self, located: &LocatedFile, now: Timestamp) -> Vec<Successor> {
        let path = &located.path;
        let place = place(path);
        let mut before = self.lying_at(path);
        if before.is_empty() && place != *path {
            // A projected volume has a directory for each version, and the new one comes first.
            let former = self.rotations.volumes.get(&place);
            before = former.map_or_else(Vec::new, |former| self.lying_at(former));
        }
        let left = self.rotations.left.remove(&place);
        if before.is_empty() {
            before = left.unwrap_or_default();
        }
        if located.credentials.is_empty() {
            // Emptied on the way to be written anew.
            self.rotations.leave(path, &before);
            return Vec::new();
        }
        if place != *path {
            remember(&mut self.rotations.volumes, place, path.clone());
        }
        let mut pairs = self.pairs(&before, &located.credentials);
        for (old, new) in self.by_name(located) {
            // It lay in the same place too, most often.
            if pairs.iter().all(|(other, _)| *other != old) {
                pairs.push((old, new));
            }
        }
        let successor = |(old, new): (Fingerprint, &Credential)| {
            let came_back = self.rotations.get(&new.fingerprint).is_some();
            let known = self.rotations.get(&old);
            let is_told = known.is_some_and(|of| of.succession.new == new.fingerprint);
            let is_new = came_back || self.is_new(new, &old, now);
            (is_new && !is_told).then(|| Successor {
                succession: Succession {
                    old,
                    new: new.fingerprint.clone(),
                    path: path.clone(),
                    began: now,
                },
                came_back,
            })
        };
        pairs.into_iter().filter_map(successor).collect()
    }

    /// What went and what came, of one kind each: by label where there are several.
    fn pairs<'a>(
        &self,
        before: &[Fingerprint],
        after: &'a [Credential],
    ) -> Vec<(Fingerprint, &'a Credential)> {
        let stays = |of: &Fingerprint| after.iter().any(|now| now.fingerprint == *of);
        let gone = before.iter().filter(|of| !stays(of));
        let gone = gone.filter_map(|of| self.credentials.get(of).map(|entry| &entry.credential));
        let mut gone: Vec<_> = gone.filter(|of| has_versions(of.kind)).collect();
        let came = after.iter().filter(|of| !before.contains(&of.fingerprint));
        let mut came: Vec<_> = came.filter(|of| has_versions(of.kind)).collect();
        let mut pairs = Vec::new();
        let by_label = |a: &Credential, b: &Credential| {
            a.kind == b.kind && a.label.is_some() && a.label == b.label
        };
        // The one that is left of a kind follows the one that is left of it.
        let by_kind = |a: &Credential, b: &Credential| a.kind == b.kind;
        for same in [&by_label as &dyn Fn(&_, &_) -> bool, &by_kind] {
            let mut found = Vec::new();
            for new in &came {
                let (old, alone) = (only(&gone, new, same), only(&came, new, same));
                found.extend(old.zip(alone));
            }
            gone.retain(|of| !found.iter().any(|(old, _)| old == of));
            came.retain(|of| !found.iter().any(|(_, new)| new == of));
            let named = found.into_iter();
            pairs.extend(named.map(|(old, new)| (old.fingerprint.clone(), new)));
        }
        pairs
    }

    /// Tokens that lie beside each other and say the same issuer and subject: the one that was
    /// issued later follows.
    fn by_name<'a>(&mut self, located: &'a LocatedFile) -> Vec<(Fingerprint, &'a Credential)> {
        let Some(directory) = located.path.parent().map(place) else {
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for new in &located.credentials {
            let (true, Some(label), Some(issued)) = (is_token(new.kind), &new.label, new.issued)
            else {
                continue;
            };
            let name = (directory.clone(), label.clone());
            let old = self.rotations.named.get(&name);
            let old = old.and_then(|of| self.credentials.get(of));
            let old = old.map(|entry| &entry.credential);
            if old.is_some_and(|old| old.issued.is_some_and(|at| at >= issued)) {
                continue;
            }
            let followed = old.filter(|old| old.issued.is_some() && old.kind == new.kind);
            pairs.extend(followed.map(|old| (old.fingerprint.clone(), new)));
            remember(&mut self.rotations.named, name, new.fingerprint.clone());
        }
        pairs
    }

    fn is_new(&self, new: &Credential, old: &Fingerprint, now: Timestamp) -> bool {
        let Some(known) = self.credentials.get(&new.fingerprint) else {
            return true;
        };
        let issued = self.credentials.get(old);
        let issued = issued.and_then(|old| old.credential.issued);
        let later = new.issued.zip(issued).is_some_and(|(new, old)| new > old);
        later || now.since(known.first_seen) <= FRESH
    }
}

fn remember<K: Eq + Hash, V>(places: &mut HashMap<K, V>, of: K, what: V) {
    if places.len() >= PLACES && !places.contains_key(&of) {
        places.clear();
    }
    places.insert(of, what);
}

/// The one that is like another, where there is just one.
fn only<'a>(
    among: &[&'a Credential],
    like: &Credential,
    same: &dyn Fn(&Credential, &Credential) -> bool,
) -> Option<&'a Credential> {
    let mut all = among.iter().filter(|of| same(of, like));
    match (all.next(), all.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    }
}

/// What is given out anew in place of itself. A line that lets somebody in, and the passwords of
/// all accounts, are edited: what has gone from there is void at once.
fn has_versions(kind: CredentialKind) -> bool {
    !matches!(
        kind,
        CredentialKind::SshAuthorizedKey | CredentialKind::ShadowPassword
    )
}

fn is_token(kind: CredentialKind) -> bool {
    matches!(
        kind,
        CredentialKind::Jwt | CredentialKind::KubernetesServiceAccountToken
    )
}

/// A path without the directories that Kubernetes makes for each version of a volume (`..data`,
/// `..2026_11_22_23_00_00.123`).
fn place(path: &Path) -> PathBuf {
    let of_a_version = |part: &OsStr| part.as_bytes().starts_with(b"..") && part.len() > 2;
    path.iter().filter(|part| !of_a_version(part)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn succession(number: usize, began: i64) -> Succession {
        Succession {
            old: Fingerprint::new(format!("old{number}")),
            new: Fingerprint::new(format!("new{number}")),
            path: "/srv/key".into(),
            began: Timestamp(began),
        }
    }

    #[test]
    fn what_is_awaited_is_never_forgotten_for_something_new() {
        let mut rotations = Rotations::default();
        for number in 0..CAPACITY {
            assert!(rotations.insert(succession(number, 5)));
        }
        assert!(
            !rotations.insert(succession(CAPACITY, 6)),
            "none is settled"
        );
        assert!(rotations.insert(succession(0, 7)), "known already");
        let due = rotations.take_due(Duration::from_nanos(1), Timestamp(7));
        assert_eq!(due.len(), CAPACITY - 1);
        assert!(
            rotations
                .take_due(Duration::from_nanos(1), Timestamp(7))
                .is_empty()
        );
        assert!(
            rotations.insert(succession(CAPACITY, 6)),
            "the settled ones went"
        );
        assert!(rotations.get(&Fingerprint::new("old0")).is_some());
        assert!(rotations.all().count() < CAPACITY);
    }

    #[test]
    fn versions_of_a_volume_lie_at_one_place() {
        let of = |path: &str| place(Path::new(path));
        assert_eq!(of("/vol/..2026_11_22.1/tls.key"), Path::new("/vol/tls.key"));
        assert_eq!(of("/vol/..data/tls.key"), Path::new("/vol/tls.key"));
        assert_eq!(of("/vol/../x"), Path::new("/vol/../x"));
        assert_eq!(of("/home/a/.ssh/id"), Path::new("/home/a/.ssh/id"));
    }
}
