//! Stock kernels of distributions: asked for at their archives, unpacked into a cache, never installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    apt::{Apt, DEBIAN, Holds, debian_keys, unpack},
    process,
};

/// How old what is known of an archive may be before it is asked again.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

const DEBIAN_SECURITY: &str = "http://deb.debian.org/debian-security";
const UBUNTU: &str = "http://archive.ubuntu.com/ubuntu";

/// Whose keys sign an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// Of the package `debian-archive-keyring`, which is installed.
    Debian,
    /// Of a package of Debian's, which is fetched: not every release has it.
    Ubuntu,
}

/// Where packages come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    archive: &'static str,
    suite: &'static str,
    keys: Keys,
}

/// Where Ubuntu's keys come from.
const UBUNTU_KEYS: Source = Source {
    archive: DEBIAN,
    suite: "trixie",
    keys: Keys::Debian,
};

/// A series of kernels, and where its newest is to be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    pub(super) series: &'static str,
    source: Source,
    /// How the package's name ends.
    flavour: &'static str,
    /// Whether LSM programs fire by default.
    pub(super) bpf_lsm: bool,
    /// Whether programs can tell who acts without reading the kernel's memory (5.11).
    pub(super) typed_tasks: bool,
    /// Whether the daemon needs more than it has, and must say so.
    pub(super) refuses: bool,
}

const fn debian(series: &'static str, archive: &'static str, suite: &'static str) -> Kernel {
    Kernel {
        series,
        source: Source {
            archive,
            suite,
            keys: Keys::Debian,
        },
        flavour: "cloud-amd64",
        bpf_lsm: true,
        typed_tasks: true,
        refuses: false,
    }
}

/// The matrix's kernels, oldest first.
pub(super) const KERNELS: [Kernel; 5] = [
    // It has no ring buffer.
    Kernel {
        series: "5.4",
        source: Source {
            archive: UBUNTU,
            suite: "focal-updates",
            keys: Keys::Ubuntu,
        },
        flavour: "generic",
        bpf_lsm: false,
        typed_tasks: false,
        refuses: true,
    },
    Kernel {
        bpf_lsm: false,
        typed_tasks: false,
        ..debian("5.10", DEBIAN_SECURITY, "bullseye-security")
    },
    debian("6.1", DEBIAN_SECURITY, "bookworm-security"),
    debian("6.12", DEBIAN_SECURITY, "bookworm-security"),
    debian("7.3", DEBIAN, "trixie-backports"),
];

/// A kernel on this machine.
#[derive(Debug, Clone)]
pub(super) struct Unpacked {
    /// Where everything of this kernel is kept.
    pub(super) directory: PathBuf,
    /// As `uname -r` gives it.
    pub(super) release: String,
    /// The bootable image.
    pub(super) image: PathBuf,
    /// The directory that holds `kernel/` and `modules.dep`.
    pub(super) modules: PathBuf,
    /// Why it is perhaps not the newest.
    pub(super) note: Option<String>,
}

impl Kernel {
    /// Brings the newest kernel of the series here, or takes what an earlier run brought.
    ///
    /// # Errors
    /// When there is none and none can be had, with apt's own words.
    pub(super) fn obtain(&self, cache: &Path) -> Result<Unpacked> {
        let directory = self.directory(cache);
        let known = newest_unpacked(&directory)?;
        let asked = directory.join("asked");
        if let Some(known) = &known
            && is_fresh(&asked)
        {
            return Ok(known.clone());
        }
        match self.download(cache, &directory) {
            Ok(fetched) => {
                fs::write(&asked, "")?;
                Ok(fetched)
            }
            Err(error) => match known {
                Some(mut known) => {
                    let said = format!("{error:#}");
                    // apt's own errors stand behind all that it tried.
                    let why = said.lines().find(|line| line.starts_with("E: "));
                    let why = why.or_else(|| said.lines().next()).unwrap_or_default();
                    known.note = Some(format!("kept from an earlier run; {why}"));
                    Ok(known)
                }
                None => Err(error.context(format!(
                    "Linux {} cannot be had from {} {}",
                    self.series, self.source.archive, self.source.suite
                ))),
            },
        }
    }

    /// What an earlier run brought.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub(super) fn here(&self, cache: &Path) -> Result<Option<Unpacked>> {
        newest_unpacked(&self.directory(cache))
    }

    fn directory(&self, cache: &Path) -> PathBuf {
        cache.join("kernels").join(self.series)
    }

    fn download(&self, cache: &Path, directory: &Path) -> Result<Unpacked> {
        let apt = asked(cache, self.source)?;
        let image = self
            .newest(&apt.ask(&["pkgnames", "linux-image-"])?)
            .with_context(|| format!("{} has no Linux {}", self.source.suite, self.series))?;
        let release = image.trim_start_matches("linux-image-").to_owned();
        if let Some(known) = unpacked(directory, &release)? {
            return Ok(known);
        }

        // The image alone, or in three packages: it depends on the others by their full names.
        let mut packages = vec![image.clone()];
        let depends = apt.ask(&["depends", "--important", &image])?;
        packages.extend(
            depends
                .lines()
                .filter_map(|line| line.trim().strip_prefix("Depends: "))
                .filter(|name| name.starts_with("linux-") && name.ends_with(&release))
                .map(str::to_owned),
        );
        let files = apt.download(&packages, &directory.join("packages"))?;

        // Under another name until it is whole.
        let tree = directory.join(format!("{release}.part"));
        if tree.exists() {
            fs::remove_dir_all(&tree)?;
        }
        fs::create_dir_all(&tree)?;
        for file in &files {
            unpack(file, &tree)?;
        }
        // Newer packages have it all in /usr; depmod looks in /lib.
        let (lib, usr) = (tree.join("lib"), tree.join("usr/lib/modules"));
        if !lib.exists() && usr.exists() {
            std::os::unix::fs::symlink("usr/lib", &lib)?;
        }
        let mut depmod = Command::new(process::which("depmod").context("depmod is missing")?);
        depmod.arg("-b").arg(&tree).arg(&release);
        process::run_quietly("Ordering its modules", &mut depmod)?;
        fs::rename(&tree, directory.join(&release))?;
        unpacked(directory, &release)?.context("the packages hold no kernel")
    }

    /// The newest of these packages that is of the series and flavour.
    fn newest(&self, names: &str) -> Option<String> {
        let start = format!("linux-image-{}.", self.series);
        let end = format!("-{}", self.flavour);
        names
            .lines()
            .filter(|name| name.starts_with(&start) && name.ends_with(&end))
            .max_by_key(|name| numbers(name))
            .map(str::to_owned)
    }
}

/// The numbers in a name, by which its versions are ordered.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

fn is_fresh(file: &Path) -> bool {
    let modified = fs::metadata(file).and_then(|of| of.modified());
    modified.is_ok_and(|modified| {
        let age = SystemTime::now().duration_since(modified);
        age.is_ok_and(|age| age < FRESH)
    })
}

fn newest_unpacked(directory: &Path) -> Result<Option<Unpacked>> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Ok(None);
    };
    let mut releases = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".part") && unpacked(directory, &name)?.is_some() {
            releases.push(name);
        }
    }
    match releases.into_iter().max_by_key(|name| numbers(name)) {
        Some(release) => unpacked(directory, &release),
        None => Ok(None),
    }
}

fn unpacked(directory: &Path, release: &str) -> Result<Option<Unpacked>> {
    let tree = directory.join(release);
    let modules = tree.join("lib/modules").join(release);
    let images = [
        tree.join(format!("boot/vmlinuz-{release}")),
        modules.join("vmlinuz"),
    ];
    let image = images.into_iter().find(|image| image.is_file());
    Ok(image
        .filter(|_| modules.join("modules.dep").is_file())
        .map(|image| Unpacked {
            directory: tree,
            release: release.to_owned(),
            image,
            modules,
            note: None,
        }))
}

impl Keys {
    /// The file that holds them.
    fn file(self, cache: &Path) -> Result<PathBuf> {
        match self {
            Self::Debian => debian_keys(),
            Self::Ubuntu => {
                let tree = cache.join("keys");
                let file = tree.join("usr/share/keyrings/ubuntu-archive-keyring.gpg");
                if !file.is_file() {
                    let apt = asked(cache, UBUNTU_KEYS)?;
                    let package = ["ubuntu-keyring".to_owned()];
                    for package in apt.download(&package, &tree)? {
                        unpack(&package, &tree)?;
                    }
                }
                ensure!(file.is_file(), "the package of Ubuntu's keys has none");
                Ok(file)
            }
        }
    }
}

/// What an archive has now.
fn asked(cache: &Path, source: Source) -> Result<Apt> {
    let keys = source.keys.file(cache)?;
    let directory = cache.join("apt").join(source.suite);
    let from = (source.archive, source.suite);
    Apt::updated(directory, &keys, from, Holds::Packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_series_is_taken() {
        let names = "linux-image-6.1.0-9-cloud-amd64\n\
                     linux-image-6.1.0-56-cloud-amd64\n\
                     linux-image-6.1.0-56-cloud-amd64-unsigned\n\
                     linux-image-6.1.0-57-amd64\n\
                     linux-image-6.12.117+deb12-cloud-amd64\n\
                     linux-image-6.12.101+deb12-cloud-amd64\n";
        let newest = |series| {
            let kernel = KERNELS.iter().find(|kernel| kernel.series == series);
            kernel.unwrap().newest(names)
        };
        assert_eq!(
            newest("6.1").as_deref(),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
        assert_eq!(
            newest("6.12").as_deref(),
            Some("linux-image-6.12.117+deb12-cloud-amd64")
        );
        assert_eq!(newest("7.3"), None);
    }
}
