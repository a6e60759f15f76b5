//! Looking at one path, and reporting what is new about it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::Found;
use super::{Files, Worker};
use crate::credential::discovery::{is_wanted, link_target};
use crate::credential::inspect::{InspectError, file_id, inspect, inspect_any, modified};
use crate::credential::places;
use crate::model::LocatedFile;

/// A file without a telling name that never holds anything is looked into this often a second;
/// what is written to it afterwards waits for the next second.
const MAX_LOOKS: u32 = 8;
pub(super) const LOOKS_WINDOW: Duration = Duration::from_secs(1);
/// How many such files are told apart.
const MAX_BUSY: usize = 4096;

impl<F: Fn(Found)> Worker<F> {
    /// Looks at what a path holds now, and reports what is new about it.
    pub(super) fn look(&mut self, path: &Path, asked: bool) {
        let Some(metadata) = file_at(path) else {
            self.gone(path);
            return;
        };
        let known = self.known.get(path).is_some();
        let in_staging = self.config.staging.iter().any(|dir| path.starts_with(dir));
        let sniff_all = in_staging || self.config.scan.sniff_all;
        if !asked && !known {
            if self.is_left_out(path) || !is_wanted(path, &metadata, sniff_all) {
                return;
            }
            if !places::is_candidate(path, metadata.len()) && self.is_busy(&metadata, path) {
                return;
            }
        }
        self.counters.inspected.fetch_add(1, Ordering::Relaxed);
        match inspect(path, &self.key) {
            Ok(Some(located)) if located.credentials.is_empty() => {
                let wanted = self.wanted_at(path);
                self.located(wanted.unwrap_or(located));
            }
            Ok(Some(located)) => self.located(located),
            Ok(None) => match self.wanted_at(path) {
                Some(located) => self.located(located),
                None => self.no_longer(path, &metadata),
            },
            Err(InspectError::TooLarge { .. }) => self.no_longer(path, &metadata),
            Err(InspectError::Missing(_)) => self.gone(path),
            Err(error) => tracing::debug!(%error, "a file was passed over"),
        }
    }

    /// A secret without a shape that somebody has spoken about, if that is all that lies here.
    fn wanted_at(&self, path: &Path) -> Option<LocatedFile> {
        let wanted = self.wanted.read().unwrap_or_else(PoisonError::into_inner);
        if wanted.is_empty() {
            return None;
        }
        let located = inspect_any(path, &self.key).ok()?;
        let mut held = located.credentials.iter();
        held.all(|of| wanted.contains(&of.fingerprint))
            .then_some(located)
    }

    /// Whether a file was looked into often enough for now.
    fn is_busy(&mut self, metadata: &Metadata, path: &Path) -> bool {
        if self.busy.len() >= MAX_BUSY || self.postponed.len() >= MAX_BUSY {
            return false;
        }
        let now = Instant::now();
        let (since, looks) = self.busy.entry(file_id(metadata)).or_insert((now, 0));
        if now.duration_since(*since) >= LOOKS_WINDOW {
            (*since, *looks) = (now, 0);
        }
        *looks += 1;
        if *looks <= MAX_LOOKS {
            return false;
        }
        self.postponed.insert(path.to_owned());
        true
    }

    /// A file of the walking thread, which may have changed since it was read.
    pub(super) fn walked_by(&mut self, located: LocatedFile) {
        match file_at(&located.path) {
            Some(metadata)
                if file_id(&metadata) == located.file
                    && modified(&metadata) == located.modified
                    && self.known.get(&located.path).is_none() =>
            {
                self.located(located);
            }
            // An event may have told more by now; what was read earlier must not undo it.
            _ => self.look(&located.path.clone(), true),
        }
    }

    fn located(&mut self, located: LocatedFile) {
        match self.known.get(&located.path) {
            Some(known) if *known == located => return,
            Some(known) if known.file != located.file => {
                let (file, path) = (known.file, located.path.clone());
                (self.tx)(Found::Gone { file, path });
            }
            _ => {}
        }
        let directory = located.path.parent().map(Path::to_owned);
        self.known.insert(located.clone());
        (self.tx)(Found::Located(located));
        // Where one credential lies others will.
        if let Some(directory) = directory
            && !self.descriptors.contains_key(&directory)
        {
            self.list(&directory, 0, Files::Inspect);
            // What was read before the watch was there may have changed or gone in between.
            for path in self.known.paths_in(&directory) {
                self.look(&path, false);
            }
        }
    }

    /// The path is there, and holds no credential.
    fn no_longer(&mut self, path: &Path, metadata: &Metadata) {
        let Some(mut was) = self.known.remove(path) else {
            return;
        };
        if was.file == file_id(metadata) {
            was.credentials.clear();
            was.mode = metadata.mode() & 0o7777;
            (self.tx)(Found::Located(was));
        } else {
            let (file, path) = (was.file, was.path);
            (self.tx)(Found::Gone { file, path });
        }
    }

    pub(super) fn gone(&mut self, path: &Path) {
        if let Some(was) = self.known.remove(path) {
            let (file, path) = (was.file, was.path);
            (self.tx)(Found::Gone { file, path });
        }
    }
}

/// The regular file at a path, through a link of a projected volume.
fn file_at(path: &Path) -> Option<Metadata> {
    let metadata = path.symlink_metadata().ok()?;
    if metadata.is_symlink() {
        link_target(path)
    } else {
        metadata.is_file().then_some(metadata)
    }
}
