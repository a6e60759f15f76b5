//! One file: opened, looked at and read by the same descriptor.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::secret::{self, MAX_FILE, ReadError, SecretBytes};
use super::{FingerprintKey, opaque, recognise};
use crate::model::{Credential, FileId, LocatedFile, SystemFile, Timestamp};

/// Why a file could not be looked into.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// There is none.
    #[error("there is no file {path}; check the path", path = .0.display())]
    Missing(PathBuf),
    /// The kernel does not let this process.
    #[error(
        "{path} cannot be read: {source}; run as root, or as a user who may read it",
        path = .path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory.
    #[error("{path} is a directory; name a file in it", path = .0.display())]
    Directory(PathBuf),
    /// A device, FIFO or socket.
    #[error("{path} is a {kind}; only regular files hold credentials", path = .path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// Nothing in it.
    #[error("{path} is empty, so there is nothing to name", path = .0.display())]
    Empty(PathBuf),
    /// More than is looked into.
    #[error(
        "{path} has {len} bytes, more than the {max} that are looked into; name the file that \
         holds the credential itself",
        path = .path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        len: u64,
        /// The cap in bytes.
        max: u64,
    },
}

/// What a file holds; `None` when that is nothing known and the file none of the system's own.
/// Follows symbolic links.
///
/// # Errors
/// When the file is missing, unreadable, no regular file or larger than 1 MiB.
pub fn inspect(path: &Path, key: &FingerprintKey) -> Result<Option<LocatedFile>, InspectError> {
    inspect_open(&open(path)?, path, key)
}

/// The same for a file that is open already; its offset stays where it is.
///
/// # Errors
/// When it is no regular file, larger than 1 MiB or cannot be read.
pub fn inspect_open(
    file: &File,
    path: &Path,
    key: &FingerprintKey,
) -> Result<Option<LocatedFile>, InspectError> {
    let content = read(file, path)?;
    let credentials = recognise(path, &content, key);
    if credentials.is_empty() && SystemFile::of(path, []).is_none() {
        return Ok(None);
    }
    located(file, path, credentials).map(Some)
}

/// What a file holds that somebody named as a credential: when its content has no known shape,
/// then all of it is the secret.
///
/// # Errors
/// As [`inspect`], and when the file is empty.
pub fn inspect_any(path: &Path, key: &FingerprintKey) -> Result<LocatedFile, InspectError> {
    let file = open(path)?;
    let content = read(&file, path)?;
    if content.expose().trim_ascii().is_empty() {
        return Err(InspectError::Empty(path.to_owned()));
    }
    let mut credentials = recognise(path, &content, key);
    if credentials.is_empty() {
        credentials.push(opaque(&content, key));
    }
    located(&file, path, credentials)
}

fn open(path: &Path) -> Result<File, InspectError> {
    secret::open(path).map_err(|error| failed(path, error))
}

fn read(file: &File, path: &Path) -> Result<SecretBytes, InspectError> {
    let path = path.to_owned();
    SecretBytes::read(file, MAX_FILE).map_err(|error| match error {
        ReadError::NotRegular("directory") => InspectError::Directory(path),
        ReadError::NotRegular(kind) => InspectError::NotRegular { path, kind },
        ReadError::TooLarge { len, max } => InspectError::TooLarge { path, len, max },
        ReadError::Io(error) => failed(&path, error),
    })
}

fn failed(path: &Path, source: io::Error) -> InspectError {
    let path = path.to_owned();
    // A socket cannot be opened at all.
    if source.raw_os_error() == Some(libc::ENXIO) {
        return InspectError::NotRegular {
            path,
            kind: "socket or device without a driver",
        };
    }
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => InspectError::Missing(path),
        _ => InspectError::Unreadable { path, source },
    }
}

fn located(
    file: &File,
    path: &Path,
    credentials: Vec<Credential>,
) -> Result<LocatedFile, InspectError> {
    let metadata = file.metadata().map_err(|error| failed(path, error))?;
    Ok(LocatedFile {
        file: file_id(&metadata),
        path: path.to_owned(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        mode: metadata.mode() & 0o7777,
        modified: modified(&metadata),
        credentials,
    })
}

/// The inode that metadata speaks of.
pub(super) fn file_id(metadata: &std::fs::Metadata) -> FileId {
    FileId {
        dev: metadata.dev(),
        ino: metadata.ino(),
    }
}

/// The last change of content that metadata speaks of.
pub(super) fn modified(metadata: &std::fs::Metadata) -> Timestamp {
    let seconds = metadata.mtime().saturating_mul(1_000_000_000);
    Timestamp(seconds.saturating_add(metadata.mtime_nsec()))
}
