//! What is added to logs: each file's new part is looked through once. What stands in a log when it
//! is first seen is left alone: nobody writes it now, and logs are large.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::credential::{FingerprintKey, held};
use crate::model::{Fact, FileId};

/// How deep below a directory of logs files are looked at.
const DEPTH: usize = 4;
/// Most files that are followed.
const FILES: usize = 4_096;
/// Most that is read of one file, and of all, in one turn, in bytes. What lies before the last of it is
/// passed over, and said.
const MOST: u64 = 1 << 20;
const MOST_OF_ALL: u64 = 8 << 20;
/// A line may have been half written at the last turn: so much is read again.
const OVERLAP: u64 = 1 << 10;
/// Binary, or compressed.
const PASSED_OVER: &[&str] = &["journal", "gz", "xz", "bz2", "zst", "lz4", "old.gz", "db"];

/// The logs of some directories.
pub(super) struct Logs {
    directories: Vec<PathBuf>,
    /// How much of each file was seen, and what of it had been there before.
    seen: HashMap<FileId, (u64, u64)>,
    /// Whether what appears now was not there before.
    is_begun: bool,
}

impl Logs {
    pub(super) fn new(directories: Vec<PathBuf>) -> Self {
        Self {
            directories,
            seen: HashMap::new(),
            is_begun: false,
        }
    }

    /// What was written since the last turn.
    pub(super) fn turn(&mut self, key: &FingerprintKey) -> Vec<Fact> {
        let (mut facts, mut budget) = (Vec::new(), MOST_OF_ALL);
        let mut seen = HashMap::with_capacity(self.seen.len());
        for directory in &self.directories {
            let entries = walkdir::WalkDir::new(directory).max_depth(DEPTH);
            for entry in entries.into_iter().filter_map(Result::ok) {
                if seen.len() >= FILES || !entry.file_type().is_file() || is_binary(entry.path()) {
                    continue;
                }
                let Ok(metadata) = entry.metadata() else {
                    continue;
                };
                let file = FileId {
                    dev: metadata.dev(),
                    ino: metadata.ino(),
                };
                let len = metadata.len();
                let (from, before) = match self.seen.get(&file).copied() {
                    // A file that was emptied begins anew.
                    Some((from, before)) if from <= len => (from, before),
                    Some(_) => (0, 0),
                    None if self.is_begun => (0, 0),
                    None => (len, len),
                };
                seen.insert(file, (len, before));
                if from == len {
                    continue;
                }
                let most = MOST.min(budget);
                if len - from > most {
                    let bytes = len - from - most;
                    tracing::warn!(path = %entry.path().display(), bytes, "a log grows too fast to be read");
                }
                let start = from.saturating_sub(OVERLAP).max(before);
                let start = start.max(len.saturating_sub(most));
                budget = budget.saturating_sub(len - start);
                let part = usize::try_from(len - start).unwrap_or(0);
                match held::part_of_file(entry.path(), start, part, key) {
                    Ok(found) => facts.extend(found.into_iter().map(|credential| Fact::Logged {
                        path: entry.path().to_owned(),
                        owner: metadata.uid(),
                        credential,
                    })),
                    Err(error) => {
                        tracing::debug!(path = %entry.path().display(), %error, "a log was not read");
                    }
                }
            }
        }
        self.seen = seen;
        self.is_begun = true;
        facts
    }
}

fn is_binary(path: &Path) -> bool {
    let extension = path.extension().and_then(|of| of.to_str()).unwrap_or("");
    PASSED_OVER.contains(&extension)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn each_part_of_a_log_is_looked_at_once_and_what_was_there_is_not() {
        let key = FingerprintKey::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        let token = concat!("ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17");
        std::fs::write(&path, format!("before {token}\n")).unwrap();
        let mut logs = Logs::new(vec![directory.path().to_owned()]);
        assert_eq!(logs.turn(&key), [], "it was there");
        let mut file = std::fs::File::options().append(true).open(&path).unwrap();
        file.write_all(&vec![b'x'; 4 << 10]).unwrap();
        assert_eq!(logs.turn(&key), []);
        // Half a line, and then the rest of it.
        file.write_all(format!("\nAuthorization: {}", &token[..12]).as_bytes())
            .unwrap();
        assert_eq!(logs.turn(&key), []);
        file.write_all(format!("{}\n", &token[12..]).as_bytes())
            .unwrap();
        let facts = logs.turn(&key);
        assert_eq!(facts.len(), 1, "{facts:?}");
        assert!(matches!(&facts[0], Fact::Logged { path: at, .. } if *at == path));
        assert_eq!(logs.turn(&key), []);
        // A new file is new from its start.
        std::fs::write(directory.path().join("new.log"), token).unwrap();
        assert_eq!(logs.turn(&key).len(), 1);
    }
}
