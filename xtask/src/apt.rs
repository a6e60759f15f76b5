//! apt with lists, caches and sources of its own: packages are fetched and unpacked, never installed,
//! and nothing of this machine's set-up changes. It checks the archives' signatures.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process;

/// Debian's archive.
pub(crate) const DEBIAN: &str = "http://deb.debian.org/debian";

const DEBIAN_KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The keys that sign Debian's archives.
///
/// # Errors
/// When they are not installed.
pub(crate) fn debian_keys() -> Result<PathBuf> {
    ensure!(Path::new(DEBIAN_KEYS).is_file(), "{DEBIAN_KEYS} is missing");
    Ok(PathBuf::from(DEBIAN_KEYS))
}

/// What there is in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Packages,
    /// These, and what they are built from.
    PackagesAndSources,
}

/// apt that knows one archive.
pub(crate) struct Apt {
    directory: PathBuf,
}

impl Apt {
    /// One that knows what the archive has now. Its lists are kept in `directory`.
    ///
    /// # Errors
    /// When the archive cannot be reached, or is not signed by these keys, with apt's own words.
    pub(crate) fn updated(
        directory: PathBuf,
        keys: &Path,
        (archive, suite): (&str, &str),
        holds: Holds,
    ) -> Result<Self> {
        for name in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(name))?;
        }
        let kinds = match holds {
            Holds::Packages => &["deb"][..],
            Holds::PackagesAndSources => &["deb", "deb-src"],
        };
        let line = |kind: &&str| {
            let keys = keys.display();
            format!("{kind} [arch=amd64 signed-by={keys}] {archive} {suite} main\n")
        };
        let lines: String = kinds.iter().map(line).collect();
        fs::write(directory.join("sources.list"), lines)?;
        // Nothing is installed, as far as this apt knows.
        fs::write(directory.join("state/status"), "")?;
        let apt = Self { directory };
        let step = format!("Asking {archive} for the packages of {suite}");
        process::run_quietly(&step, apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    /// What apt-cache answers.
    ///
    /// # Errors
    /// When it does not, with its words.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command("apt-cache").args(arguments).output()?;
        if !output.status.success() {
            bail!(
                "apt-cache {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Downloads packages into a directory, where they stay, and gives their files.
    ///
    /// # Errors
    /// When one does not come.
    pub(crate) fn download(&self, packages: &[String], to: &Path) -> Result<Vec<PathBuf>> {
        fs::create_dir_all(to)?;
        let step = format!("Downloading {}", packages.join(", "));
        let mut download = self.command("apt-get");
        download.arg("download").args(packages).current_dir(to);
        process::run_quietly(&step, &mut download)?;
        let file = |package: &String| downloaded(to, package);
        packages.iter().map(file).collect()
    }

    /// Downloads a source package, unpacks it, and gives its directory below `to`.
    ///
    /// # Errors
    /// When it does not come, or is not as it was signed.
    pub(crate) fn source(&self, package: &str, version: &str, to: &Path) -> Result<PathBuf> {
        fs::create_dir_all(to)?;
        let step = format!("Downloading the sources of {package} {version}");
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
        bail!("apt-get brought no directory {start}…")
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

fn downloaded(directory: &Path, package: &str) -> Result<PathBuf> {
    let start = format!("{package}_");
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&start) {
            found.push(entry.path());
        }
    }
    // A package can be rebuilt under the same name: the one that came last.
    let modified = |file: &PathBuf| fs::metadata(file).and_then(|of| of.modified()).ok();
    found.sort_by_key(modified);
    found
        .pop()
        .with_context(|| format!("apt-get brought no {package}"))
}

/// Unpacks a package's files into a directory.
///
/// # Errors
/// When it is no package.
pub(crate) fn unpack(package: &Path, to: &Path) -> Result<()> {
    let name = package.file_name().unwrap_or_default();
    let step = format!("Unpacking {}", name.display());
    let mut unpack = Command::new("dpkg-deb");
    process::run_quietly(&step, unpack.arg("-x").arg(package).arg(to))
}
