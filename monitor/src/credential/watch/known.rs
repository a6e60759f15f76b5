//! What lies where, as far as it was reported.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::model::{FileId, LocatedFile};

/// The files with credentials that were reported, by path.
#[derive(Default)]
pub(super) struct Known(BTreeMap<PathBuf, LocatedFile>);

impl Known {
    pub(super) fn get(&self, path: &Path) -> Option<&LocatedFile> {
        self.0.get(path)
    }

    pub(super) fn insert(&mut self, located: LocatedFile) {
        self.0.insert(located.path.clone(), located);
    }

    pub(super) fn remove(&mut self, path: &Path) -> Option<LocatedFile> {
        self.0.remove(path)
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.0.keys().cloned().collect()
    }

    /// The paths directly in a directory.
    pub(super) fn paths_in(&self, directory: &Path) -> Vec<PathBuf> {
        self.below(directory)
            .filter(|path| path.parent() == Some(directory))
            .cloned()
            .collect()
    }

    /// Forgets all at or below a path.
    pub(super) fn remove_tree(&mut self, path: &Path) -> Vec<(FileId, PathBuf)> {
        let paths: Vec<_> = self.below(path).cloned().collect();
        paths
            .into_iter()
            .filter_map(|path| self.0.remove(&path).map(|located| (located.file, path)))
            .collect()
    }

    /// Paths compare by component, so all below a directory follow it without a gap.
    fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
        self.0
            .range(path.to_owned()..)
            .map(|(known, _)| known)
            .take_while(move |known| known.starts_with(path))
    }
}
