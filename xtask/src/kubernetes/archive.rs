//! Debian's archive, for a source package and for a program that is not to be installed: apt with
//! lists of its own, so that nothing of this machine's set-up changes. It checks the signatures.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::process;

const ARCHIVE: &str = "http://deb.debian.org/debian";
/// The release whose Go builds the source as it is.
const SUITE: &str = "bookworm";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with lists of its own.
pub(super) struct Archive {
    directory: PathBuf,
}

impl Archive {
    /// One that knows what the archive has now.
    ///
    /// # Errors
    /// When it cannot be reached, with apt's own words.
    pub(super) fn updated(cache: &Path) -> Result<Self> {
        ensure!(Path::new(KEYS).is_file(), "{KEYS} is missing");
        let directory = cache.join("apt");
        for name in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(name))?;
        }
        let lines = ["deb", "deb-src"]
            .map(|kind| format!("{kind} [arch=amd64 signed-by={KEYS}] {ARCHIVE} {SUITE} main\n"));
        fs::write(directory.join("sources.list"), lines.concat())?;
        // Nothing is installed, as far as this apt knows.
        fs::write(directory.join("state/status"), "")?;
        let archive = Self { directory };
        let step = format!("Asking {ARCHIVE} for the packages of {SUITE}");
        process::run_quietly(&step, archive.command("apt-get").arg("update"))?;
        Ok(archive)
    }

    /// The newest version of a source package.
    ///
    /// # Errors
    /// When the archive has none.
    pub(super) fn source_version(&self, package: &str) -> Result<String> {
        let mut ask = self.command("apt-cache");
        ask.args(["showsrc", "--only-source", package]);
        let output = ask.output().context("cannot run apt-cache")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let mut versions = said
            .lines()
            .filter_map(|line| line.strip_prefix("Version: "));
        versions
            .next_back()
            .map(|version| version.trim().to_owned())
            .with_context(|| format!("{ARCHIVE} {SUITE} has no sources of {package}"))
    }

    /// Fetches and unpacks a source package, and gives its directory below `to`.
    ///
    /// # Errors
    /// When it does not come, or is not as it was signed.
    pub(super) fn source(&self, package: &str, version: &str, to: &Path) -> Result<PathBuf> {
        fs::create_dir_all(to)?;
        let step = format!("Fetching the sources of {package} {version}");
        let mut get = self.command("apt-get");
        get.args(["source", &format!("{package}={version}")])
            .current_dir(to);
        process::run_quietly(&step, &mut get)?;
        let start = format!("{package}-");
        for entry in fs::read_dir(to)? {
            let entry = entry?;
            let is_its = entry.file_name().to_string_lossy().starts_with(&start);
            if is_its && entry.file_type()?.is_dir() {
                return Ok(entry.path());
            }
        }
        anyhow::bail!("apt-get brought no directory {start}…")
    }

    /// Fetches a package and unpacks it into a directory.
    ///
    /// # Errors
    /// When it does not come.
    pub(super) fn unpack(&self, package: &str, to: &Path) -> Result<()> {
        let packages = self.directory.join("packages");
        if packages.exists() {
            fs::remove_dir_all(&packages)?;
        }
        fs::create_dir_all(&packages)?;
        let mut download = self.command("apt-get");
        download.args(["download", package]).current_dir(&packages);
        process::run_quietly(&format!("Fetching {package}"), &mut download)?;
        let file = fs::read_dir(&packages)?
            .next()
            .with_context(|| format!("apt-get brought no {package}"))??;
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("-x").arg(file.path()).arg(to);
        process::run_quietly(&format!("Unpacking {package}"), &mut unpack)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").stdin(Stdio::null());
        for (option, path) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State", "state"),
            ("Dir::State::status", "state/status"),
            ("Dir::Cache", "cache"),
        ] {
            let path = self.directory.join(path);
            command
                .arg("-o")
                .arg(format!("{option}={}", path.display()));
        }
        for option in [
            "Dir::Etc::sourceparts=/dev/null",
            "Acquire::Languages=none",
            "APT::Architecture=amd64",
            // A list that did not come is an error and not a warning.
            "APT::Update::Error-Mode=any",
            // The user that apt would become may not enter here.
            "APT::Sandbox::User=root",
        ] {
            command.args(["-o", option]);
        }
        command
    }
}
