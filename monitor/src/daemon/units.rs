//! Tells of systemd units whose files came or went. A unit without a file of its own, made by a
//! generator or for the moment, is nobody's to remove.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::model::Fact;

/// Where packages and administrators put units that stay.
const DIRECTORIES: &[&str] = &[
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// What has processes of its own.
const SERVICE: &str = ".service";

/// The unit files as they were last seen.
pub(super) struct Units {
    names: Option<BTreeSet<String>>,
    modified: Vec<Option<SystemTime>>,
}

impl Units {
    pub(super) fn new() -> Self {
        Self {
            names: None,
            modified: Vec::new(),
        }
    }

    /// What came and went since the last look. A stat of four directories where nothing has.
    pub(super) fn look(&mut self) -> Vec<Fact> {
        let modified = |path: &&str| fs::metadata(path).and_then(|of| of.modified()).ok();
        let modified: Vec<_> = DIRECTORIES.iter().map(modified).collect();
        if modified == self.modified {
            return Vec::new();
        }
        self.modified = modified;
        let now = names(DIRECTORIES.iter().map(Path::new));
        let before = self.names.replace(now);
        let (Some(before), Some(now)) = (before, &self.names) else {
            return Vec::new();
        };
        let gone = before.difference(now).map(|name| (name, false));
        let come = now.difference(&before).map(|name| (name, true));
        gone.chain(come)
            .map(|(name, present)| Fact::Unit {
                name: name.clone(),
                present,
            })
            .collect()
    }
}

fn names<'a>(directories: impl Iterator<Item = &'a Path>) -> BTreeSet<String> {
    let entries = directories.filter_map(|path| fs::read_dir(path).ok());
    let names = entries.flatten().filter_map(Result::ok);
    names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(SERVICE))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_found_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.service", "b.timer", "c@.service", "d.service.d"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let found = names([directory.path()].into_iter());
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            ["a.service", "c@.service"]
        );
        let mut units = Units::new();
        assert!(units.look().is_empty(), "nothing to compare with");
    }
}
