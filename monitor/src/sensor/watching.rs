//! Which files, directories, names and sockets are watched.

use std::path::Path;
use std::sync::{MutexGuard, PoisonError};

use monitor_common::Hook;

use super::hooks::Attach;
use super::maps::Watches;
use super::{Sensor, marks, shared};
use crate::decode::Look;
use crate::model::FileId;

impl Sensor {
    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a credential file, by every way there is.
    ///
    /// # Errors
    /// One sentence for the log; the file stays watched by the ways that worked.
    pub fn watch_file(&self, file: FileId, path: &Path) -> Result<(), String> {
        self.shared.expect_watched(file);
        let inode = self
            .watches()
            .add_file(file)
            .map_err(|error| error.to_string());
        let mark = match &self.marks {
            Ok(marks) if self.marks_files() || marks::has_own_devices(path) => {
                marks.add_file(path).map_err(|error| error.to_string())
            }
            _ => Ok(()),
        };
        inode
            .and(mark)
            .map_err(|error| format!("{} is not fully watched: {error}", path.display()))
    }

    /// Whether opens of credential files are seen by marks: where a hook in the kernel sees them,
    /// nobody needs to wait.
    fn marks_files(&self) -> bool {
        self.footing()
            .ladder
            .stands_on(Hook::FileOpen, Attach::Marks)
    }

    /// Stops watching a file that holds no credential any more, or is gone.
    pub fn unwatch_file(&self, file: FileId, path: &Path) {
        self.shared.forget_watched(file);
        self.watches().remove_file(file);
        if let Ok(marks) = &self.marks {
            marks.remove_file(path);
        }
    }

    /// Reports first reads of unknown files in a directory; with `dedicated`, holds opens there
    /// until the file was looked into.
    ///
    /// # Errors
    /// One sentence for the log.
    pub fn watch_directory(
        &self,
        directory: FileId,
        path: &Path,
        dedicated: bool,
    ) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        self.watches()
            .add_directory(directory)
            .map_err(|error| failed(&error))?;
        match &self.marks {
            Ok(marks) if dedicated => marks.add_directory(path).map_err(|error| failed(&error)),
            _ => Ok(()),
        }
    }

    /// Reports first reads of unknown files of this name, anywhere. `false` when it is too long.
    pub fn watch_name(&self, name: &str) -> bool {
        self.watches().add_name(name)
    }

    /// Looks for agents and container runtimes that listen now, and watches their sockets.
    pub fn watch_control_sockets(&self) {
        self.sockets
            .refresh(|socket| self.watches().add_socket(socket));
    }

    /// A file was looked at and holds nothing: its reads and writes are not reported again for a
    /// while.
    pub fn set_clean(&self, look: &Look) {
        let now = u32::try_from(shared::boot_time() / 1_000_000_000).unwrap_or(u32::MAX);
        self.watches().set_clean(look.seen, now);
    }

    /// Watches the self-test's own socket.
    pub(crate) fn watch_socket(&self, socket: FileId, path: &Path) -> Result<(), String> {
        self.sockets.add(socket, path);
        self.watches()
            .add_socket(socket)
            .map_err(|error| error.to_string())
    }
}
