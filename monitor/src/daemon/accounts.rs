//! Names of uids, and what accounts they are, as facts: by the user database, login.defs(5) and
//! shadow(5).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use uzers::os::unix::UserExt as _;

use crate::credential::accounts::{SHADOW, passwords};
use crate::model::{Account, AccountClass, Fact, Password};

/// How often it is asked whether accounts have changed. An account that is made anew may get the uid
/// of one that has just gone, and act at once.
const ACCOUNTS: Duration = Duration::from_millis(10);
/// Where accounts are kept.
const FILES: [&str; 3] = ["/etc/passwd", SHADOW, LOGIN_DEFS];
const LOGIN_DEFS: &str = "/etc/login.defs";
/// The first uid of a person where login.defs does not say (useradd(8)).
const UID_MIN: u32 = 1_000;
/// The overflow uid where the kernel does not say (`/proc/sys/kernel/overflowuid`).
const NOBODY: u32 = 65_534;
/// Shells in which nobody can work.
const NO_SHELLS: &[&str] = &["nologin", "false", "true", "sync", "halt", "shutdown"];

/// What was told already.
pub(super) struct Accounts {
    told: HashMap<u32, Told>,
    modified: [Option<SystemTime>; 3],
    checked: Instant,
    files: Files,
}

/// A name, and what account it is; `None` where the uid has neither.
type Told = Option<(String, Account)>;

/// What the files say.
struct Files {
    passwords: HashMap<String, Password>,
    uid_min: u32,
    nobody: u32,
}

impl Default for Accounts {
    fn default() -> Self {
        let modified = modified();
        Self {
            told: HashMap::new(),
            modified,
            checked: Instant::now(),
            files: Files::read(),
        }
    }
}

impl Accounts {
    /// What is to be told of a uid: nothing when it was, else it, and all that has changed.
    pub(super) fn tell(&mut self, uid: u32, facts: &mut Vec<Fact>) {
        if self.checked.elapsed() > ACCOUNTS {
            self.checked = Instant::now();
            let modified = modified();
            if modified != self.modified {
                self.modified = modified;
                self.files = Files::read();
                for (uid, before) in &mut self.told {
                    let now = self.files.look_up(*uid);
                    if now != *before {
                        facts.push(fact(*uid, now.clone()));
                        *before = now;
                    }
                }
            }
        }
        if let Entry::Vacant(entry) = self.told.entry(uid) {
            let told = entry.insert(self.files.look_up(uid)).clone();
            facts.push(fact(uid, told));
        }
    }
}

fn fact(uid: u32, told: Told) -> Fact {
    let (name, account) = told.unzip();
    Fact::UserName { uid, name, account }
}

fn modified() -> [Option<SystemTime>; 3] {
    FILES.map(|path| fs::metadata(path).and_then(|of| of.modified()).ok())
}

impl Files {
    fn read() -> Self {
        let passwords = passwords(Path::new(SHADOW)).unwrap_or_else(|error| {
            tracing::info!(%error, "could not tell which accounts are locked");
            HashMap::new()
        });
        let login_defs = fs::read_to_string(LOGIN_DEFS).unwrap_or_default();
        let nobody = fs::read_to_string("/proc/sys/kernel/overflowuid");
        Self {
            passwords,
            uid_min: uid_min(&login_defs).unwrap_or(UID_MIN),
            nobody: nobody
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(NOBODY),
        }
    }

    fn look_up(&self, uid: u32) -> Told {
        let user = uzers::get_user_by_uid(uid)?;
        let name = user.name().to_string_lossy().into_owned();
        let account = Account {
            class: self.class(uid),
            shell: is_shell(user.shell()),
            password: self.passwords.get(&name).copied().unwrap_or_default(),
        };
        Some((name, account))
    }

    fn class(&self, uid: u32) -> AccountClass {
        match uid {
            0 => AccountClass::Root,
            _ if uid == self.nobody => AccountClass::Nobody,
            _ if uid < self.uid_min => AccountClass::System,
            _ => AccountClass::Regular,
        }
    }
}

/// An empty shell stands for /bin/sh (passwd(5)).
fn is_shell(shell: &Path) -> bool {
    let name = shell.file_name().and_then(|name| name.to_str());
    !name.is_some_and(|name| NO_SHELLS.contains(&name))
}

/// `UID_MIN` of login.defs(5), which has a key and a value on a line.
fn uid_min(login_defs: &str) -> Option<u32> {
    login_defs.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "UID_MIN").then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_each_account_once() {
        let mut accounts = Accounts::default();
        let mut facts = Vec::new();
        accounts.tell(0, &mut facts);
        accounts.tell(0, &mut facts);
        let [
            Fact::UserName {
                uid: 0,
                name,
                account,
            },
        ] = &*facts
        else {
            panic!("{facts:?}");
        };
        assert_eq!(name.as_deref(), Some("root"));
        assert_eq!(account.unwrap().class, AccountClass::Root);
    }

    #[test]
    fn uids_are_classed_as_the_host_says() {
        let files = Files {
            passwords: HashMap::new(),
            uid_min: uid_min("# UID_MIN 3\nUID_MAX 60000\nUID_MIN\t\t 500 # here\n").unwrap(),
            nobody: 65_534,
        };
        for (uid, class) in [
            (0, AccountClass::Root),
            (499, AccountClass::System),
            (500, AccountClass::Regular),
            (65_534, AccountClass::Nobody),
            (4_000_000, AccountClass::Regular),
        ] {
            assert_eq!(files.class(uid), class, "{uid}");
        }
        for (shell, is) in [
            ("/usr/sbin/nologin", false),
            ("/bin/false", false),
            ("/bin/bash", true),
            ("/usr/bin/git-shell", true),
            ("", true),
        ] {
            assert_eq!(is_shell(Path::new(shell)), is, "{shell}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_login_defs_is_read(text in "(UID_MIN|[ \t\n#]|[0-9]|\\PC){0,40}") {
            let _ = uid_min(&text);
        }
    }
}
