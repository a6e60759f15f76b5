//! The one buffer that holds secrets, and how files are read into it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// The largest file that is looked into, in bytes.
pub const MAX_FILE: u64 = 1 << 20;

/// Bytes that may be a secret. Wiped when dropped; has no `Debug` or `Display`, cannot be cloned,
/// and shows its content to the credential module only.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

/// Why a file's content could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A directory, FIFO, socket or device.
    #[error("it is a {0} and not a regular file")]
    NotRegular(&'static str),
    /// Larger than the cap.
    #[error("it has {len} bytes, more than the {max} that are looked into")]
    TooLarge {
        /// The file's size in bytes.
        len: u64,
        /// The cap in bytes.
        max: u64,
    },
    /// The kernel said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl SecretBytes {
    /// Takes over a buffer; the caller keeps no copy.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads a regular file from its start, whatever the descriptor's offset, which stays.
    ///
    /// # Errors
    /// When the descriptor is of no regular file, holds more than `max` bytes, or cannot be read.
    pub fn read(file: &File, max: u64) -> Result<Self, ReadError> {
        let stat = rustix::fs::fstat(file).map_err(io::Error::from)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            return Err(ReadError::NotRegular(kind_name(kind)));
        }
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        if len > max {
            return Err(ReadError::TooLarge { len, max });
        }
        // One byte more than the file has shows whether it grew meanwhile. Files of kernel file
        // systems claim to be empty, so there is always room for a little.
        let mut room = usize::try_from(len).unwrap_or(0).max(1023) + 1;
        let cap = usize::try_from(max).unwrap_or(usize::MAX).saturating_add(1);
        room = room.min(cap);
        let mut buffer = Zeroizing::new(vec![0; room]);
        let mut filled = 0;
        loop {
            match file.read_at(&mut buffer[filled..], filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            if filled < buffer.len() {
                continue;
            }
            if filled == cap {
                let len = filled as u64;
                return Err(ReadError::TooLarge { len, max });
            }
            // A vector that grows in place may leave its old content behind; a new one does not.
            let mut larger = Zeroizing::new(vec![0; (filled * 2).min(cap)]);
            larger[..filled].copy_from_slice(&buffer);
            buffer = larger;
        }
        buffer.truncate(filled);
        Ok(Self(buffer))
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The content, for the recognisers.
    pub(in crate::credential) fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// Opens a file for a look at it: never waits for a FIFO's other end or a device, never becomes
/// its terminal, and where the kernel allows it leaves the access time alone, so that looking
/// does not hide who else looked.
///
/// # Errors
/// As open(2) gives them.
pub(in crate::credential) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    match rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty()) {
        // Only the owner and root may ask for that.
        Err(Errno::PERM) => Ok(rustix::fs::open(path, flags, Mode::empty())?.into()),
        other => Ok(other?.into()),
    }
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "directory",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Symlink => "symbolic link",
        _ => "special file",
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::time::Instant;

    use super::*;

    #[test]
    fn reads_all_of_a_file_and_leaves_the_offset() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..5000_u32).map(|n| n as u8).collect();
        file.write_all(&content).unwrap();
        assert_eq!(
            SecretBytes::read(&file, 5000).unwrap().expose(),
            &content[..]
        );
        assert_eq!(file.stream_position().unwrap(), 5000);
        assert!(matches!(
            SecretBytes::read(&file, 4999),
            Err(ReadError::TooLarge {
                len: 5000,
                max: 4999
            })
        ));
    }

    #[test]
    fn reads_files_that_claim_to_be_empty() {
        let file = open(Path::new("/proc/self/status")).unwrap();
        assert!(SecretBytes::read(&file, MAX_FILE).unwrap().len() > 100);
        assert!(matches!(
            SecretBytes::read(&file, 10),
            Err(ReadError::TooLarge { .. })
        ));
    }

    #[test]
    fn neither_waits_for_a_fifo_nor_reads_a_device_or_directory() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let start = Instant::now();
        for (path, what) in [
            (fifo.as_path(), "FIFO"),
            (dir.path(), "directory"),
            (Path::new("/dev/zero"), "character device"),
        ] {
            match SecretBytes::read(&open(path).unwrap(), MAX_FILE) {
                Err(ReadError::NotRegular(kind)) => assert_eq!(kind, what),
                _ => panic!("{path:?} was read"),
            }
        }
        assert!(start.elapsed().as_secs() < 5);
    }
}
