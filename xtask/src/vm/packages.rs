//! The guest's programs: Debian packages of this machine, with all that they depend on.
//!
//! Taken from here, because the tests are linked with this machine's C library.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// What the live tests run, and what makes a system.
const WANTED: [&str; 23] = [
    "base-files",
    "base-passwd",
    "bash",
    "busybox-static",
    "coreutils",
    "dash",
    "diffutils",
    "findutils",
    "gcc",
    "git",
    "grep",
    "gzip",
    "iproute2",
    "libc-bin",
    "libc6-dev",
    "mount",
    "openssh-client",
    "openssl",
    "passwd",
    "python3",
    "sed",
    "tar",
    "util-linux",
];

/// Needed to install packages, or by parts that the tests do not touch.
const UNWANTED: [&str; 6] = [
    "adduser",
    "debconf",
    "dpkg",
    "libasan8",
    "libtsan2",
    "readline-common",
];

/// Directories of files that no test reads.
const LEFT_OUT: [&str; 8] = [
    "/usr/share/doc",
    "/usr/share/info",
    "/usr/share/lintian",
    "/usr/share/locale",
    "/usr/share/man",
    "/usr/share/bash-completion",
    "/usr/share/perl",
    "/usr/share/i18n",
];

/// The packages, with their versions: two lists that are equal mean equal files.
pub(super) struct Packages(BTreeMap<String, String>);

impl Packages {
    /// What is installed on this machine.
    ///
    /// # Errors
    /// When this machine has no Debian packages, or lacks one that the guest needs.
    pub(super) fn look() -> Result<Self> {
        let format = "${Package}\t${Version}\t${db:Status-Status}\t${Provides}\t${Pre-Depends}, ${Depends}\n";
        let installed = ask(&["--show", &format!("--showformat={format}")])?;
        let packages = closure(&installed, &WANTED);
        let lacking: Vec<_> = WANTED
            .iter()
            .filter(|name| !packages.contains_key(**name))
            .copied()
            .collect();
        ensure!(
            lacking.is_empty(),
            "the guest is made of packages of this machine, and these are not installed: {}",
            lacking.join(", ")
        );
        Ok(Self(packages))
    }

    /// All of their files and directories, by path, parents first.
    ///
    /// # Errors
    /// When dpkg does not tell.
    pub(super) fn files(&self) -> Result<Vec<String>> {
        let mut arguments = vec!["--listfiles"];
        arguments.extend(self.0.keys().map(String::as_str));
        let files: BTreeSet<String> = ask(&arguments)?
            .lines()
            .filter(|line| line.starts_with('/') && *line != "/.")
            .filter(|line| !LEFT_OUT.iter().any(|of| Path::new(line).starts_with(of)))
            .map(str::to_owned)
            .collect();
        Ok(files.into_iter().collect())
    }
}

impl std::fmt::Display for Packages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, version) in &self.0 {
            writeln!(f, "{name} {version}")?;
        }
        Ok(())
    }
}

fn ask(arguments: &[&str]) -> Result<String> {
    let output = Command::new("dpkg-query")
        .args(arguments)
        .env("LC_ALL", "C")
        .output()
        .context("cannot run dpkg-query: the guest is made of Debian packages")?;
    ensure!(
        output.status.success(),
        "dpkg-query failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The wanted packages among the installed ones, and what they depend on.
fn closure(installed: &str, wanted: &[&str]) -> BTreeMap<String, String> {
    let mut packages = BTreeMap::new();
    let mut providers: BTreeMap<&str, &str> = BTreeMap::new();
    for line in installed.lines() {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default();
        let (name, version, status) = (next(), next(), next());
        let (provides, depends) = (next(), next());
        if status != "installed" {
            continue;
        }
        for provided in relations(provides).flatten() {
            providers.entry(provided).or_insert(name);
        }
        packages.insert(name, (version, depends));
    }

    let mut found = BTreeMap::new();
    let mut queue: Vec<&str> = wanted.to_vec();
    while let Some(name) = queue.pop() {
        let name = match packages.contains_key(name) {
            true => name,
            false => providers.get(name).copied().unwrap_or(name),
        };
        let Some((version, depends)) = packages.get(name) else {
            continue;
        };
        if UNWANTED.contains(&name) || found.contains_key(name) {
            continue;
        }
        found.insert(name.to_owned(), (*version).to_owned());
        // Of alternatives all that are installed: which of them counted nobody knows any more.
        queue.extend(relations(depends).flatten());
    }
    found
}

/// `a (>= 1) | b, c:any` as names.
fn relations(field: &str) -> impl Iterator<Item = impl Iterator<Item = &str>> {
    field.split(',').map(|alternatives| {
        alternatives.split('|').filter_map(|relation| {
            let name = relation.trim().split([' ', '(', ':']).next()?;
            (!name.is_empty()).then_some(name)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_depends_on_comes_with_it() {
        let installed = "gcc\t1\tinstalled\t\t, cpp:any (= 1), a | b\n\
                         cpp\t2\tinstalled\t\tc (>= 3)\n\
                         b\t3\tinstalled\tc (= 7)\t, gcc\n\
                         a\t4\tconfig-files\t\t\n\
                         other\t5\tinstalled\t\t\n";
        let found = closure(installed, &["gcc"]);
        let names: Vec<_> = found.keys().map(String::as_str).collect();
        assert_eq!(names, ["b", "cpp", "gcc"]);
        assert_eq!(found["cpp"], "2");
    }
}
