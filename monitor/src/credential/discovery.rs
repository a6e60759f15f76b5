//! Finding the credentials that are on disk already.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use walkdir::{DirEntry, WalkDir};

use super::inspect::{InspectError, file_id, inspect, modified};
use super::{FingerprintKey, places};
use crate::model::{Credential, FileId, LocatedFile};

/// How deep directories are entered; nothing lies deeper but loops of bind mounts.
const MAX_DEPTH: usize = 24;
/// How many inodes with several paths are remembered, so that each is read once. More are read
/// again, which costs time and not memory.
const MAX_REMEMBERED: usize = 65_536;

/// What to look through.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Where to start; what is not there is passed over.
    pub roots: Vec<PathBuf>,
    /// Paths that are left out, with all below them.
    pub exclude: Vec<PathBuf>,
    /// After so many files the scan ends and says that it is incomplete.
    pub max_files: u64,
    /// Also look into small files that everybody may read and whose name does not tell. For
    /// staging places; elsewhere it costs reads and finds examples.
    pub sniff_all: bool,
}

impl Default for Scan {
    /// The usual places, up to two million files.
    fn default() -> Self {
        Self {
            roots: places::default_roots(),
            exclude: Vec::new(),
            max_files: 2_000_000,
            sniff_all: false,
        }
    }
}

/// What a scan did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScanSummary {
    /// Files whose name was looked at.
    pub files_seen: u64,
    /// Files whose content was looked at.
    pub files_read: u64,
    /// Credentials found, counted at every path.
    pub credentials: u64,
    /// Files and directories that could not be looked at.
    pub errors: u64,
    /// Whether it ended before it was through.
    pub truncated: bool,
}

/// Walks the roots and reports every file with credentials, at each of its paths. Symbolic links
/// are followed to files in the same directory's tree only (projected secrets); other file
/// systems are entered unless they are the kernel's, a container's layers or across a network.
pub fn scan(
    scan: &Scan,
    key: &FingerprintKey,
    found: &mut dyn FnMut(LocatedFile),
    stop: &AtomicBool,
) -> ScanSummary {
    let mut run = Run {
        scan,
        key,
        mounts: skipped_mounts(),
        inodes: HashMap::new(),
        summary: ScanSummary::default(),
    };
    for root in &scan.roots {
        if run.is_inside_another_root(root) {
            continue;
        }
        for entry in run.walk(root) {
            if stop.load(Ordering::Relaxed) || run.summary.files_seen >= scan.max_files {
                run.summary.truncated = true;
                return run.summary;
            }
            match entry {
                Ok(entry) if !entry.file_type().is_dir() => run.file(&entry, found),
                Ok(_) => {}
                // Roots that are not there, and files that went meanwhile, are no failures.
                Err(error)
                    if error
                        .io_error()
                        .is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound) => {}
                Err(_) => run.summary.errors += 1,
            }
        }
    }
    run.summary
}

struct Run<'a> {
    scan: &'a Scan,
    key: &'a FingerprintKey,
    /// Mount points that are not entered.
    mounts: Vec<PathBuf>,
    /// What inodes with several paths held.
    inodes: HashMap<FileId, Known>,
    summary: ScanSummary,
}

/// What an inode held when it was read under one of its paths.
struct Known {
    path: PathBuf,
    credentials: Vec<Credential>,
}

impl Run<'_> {
    fn walk(&self, root: &Path) -> impl Iterator<Item = Result<DirEntry, walkdir::Error>> + use<> {
        let root = root.to_owned();
        let exclude = self.scan.exclude.clone();
        let mounts = self.mounts.clone();
        WalkDir::new(&root)
            .max_depth(MAX_DEPTH)
            .into_iter()
            .filter_entry(move |entry| {
                let path = entry.path();
                if exclude.iter().any(|excluded| path == excluded) {
                    return false;
                }
                // A root is entered because it was named, unless it is no place for files.
                !entry.file_type().is_dir()
                    || !mounts.iter().any(|mount| mount == path)
                        && (entry.depth() == 0 || !places::is_skipped_directory(path))
            })
    }

    /// `/var/run` is `/run` on most hosts: looking through it twice would count everything twice.
    fn is_inside_another_root(&self, root: &Path) -> bool {
        let roots = &self.scan.roots;
        let real = root.canonicalize();
        let real = real.as_deref().unwrap_or(root);
        (real != root && roots.iter().any(|other| other == real))
            || roots
                .iter()
                .any(|other| other != real && other != root && self.leads_to(other, real))
    }

    /// Whether the walk from one root comes by a path below it, past nothing that is skipped.
    fn leads_to(&self, root: &Path, path: &Path) -> bool {
        path.starts_with(root)
            && path
                .ancestors()
                .take_while(|ancestor| *ancestor != root)
                .all(|ancestor| {
                    !places::is_skipped_directory(ancestor)
                        && !self.mounts.iter().any(|mount| mount == ancestor)
                })
    }

    fn file(&mut self, entry: &DirEntry, found: &mut dyn FnMut(LocatedFile)) {
        self.summary.files_seen += 1;
        let kind = entry.file_type();
        let metadata = if kind.is_symlink() {
            match link_target(entry.path()) {
                Some(metadata) => metadata,
                None => return,
            }
        } else if kind.is_file() {
            match entry.metadata() {
                Ok(metadata) => metadata,
                Err(_) => return,
            }
        } else {
            return;
        };
        let path = entry.path();
        if !is_wanted(path, &metadata, self.scan.sniff_all) {
            return;
        }
        let id = file_id(&metadata);
        let shared = metadata.nlink() > 1 || kind.is_symlink();
        if shared && let Some(known) = self.inodes.get(&id) {
            if !known.credentials.is_empty() {
                let located = at(path, &metadata, known.credentials.clone());
                self.report(located, found);
                return;
            }
            // Under another name the same content may be something, as a list of public keys is.
            if path.file_name() == known.path.file_name() {
                return;
            }
        }
        self.summary.files_read += 1;
        match inspect(path, self.key) {
            Ok(Some(located)) => {
                if shared {
                    self.remember(located.file, path, &located.credentials);
                }
                self.report(located, found);
            }
            Ok(None) if shared => self.remember(id, path, &[]),
            Ok(None) | Err(InspectError::Missing(_)) => {}
            Err(_) => self.summary.errors += 1,
        }
    }

    fn remember(&mut self, file: FileId, path: &Path, credentials: &[Credential]) {
        if self.inodes.len() < MAX_REMEMBERED {
            let known = Known {
                path: path.to_owned(),
                credentials: credentials.to_vec(),
            };
            self.inodes.insert(file, known);
        }
    }

    fn report(&mut self, located: LocatedFile, found: &mut dyn FnMut(LocatedFile)) {
        self.summary.credentials += located.credentials.len() as u64;
        found(located);
    }
}

/// Whether discovery reads a file.
pub(super) fn is_wanted(path: &Path, metadata: &Metadata, sniff_all: bool) -> bool {
    let len = metadata.len();
    let mode = if sniff_all { 0 } else { metadata.mode() };
    places::is_candidate(path, len) || places::is_sniffed(path, len, mode)
}

/// What a symbolic link leads to, when that is a file below the link's own directory, as in the
/// volumes of Kubernetes. Files elsewhere are found where they are.
pub(super) fn link_target(path: &Path) -> Option<Metadata> {
    let directory = path.parent()?.canonicalize().ok()?;
    let target = path.canonicalize().ok()?;
    if !target.starts_with(directory) {
        return None;
    }
    let metadata = target.metadata().ok()?;
    metadata.is_file().then_some(metadata)
}

fn at(path: &Path, metadata: &Metadata, credentials: Vec<Credential>) -> LocatedFile {
    LocatedFile {
        file: file_id(metadata),
        path: path.to_owned(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        mode: metadata.mode() & 0o7777,
        modified: modified(metadata),
        credentials,
    }
}

/// Mount points of file systems that are not entered. Asked of the kernel once: to stat each
/// directory instead could wait for a server that is away.
pub(super) fn skipped_mounts() -> Vec<PathBuf> {
    let mounts = procfs::process::Process::myself().and_then(|process| process.mountinfo());
    match mounts {
        Ok(mounts) => mounts
            .into_iter()
            .filter(|mount| {
                places::is_skipped_file_system(&mount.fs_type)
                    && mount.mount_point != Path::new("/")
            })
            .map(|mount| mount.mount_point)
            .collect(),
        Err(error) => {
            tracing::warn!(%error, "mounts are unknown, so only the usual places are skipped");
            ["/proc", "/sys", "/dev/pts"].map(PathBuf::from).to_vec()
        }
    }
}
