//! Who is known to use each credential. Learned from use for a time after the credential was found,
//! so that what comes later and is not known is an outsider. Pure, and bounded.
//!
//! A successor at the same place takes over its predecessor's users and learning time: else each
//! rotation would be a new time to be taken for a user.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use hashlink::LruCache;

use crate::model::{
    Credential, CredentialKind, CredentialUser, FileId, Fingerprint, Learning, LocatedFile,
    Selector, Timestamp,
};

/// Most users of one credential. What more than these use is shared by everybody, and those that
/// come later are outsiders: an attacker must not be able to push out the known ones.
const OF_ONE: usize = 64;
/// Most users of all credentials.
const ROWS: usize = 100_000;
/// A credential that was found so lately elsewhere is still a successor where it comes to lie.
const RENAMED: Duration = Duration::from_secs(3_600);
/// Most files whose owner is kept, and most places whose last credentials are.
const FILES: usize = 65_536;

/// Whose a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOwner {
    /// The owner's uid.
    pub uid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// What was learned by a step, to be stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    /// Credentials whose users are learned since another time than their first find.
    pub learning: Vec<Learning>,
    /// New users.
    pub users: Vec<CredentialUser>,
    /// Credentials whose successor has taken over.
    pub followed: Vec<Fingerprint>,
    /// Of these, those that lie nowhere any more, and whose users are forgotten: what rotates every
    /// hour would fill the table.
    pub forgotten: Vec<Fingerprint>,
}

/// The known users of all credentials.
#[derive(Debug, Clone)]
pub struct Users {
    of: BTreeMap<Fingerprint, Entry>,
    rows: usize,
    /// How many credentials each identity is a user of.
    reach: BTreeMap<Selector, usize>,
    owners: LruCache<FileId, FileOwner>,
    places: LruCache<PathBuf, Vec<(CredentialKind, Fingerprint)>>,
}

#[derive(Debug, Clone)]
struct Entry {
    since: Timestamp,
    /// Whether a successor has taken over.
    followed: bool,
    users: Vec<CredentialUser>,
}

impl Default for Users {
    fn default() -> Self {
        Self {
            of: BTreeMap::new(),
            rows: 0,
            reach: BTreeMap::new(),
            owners: LruCache::new(FILES),
            places: LruCache::new(FILES),
        }
    }
}

impl Users {
    /// Takes in what discovery found in a file. A credential that is new at a place takes over from
    /// the one of its kind that lay there.
    pub fn locate(&mut self, located: &LocatedFile, now: Timestamp) -> Learned {
        let mut learned = Learned::default();
        if located.credentials.is_empty() {
            return learned;
        }
        let owner = FileOwner {
            uid: located.uid,
            mode: located.mode,
        };
        self.owners.insert(located.file, owner);
        let place = place(&located.path);
        let before = self.places.remove(&place).unwrap_or_default();
        let held = |fingerprint: &Fingerprint| {
            let mut now = located.credentials.iter();
            now.any(|credential| credential.fingerprint == *fingerprint)
        };
        for credential in &located.credentials {
            // Only what left the file at this moment has a successor in it.
            let mut left = before
                .iter()
                .filter(|(kind, fingerprint)| *kind == credential.kind && !held(fingerprint));
            let predecessor = match (left.next(), left.next()) {
                (Some((_, one)), None) => Some(one.clone()),
                // Of several nobody can say which is followed.
                _ => None,
            };
            let known = self.of.get(&credential.fingerprint);
            // Whoever rotates writes to another name first, and renames.
            let is_old =
                known.is_some_and(|of| now.since(of.since) > RENAMED && !of.users.is_empty());
            match predecessor.as_ref().and_then(|of| self.of.get(of)).cloned() {
                Some(entry) if !is_old => {
                    learned.followed.extend(predecessor.clone());
                    self.follow(credential, entry, &mut learned);
                }
                _ => self.found(&credential.fingerprint, now),
            }
        }
        let held = located.credentials.iter();
        let held = held.map(|of| (of.kind, of.fingerprint.clone())).collect();
        self.places.insert(place, held);
        for predecessor in &learned.followed {
            if let Some(entry) = self.of.get_mut(predecessor) {
                entry.followed = true;
            }
        }
        learned
    }

    /// Forgets the users of a credential that lies nowhere, if a successor has taken over. Should it
    /// come back to its place, it follows its successor.
    pub fn forget(&mut self, fingerprint: &Fingerprint) -> bool {
        let Some(entry) = self.of.get_mut(fingerprint).filter(|entry| entry.followed) else {
            return false;
        };
        let users = std::mem::take(&mut entry.users);
        self.rows -= users.len();
        let mut identities: Vec<_> = users.into_iter().map(|of| of.identity).collect();
        identities.sort_unstable();
        identities.dedup();
        for identity in identities {
            if let Some(reach) = self.reach.get_mut(&identity) {
                *reach -= 1;
                if *reach == 0 {
                    self.reach.remove(&identity);
                }
            }
        }
        self.of.remove(fingerprint);
        true
    }

    fn follow(&mut self, successor: &Credential, before: Entry, learned: &mut Learned) {
        let fingerprint = &successor.fingerprint;
        let known = self.of.get(fingerprint);
        let learning = Learning {
            fingerprint: fingerprint.clone(),
            since: known.map_or(before.since, |of| of.since.min(before.since)),
        };
        self.restore(&learning);
        learned.learning.push(learning);
        for user in before.users {
            let user = CredentialUser {
                fingerprint: fingerprint.clone(),
                ..user
            };
            if self.learn(user.clone()) {
                learned.users.push(user);
            }
        }
    }

    /// A credential is known from now on, if it was not.
    pub fn found(&mut self, fingerprint: &Fingerprint, now: Timestamp) {
        if !self.of.contains_key(fingerprint) {
            let entry = Entry {
                since: now,
                followed: false,
                users: Vec::new(),
            };
            self.of.insert(fingerprint.clone(), entry);
        }
    }

    /// Takes back since when a credential's users are learned.
    pub fn restore(&mut self, learning: &Learning) {
        self.found(&learning.fingerprint, learning.since);
        if let Some(entry) = self.of.get_mut(&learning.fingerprint) {
            entry.since = learning.since;
        }
    }

    /// Notes a user. `false` where it was one already, or there is no room.
    pub fn learn(&mut self, user: CredentialUser) -> bool {
        self.found(&user.fingerprint, user.since);
        let Some(entry) = self.of.get_mut(&user.fingerprint) else {
            return false;
        };
        let same = |of: &CredentialUser| {
            (&of.identity, &of.exe, of.own_mounts) == (&user.identity, &user.exe, user.own_mounts)
        };
        if self.rows >= ROWS || entry.users.len() >= OF_ONE || entry.users.iter().any(same) {
            return false;
        }
        if !entry.users.iter().any(|of| of.identity == user.identity) {
            *self.reach.entry(user.identity.clone()).or_default() += 1;
        }
        self.rows += 1;
        entry.users.push(user);
        true
    }

    /// Whether the time in which a credential's users are learned still runs, and when it began.
    /// `None` for a credential that is not known.
    pub fn learning(
        &self,
        fingerprint: &Fingerprint,
        period: Duration,
        now: Timestamp,
    ) -> Option<(bool, Timestamp)> {
        let since = self.of.get(fingerprint)?.since;
        Some((now.since(since) < period, since))
    }

    /// The known users of a credential, in the order in which they were learned.
    pub fn of(&self, fingerprint: &Fingerprint) -> &[CredentialUser] {
        self.of.get(fingerprint).map_or(&[], |entry| &entry.users)
    }

    /// Whether this is a known user. `any_version` takes another version of the program for the
    /// same: of one that only root could put where it lies.
    pub fn is_user(&self, user: &CredentialUser, any_version: bool) -> bool {
        self.of(&user.fingerprint).iter().any(|of| {
            is_same_identity(&of.identity, &user.identity)
                && of.own_mounts == user.own_mounts
                && (of.exe == user.exe
                    || any_version && is_same_but_for_numbers(&of.exe, &user.exe))
        })
    }

    /// How many credentials an identity is a user of.
    pub fn reach(&self, identity: &Selector) -> usize {
        self.reach.get(identity).copied().unwrap_or(0)
    }

    /// Whose a file is.
    pub fn owner(&self, file: FileId) -> Option<FileOwner> {
        self.owners.peek(&file).copied()
    }
}

/// Instances of one unit, and runs of one transient unit, differ in numbers.
pub fn is_same_identity(a: &Selector, b: &Selector) -> bool {
    const UNIT: &str = "systemd:unit:";
    let both_units = a.as_str().starts_with(UNIT) && b.as_str().starts_with(UNIT);
    a == b || both_units && is_same_but_for_numbers(a.as_str(), b.as_str())
}

/// `/usr/lib/postgresql/15/bin/postgres` and `/usr/lib/postgresql/16/bin/postgres`;
/// `/usr/bin/python3.11` and `/usr/bin/python3.13`.
fn is_same_but_for_numbers(a: &str, b: &str) -> bool {
    Numberless(a.as_bytes()).eq(Numberless(b.as_bytes()))
}

/// A text's bytes, with each number, and numbers joined by dots, as one 0.
struct Numberless<'a>(&'a [u8]);

impl Iterator for Numberless<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (first, mut rest) = self.0.split_first()?;
        if first.is_ascii_digit() {
            while let [next, after @ ..] = rest
                && (next.is_ascii_digit()
                    || *next == b'.' && after.first().is_some_and(u8::is_ascii_digit))
            {
                rest = after;
            }
        }
        self.0 = rest;
        Some(if first.is_ascii_digit() { b'0' } else { *first })
    }
}

/// A path as it is after each rotation too: Kubernetes keeps a token in a directory that is named
/// after the time, `..2026_05_01_14_03_20.123/token`, behind the link `..data`.
fn place(path: &Path) -> PathBuf {
    path.components()
        .map(|component| match component {
            Component::Normal(name) if name.as_encoded_bytes().starts_with(b"..2") => {
                Component::Normal("..data".as_ref())
            }
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn fingerprint(text: &str) -> Fingerprint {
        Fingerprint::new(text)
    }

    fn user(of: &str, identity: &str, exe: &str) -> CredentialUser {
        CredentialUser {
            fingerprint: fingerprint(of),
            identity: identity.parse().unwrap(),
            exe: exe.to_owned(),
            own_mounts: false,
            since: Timestamp(1),
        }
    }

    fn located(path: &str, held: &[&str]) -> LocatedFile {
        let credential = |text: &&str| Credential {
            fingerprint: fingerprint(text),
            kind: CredentialKind::Jwt,
            label: None,
            subject: None,
            issued: None,
            expires: None,
            bound: None,
        };
        LocatedFile {
            file: FileId { dev: 1, ino: 2 },
            path: path.into(),
            uid: 7,
            gid: 7,
            mode: 0o640,
            modified: Timestamp(0),
            credentials: held.iter().map(credential).collect(),
        }
    }

    #[test]
    fn a_successor_at_the_same_place_takes_over() {
        let mut users = Users::default();
        let at = |time: i64| Timestamp(time * 1_000_000_000);
        assert_eq!(
            users.locate(&located("/v/..2026_01/token", &["a"]), at(5)),
            Learned::default()
        );
        assert!(users.learn(user("a", "unix:user:svc", "/usr/bin/api")));
        let learned = users.locate(&located("/v/..2026_02/token", &["b"]), at(900_000));
        assert_eq!(learned.users, [user("b", "unix:user:svc", "/usr/bin/api")]);
        assert_eq!(learned.learning.len(), 1);
        assert_eq!(learned.followed, [fingerprint("a")]);
        assert!(users.forget(&fingerprint("a")) && !users.forget(&fingerprint("b")));
        assert_eq!(users.rows, 1);
        let (runs, since) = users
            .learning(&fingerprint("b"), 7 * DAY, at(900_000))
            .unwrap();
        assert!(!runs && since == at(5), "the first find counts");
        // Another credential beside it, and another place, are no successors.
        let _ = users.locate(&located("/v/..2026_02/token", &["b", "c"]), at(900_001));
        let _ = users.locate(&located("/w/token", &["d"]), at(900_001));
        for new in ["c", "d"] {
            let (runs, _) = users.learning(&fingerprint(new), DAY, at(900_002)).unwrap();
            assert!(runs, "{new}");
            assert!(users.of(&fingerprint(new)).is_empty(), "{new}");
        }
        let owner = users.owner(FileId { dev: 1, ino: 2 });
        assert_eq!(
            owner,
            Some(FileOwner {
                uid: 7,
                mode: 0o640
            })
        );
    }

    #[test]
    fn another_version_is_the_same_and_another_program_is_not() {
        let mut users = Users::default();
        let unit = "systemd:unit:postgresql@15-main.service";
        users.learn(user("a", unit, "/usr/lib/postgresql/15/bin/postgres"));
        let is = |identity: &str, exe: &str, any| users.is_user(&user("a", identity, exe), any);
        let next = "/usr/lib/postgresql/16.2/bin/postgres";
        assert!(is("systemd:unit:postgresql@16-main.service", next, true));
        assert!(!is(unit, next, false), "only where root alone could put it");
        assert!(!is(unit, "/usr/lib/postgresql/16/bin/psql", true));
        assert!(!is("systemd:unit:nginx.service", next, true));
        assert!(!is("unix:user:postgres", next, true));
        let mounted = CredentialUser {
            own_mounts: true,
            ..user("a", unit, "/usr/lib/postgresql/15/bin/postgres")
        };
        assert!(!users.is_user(&mounted, true), "another file at that path");
        for (a, b, same) in [
            ("/usr/bin/python3.11", "/usr/bin/python3.13", true),
            ("/usr/bin/python3", "/usr/bin/python3.13", true),
            ("/usr/bin/cat", "/usr/bin/cut", false),
            ("/opt/ä1", "/opt/ä2", true),
            ("/opt/ä", "/opt/å", false),
            ("/opt/a1", "/opt/a", false),
            ("/opt/a", "/opt/a.", false),
        ] {
            assert_eq!(is_same_but_for_numbers(a, b), same, "{a} {b}");
        }
        let users = ["unix:user:app1", "unix:user:app2"].map(|text| text.parse().unwrap());
        assert!(
            !is_same_identity(&users[0], &users[1]),
            "accounts are names"
        );
    }

    #[test]
    fn users_are_bounded_and_the_first_stay() {
        let mut users = Users::default();
        for number in 0..OF_ONE * 2 {
            // Letters, because numbers are versions.
            let exe: String = number
                .to_string()
                .bytes()
                .map(|digit| char::from(digit + 49))
                .collect();
            let is_new = users.learn(user("a", "unix:user:svc", &exe));
            assert_eq!(is_new, number < OF_ONE);
        }
        assert_eq!(users.of(&fingerprint("a")).len(), OF_ONE);
        assert_eq!(users.of(&fingerprint("a"))[0].exe, "a");
        assert_eq!(users.reach(&"unix:user:svc".parse().unwrap()), 1);
    }

    proptest! {
        #[test]
        fn any_texts_are_the_same_as_themselves_and_either_way(a in ".{0,12}", b in ".{0,12}") {
            prop_assert!(is_same_but_for_numbers(&a, &a));
            prop_assert_eq!(is_same_but_for_numbers(&a, &b), is_same_but_for_numbers(&b, &a));
        }

        #[test]
        fn whatever_is_located_and_learned_stays_a_user(
            steps in proptest::collection::vec((0..4u8, 0..4u8, "/[ab]{1,2}"), 0..60),
        ) {
            let mut users = Users::default();
            let mut known = Vec::new();
            for (time, (place, credential, exe)) in (0i64..).zip(steps) {
                let name = format!("c{credential}");
                let _ = users.locate(&located(&format!("/p{place}"), &[&name]), Timestamp(time));
                let new = user(&name, "unix:user:svc", &exe);
                users.learn(new.clone());
                known.push(new);
                for of in &known {
                    prop_assert!(users.is_user(of, false));
                }
            }
        }
    }
}
