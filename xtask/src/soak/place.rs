//! The directory and the accounts of the soak. Both have fixed names, so that what a run left that was
//! killed is found by the next one.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::said;

const ROOT: &str = "/srv/credwatch-soak";
/// What all names of its accounts begin with.
pub(super) const PREFIX: &str = "cw-soak-";

/// A machine's account.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: PathBuf,
}

impl Account {
    /// As Credwatch names it.
    pub(super) fn selector(&self) -> String {
        format!("unix:user:{}", self.name)
    }
}

/// The directory, with homes below it.
pub(super) struct Place {
    accounts: Vec<Account>,
}

impl Place {
    /// Makes the directory and an account for each of these names. Call it when nothing of an earlier run is running.
    ///
    /// # Errors
    /// When another soak is running, or the host does not let it.
    pub(super) fn make(workspace: &Path, names: &[&str]) -> Result<Self> {
        let mut place = Self {
            accounts: Vec::new(),
        };
        for directory in ["", "home", "jobs", "logs", "registry.d"] {
            fs::create_dir_all(place.at(directory))?;
            fs::set_permissions(place.at(directory), Permissions::from_mode(0o755))?;
        }
        fs::write(place.at("pid"), std::process::id().to_string())?;
        for entry in fs::read_dir(workspace.join("xtask/soak"))? {
            let entry = entry?;
            let job = place.at("jobs").join(entry.file_name());
            fs::copy(entry.path(), &job)?;
            fs::set_permissions(job, Permissions::from_mode(0o755))?;
        }
        for name in names {
            let account = place.account(name)?;
            place.accounts.push(account);
        }
        Ok(place)
    }

    fn account(&self, name: &str) -> Result<Account> {
        let (name, home) = (format!("{PREFIX}{name}"), self.at("home").join(name));
        let mut add = Command::new("useradd");
        add.args(["--system", "--user-group", "--no-create-home"]);
        add.args(["--shell", "/bin/sh", "--home-dir"]).arg(&home);
        said(add.arg(&name))?;
        let id = |what: &str| -> Result<u32> {
            let id = said(Command::new("id").args([what, &name]))?;
            Ok(id.trim().parse()?)
        };
        let account = Account {
            uid: id("-u")?,
            gid: id("-g")?,
            name,
            home,
        };
        self.directory(&account, "")?;
        Ok(account)
    }

    /// An account by its name without the prefix.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn find(&self, name: &str) -> Result<&Account> {
        let mut accounts = self.accounts.iter();
        let found = accounts.find(|of| of.name.strip_prefix(PREFIX) == Some(name));
        found.with_context(|| format!("there is no account {PREFIX}{name}"))
    }

    /// A path in the directory.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        Path::new(ROOT).join(name)
    }

    /// A program of the soak's own.
    pub(super) fn job(&self, name: &str) -> PathBuf {
        self.at("jobs").join(name)
    }

    /// Makes a directory in an account's home that nobody else may enter.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn directory(&self, account: &Account, name: &str) -> Result<PathBuf> {
        let directory = account.home.join(name);
        fs::create_dir_all(&directory)?;
        give(&directory, account, 0o700)?;
        Ok(directory)
    }

    /// Writes a file in an account's home that nobody else may read.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn file(
        &self,
        account: &Account,
        name: &str,
        content: impl AsRef<[u8]>,
    ) -> Result<PathBuf> {
        let file = account.home.join(name);
        owned(&file, account, content)?;
        Ok(file)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = remove() {
            eprintln!("  cannot clean up: {error:#}");
        }
    }
}

/// Refuses to go on beside another soak.
///
/// # Errors
/// When one is running.
pub(super) fn alone() -> Result<()> {
    let Ok(pid) = fs::read_to_string(Path::new(ROOT).join("pid")) else {
        return Ok(());
    };
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    if name.trim() == "xtask" && pid != std::process::id().to_string() {
        bail!("another soak is running (process {pid})");
    }
    Ok(())
}

/// Removes the accounts and the directory, of this run or of one that was killed.
///
/// # Errors
/// When the host does not let it.
pub(super) fn remove() -> Result<()> {
    let accounts = fs::read_to_string("/etc/passwd")?;
    for line in accounts.lines().filter(|line| line.starts_with(PREFIX)) {
        let name = line.split(':').next().unwrap_or_default();
        said(Command::new("userdel").arg(name))?;
    }
    match Path::new(ROOT).exists() {
        true => fs::remove_dir_all(ROOT).with_context(|| format!("cannot remove {ROOT}")),
        false => Ok(()),
    }
}

fn give(path: &Path, account: &Account, mode: u32) -> Result<()> {
    chown(path, Some(account.uid), Some(account.gid))?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(())
}

/// Writes a file of an account's that nobody else may read.
///
/// # Errors
/// When it cannot be written.
pub(super) fn owned(file: &Path, account: &Account, content: impl AsRef<[u8]>) -> Result<()> {
    fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))?;
    give(file, account, 0o600)
}
