//! JSON Lines: an alert a line, exactly as it serializes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::model::Alert;

/// One line with its newline.
///
/// # Errors
/// None that an [`Alert`] can cause.
pub fn line(alert: &Alert) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(alert)?;
    line.push(b'\n');
    Ok(line)
}

/// A file to which whole lines are appended. When it was renamed or removed, as log rotation does,
/// a new one is made at its path.
pub(super) struct JsonFile {
    path: PathBuf,
    file: File,
    torn: bool,
}

impl JsonFile {
    /// Opens a file or makes it, readable by its owner alone: alerts name credentials' places.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let torn = ends_torn(&mut file)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            torn,
        })
    }

    /// Appends a line whole, or an error and nothing.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.moved()? {
            *self = Self::open(&self.path)?;
        }
        append(&mut self.file, &mut self.torn, line)
    }

    fn moved(&self) -> io::Result<bool> {
        let ours = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(there) => Ok((ours.dev(), ours.ino()) != (there.dev(), there.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// Whether a file ends within a line, as after a crash.
fn ends_torn(file: &mut File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// What [`append`] needs of a file.
trait Target: Write {
    /// Bytes in it; `None` when it cannot be cut, as a pipe.
    fn size(&self) -> io::Result<Option<u64>>;
    /// Cuts it.
    fn cut(&mut self, size: u64) -> io::Result<()>;
}

impl Target for File {
    fn size(&self) -> io::Result<Option<u64>> {
        let metadata = self.metadata()?;
        Ok(metadata.is_file().then_some(metadata.len()))
    }

    fn cut(&mut self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }
}

/// Appends a line. One that is written in part, as on a full disk, is taken back; where that
/// fails too, `torn` is set and the next line starts with a newline.
fn append(target: &mut impl Target, torn: &mut bool, line: &[u8]) -> io::Result<()> {
    let before = target.size()?;
    let whole = [if *torn { &b"\n"[..] } else { b"" }, line].concat();
    let mut written = 0;
    while let Some(rest) = whole.get(written..).filter(|rest| !rest.is_empty()) {
        let error = match target.write(rest) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(count) => {
                written += count;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        if written > 0 {
            let cut = before.is_some_and(|size| target.cut(size).is_ok());
            *torn |= !cut;
        }
        return Err(error);
    }
    *torn = false;
    target.flush()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A disk with little room, whose files may or may not be cut.
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
        cuts: bool,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room - self.bytes.len());
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Target for Disk {
        fn size(&self) -> io::Result<Option<u64>> {
            Ok(Some(self.bytes.len() as u64))
        }

        fn cut(&mut self, size: u64) -> io::Result<()> {
            if !self.cuts {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            self.bytes.truncate(size as usize);
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_leaves_no_half_line() {
        for (cuts, after) in [(true, "{1}\n{2}\n"), (false, "{1}\n{2\n{2}\n")] {
            let mut disk = Disk {
                bytes: Vec::new(),
                room: 6,
                cuts,
            };
            let mut torn = false;
            append(&mut disk, &mut torn, b"{1}\n").unwrap();
            for _ in 0..3 {
                let error = append(&mut disk, &mut torn, b"{2}\n").unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::StorageFull);
                assert_eq!(torn, !cuts);
            }
            disk.room = 100;
            append(&mut disk, &mut torn, b"{2}\n").unwrap();
            assert_eq!(String::from_utf8_lossy(&disk.bytes), after);
            assert!(!torn);
        }
    }

    #[test]
    fn a_file_is_private_survives_rotation_and_mends_a_torn_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("alerts.jsonl");
        let mut file = JsonFile::open(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        file.append(b"1\n").unwrap();
        let rotated = directory.path().join("alerts.jsonl.1");
        std::fs::rename(&path, &rotated).unwrap();
        file.append(b"2\n").unwrap();
        assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "1\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
        std::fs::remove_file(&path).unwrap();
        file.append(b"3\n").unwrap();
        std::fs::write(&path, "{\"half").unwrap();
        JsonFile::open(&path).unwrap().append(b"4\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"half\n4\n");
    }

    #[test]
    fn a_device_without_room_is_an_error() {
        let mut full = JsonFile::open(Path::new("/dev/full")).unwrap();
        let error = full.append(b"{}\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
