//! Who has files open, from /proc. The client looks and not the daemon: that would need
//! CAP_SYS_PTRACE, which it does without.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::model::FileId;
use crate::registry::{Assessment, Holder};

/// Descriptors that one look goes through. A host has a few thousand.
const DESCRIPTORS: usize = 1_000_000;

/// Adds to each answer who has one of its files open.
pub(super) fn add_to(answer: &mut [Assessment]) {
    let files: Vec<Vec<FileId>> = answer
        .iter()
        .map(|of| {
            of.paths
                .iter()
                .filter_map(|path| file(Path::new(path)))
                .collect()
        })
        .collect();
    let mut holders: BTreeMap<FileId, Vec<Holder>> = BTreeMap::new();
    for file in files.iter().flatten() {
        holders.insert(*file, Vec::new());
    }
    if holders.is_empty() {
        return;
    }
    let unread = look(&mut holders);
    for (of, files) in answer.iter_mut().zip(files) {
        let mut open: Vec<_> = files
            .iter()
            .filter_map(|file| holders.get(file))
            .flatten()
            .cloned()
            .collect();
        open.sort_by_key(|holder| holder.pid);
        open.dedup();
        if !files.is_empty() {
            of.add_open(&open, unread);
        }
    }
}

/// Finds who has these open, and returns how many processes could not be looked into.
fn look(holders: &mut BTreeMap<FileId, Vec<Holder>>) -> usize {
    let (mut unread, mut left) = (0, DESCRIPTORS);
    let processes = fs::read_dir("/proc").into_iter().flatten();
    for process in processes.filter_map(Result::ok) {
        let pid = process.file_name();
        let Some(pid) = pid.to_str().and_then(|pid| pid.parse::<u32>().ok()) else {
            continue;
        };
        let path = process.path();
        let descriptors = match fs::read_dir(path.join("fd")) {
            Ok(descriptors) if left > 0 => descriptors,
            // One that has just ended has nothing open.
            _ => {
                unread += usize::from(path.exists());
                continue;
            }
        };
        for descriptor in descriptors.filter_map(Result::ok) {
            left = left.saturating_sub(1);
            let Some(of) = file(&descriptor.path()).and_then(|file| holders.get_mut(&file)) else {
                continue;
            };
            if of.last().is_none_or(|last| last.pid != pid) {
                let exe = fs::read_link(path.join("exe")).ok();
                let exe = exe.map(|exe| exe.to_string_lossy().into_owned());
                of.push(Holder { pid, exe });
            }
        }
    }
    unread
}

fn file(path: &Path) -> Option<FileId> {
    let of = fs::metadata(path).ok()?;
    Some(FileId {
        dev: of.dev(),
        ino: of.ino(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_file_open_is_found() {
        let held = tempfile::NamedTempFile::new().unwrap();
        let file = file(held.path()).unwrap();
        let mut holders = BTreeMap::from([(file, Vec::new())]);
        look(&mut holders);
        let own = std::process::id();
        assert!(holders[&file].iter().any(|holder| holder.pid == own));
    }
}
