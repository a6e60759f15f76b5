//! Names of uids, and what accounts they are, as facts: by the user database, login.defs(5) and
//! shadow(5).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant, SystemTime};

use uzers::os::unix::UserExt as _;

use crate::credential::{AccountFiles, accounts};
use crate::model::{Account, AccountClass, Fact, Password, PasswordField};

/// How often it is asked whether accounts have changed. An account that is made anew may get the uid
/// of one that has just gone, and act at once.
const ACCOUNTS: Duration = Duration::from_millis(10);
/// Where accounts are kept.
const FILES: [&str; 3] = ["/etc/passwd", "/etc/shadow", LOGIN_DEFS];
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
    /// What is being read beside: to open the file of passwords may have to wait for whoever else
    /// has permission marks on it, and who asks for a name must not.
    reading: Option<Receiver<Passwords>>,
}

/// Whether passwords open accounts, by name.
type Passwords = HashMap<String, Password>;

/// A name, and what account it is; `None` where the uid has neither.
type Told = Option<(String, Account)>;

/// What the files say.
struct Files {
    passwords: Passwords,
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
            reading: read_passwords(),
        }
    }
}

impl Accounts {
    /// What is to be told of a uid: nothing when it was, else it, and all that has changed.
    pub(super) fn tell(&mut self, uid: u32, facts: &mut Vec<Fact>) {
        if self.checked.elapsed() > ACCOUNTS {
            self.checked = Instant::now();
            let modified = modified();
            let is_changed = modified != self.modified;
            if is_changed {
                self.modified = modified;
                let passwords = std::mem::take(&mut self.files.passwords);
                self.files = Files {
                    passwords,
                    ..Files::read()
                };
                self.reading = read_passwords();
            }
            if self.take_passwords() || is_changed {
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

impl Accounts {
    /// Takes in what was read beside, if it is there.
    fn take_passwords(&mut self) -> bool {
        let Some(reading) = &self.reading else {
            return false;
        };
        match reading.try_recv() {
            Ok(passwords) => {
                self.files.passwords = passwords;
                self.reading = None;
                true
            }
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => {
                self.reading = None;
                false
            }
        }
    }
}

fn read_passwords() -> Option<Receiver<Passwords>> {
    let (to, reading) = channel();
    let read = move || match accounts(AccountFiles::of_host()) {
        Ok(accounts) => {
            let of = |field| match field {
                PasswordField::None | PasswordField::Locked => Password::Locked,
                PasswordField::Set => Password::Set,
                PasswordField::Empty => Password::Empty,
            };
            let accounts = accounts.into_iter();
            // Nobody waits for it any more when the files have changed again.
            let _ = to.send(accounts.map(|(name, is)| (name, of(is.password))).collect());
        }
        Err(error) => tracing::info!(%error, "could not tell which accounts are locked"),
    };
    let thread = std::thread::Builder::new().name("accounts".to_owned());
    match thread.spawn(read) {
        Ok(_) => Some(reading),
        Err(error) => {
            tracing::warn!(%error, "could not read which accounts are locked");
            None
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
        let login_defs = fs::read_to_string(LOGIN_DEFS).unwrap_or_default();
        let nobody = fs::read_to_string("/proc/sys/kernel/overflowuid");
        Self {
            passwords: Passwords::new(),
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
