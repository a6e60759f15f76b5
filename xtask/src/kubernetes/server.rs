//! The two servers: etcd as Debian has it, and kube-apiserver built from Debian's source package, which
//! is the only way to it without another's binary. Kept by version.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};

use crate::{
    apt::{Apt, DEBIAN, Holds, debian_keys, unpack},
    process, ui,
};

/// The source package.
const SOURCE: &str = "kubernetes";
/// The release whose Go builds it as it is.
const SUITE: &str = "bookworm";
/// How long what was built is taken without asking for a newer version.
const FRESH: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// What the package has of it does not start with the Go of its own release.
const REFLECT: &str = "vendor/github.com/modern-go/reflect2";
/// Where Debian's package has the newer one.
const NEWER_REFLECT: &str = "/usr/share/gocode/src/github.com/modern-go/reflect2";

/// What Debian's archive has now.
fn archive(cache: &Path) -> Result<Apt> {
    let (directory, keys) = (cache.join("apt"), debian_keys()?);
    let from = (DEBIAN, SUITE);
    Apt::updated(directory, &keys, from, Holds::PackagesAndSources)
}

/// etcd, from its package, which is not installed: that would start it.
///
/// # Errors
/// When it cannot be had.
pub(super) fn etcd(cache: &Path) -> Result<PathBuf> {
    let tree = cache.join("etcd");
    let program = tree.join("usr/bin/etcd");
    if program.is_file() {
        return Ok(program);
    }
    let package = ["etcd-server".to_owned()];
    for file in archive(cache)?.download(&package, &cache.join("packages"))? {
        unpack(&file, &tree)?;
    }
    anyhow::ensure!(
        program.is_file(),
        "the package etcd-server has no {}",
        program.display()
    );
    Ok(program)
}

/// kube-apiserver, built unless an earlier run has done so.
///
/// # Errors
/// When its sources cannot be had or do not build, with what was said.
pub(super) fn api_server(cache: &Path) -> Result<PathBuf> {
    if let Some(built) = newest(cache)? {
        return Ok(built);
    }
    let archive = archive(cache)?;
    let said = archive.ask(&["showsrc", "--only-source", SOURCE])?;
    let mut versions = said
        .lines()
        .filter_map(|line| line.strip_prefix("Version: "));
    let version = versions
        .next_back()
        .context("Debian has no such source package")?;
    let version = version.trim();
    let directory = cache.join(version);
    let program = directory.join("kube-apiserver");
    if program.is_file() {
        // Asked again, and it is still the newest.
        fs::File::open(&program)?.set_modified(SystemTime::now())?;
        return Ok(program);
    }
    ui::heading(&format!(
        "Building kube-apiserver {version}; this takes ten minutes and more, once"
    ));
    let sources = cache.join("sources");
    if sources.exists() {
        fs::remove_dir_all(&sources)?;
    }
    let tree = archive.source(SOURCE, version, &sources)?;
    build(&tree)?;
    // Under its name only when it is whole; the sources take a gigabyte.
    fs::create_dir_all(&directory)?;
    let built = tree.join("_output/bin/kube-apiserver");
    let part = directory.join("part");
    fs::copy(&built, &part).with_context(|| format!("cannot copy {}", built.display()))?;
    fs::rename(&part, &program)?;
    fs::remove_dir_all(&sources)?;
    Ok(program)
}

fn build(tree: &Path) -> Result<()> {
    let vendored = tree.join(REFLECT);
    fs::remove_dir_all(&vendored)?;
    let mut copy = Command::new("cp");
    copy.args(["-rL", NEWER_REFLECT]).arg(&vendored);
    process::run_quietly("Taking the newer reflect2", &mut copy)?;
    // Beside other work, with what is here: nothing is fetched.
    let mut make = Command::new("nice");
    make.args(["-n", "19", "make", "WHAT=cmd/kube-apiserver"])
        .current_dir(tree)
        .env("GOFLAGS", "-mod=vendor")
        .env("GOPROXY", "off")
        .env("GOCACHE", tree.join("_output/cache"));
    process::run_quietly("Building kube-apiserver", &mut make)
}

/// What was built last, unless it is time to ask for a newer version.
fn newest(cache: &Path) -> Result<Option<PathBuf>> {
    let Ok(entries) = fs::read_dir(cache) else {
        return Ok(None);
    };
    let mut found = Vec::new();
    for entry in entries {
        let program = entry?.path().join("kube-apiserver");
        if let Ok(modified) = fs::metadata(&program).and_then(|of| of.modified()) {
            found.push((modified, program));
        }
    }
    let newest = found.into_iter().max();
    Ok(newest
        .filter(|(modified, _)| {
            let age = SystemTime::now().duration_since(*modified);
            age.is_ok_and(|age| age < FRESH)
        })
        .map(|(_, program)| program))
}
