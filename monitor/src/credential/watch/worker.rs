//! The listening thread: inotify events and requests in, reports out.

mod look;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::event::{PollFd, PollFlags, poll};

use self::look::LOOKS_WINDOW;
use super::known::Known;
use super::{Counters, Found, Job, Request, Walked, Wanted, WatchConfig, wake_up};
use crate::credential::discovery::{Scan, skipped_mounts};
use crate::credential::{FingerprintKey, places};
use crate::model::FileId;

/// Bytes of events read at once.
const BUFFER: usize = 64 << 10;
/// Requests and walked files taken in one turn, so that events do not wait behind them.
const TURN: usize = 64;
/// Entries of a new directory that the listening thread looks at itself; larger ones are walked.
const MAX_LISTED: usize = 1024;
/// The listening thread's state.
pub(super) struct Worker<F> {
    config: WatchConfig,
    key: Arc<FingerprintKey>,
    inotify: Inotify,
    wake: Arc<OwnedFd>,
    requests: Receiver<Request>,
    walked: Receiver<Walked>,
    jobs: SyncSender<Job>,
    stop: Arc<AtomicBool>,
    counters: Arc<Counters>,
    wanted: Wanted,
    tx: F,
    /// Watched directories by descriptor, and how many levels below each are watched too.
    directories: HashMap<WatchDescriptor, (PathBuf, u8)>,
    descriptors: HashMap<PathBuf, WatchDescriptor>,
    known: Known,
    /// Mount points that are not entered.
    mounts: Vec<PathBuf>,
    /// Files that are written again and again, and hold nothing.
    busy: HashMap<FileId, (Instant, u32)>,
    postponed: HashSet<PathBuf>,
    warned: bool,
}

/// What is done with the files of a directory that is listed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Files {
    /// The walking thread comes by.
    Leave,
    /// They are looked into, and the trees below are walked: they have just come.
    Inspect,
    /// They are looked into, and the trees below are left alone: the directory has been there, and
    /// is watched for what comes to it. The directory of a credential may be anybody's home, and a
    /// staging place may hold whole source trees.
    InspectHere,
}

impl<F: Fn(Found)> Worker<F> {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, by the module that owns all the ends"
    )]
    pub(super) fn new(
        config: WatchConfig,
        key: Arc<FingerprintKey>,
        inotify: Inotify,
        wake: Arc<OwnedFd>,
        requests: Receiver<Request>,
        walked: Receiver<Walked>,
        jobs: SyncSender<Job>,
        stop: Arc<AtomicBool>,
        counters: Arc<Counters>,
        wanted: Wanted,
        tx: F,
    ) -> Self {
        Self {
            config,
            key,
            inotify,
            wake,
            requests,
            walked,
            jobs,
            stop,
            counters,
            wanted,
            tx,
            directories: HashMap::new(),
            descriptors: HashMap::new(),
            known: Known::default(),
            mounts: skipped_mounts(),
            busy: HashMap::new(),
            postponed: HashSet::new(),
            warned: false,
        }
    }

    pub(super) fn run(mut self) {
        // First the watches, then the walk: what appears in between is seen by one of them.
        for staging in self.config.staging.clone() {
            self.list(&staging, 1, Files::InspectHere);
        }
        for root in self.config.scan.roots.clone() {
            self.list(&root, self.config.depth, Files::Leave);
        }
        let whole = Job {
            scan: self.config.scan.clone(),
            whole: true,
        };
        self.walk(whole);

        let mut buffer = vec![0; BUFFER];
        let mut due = Instant::now() + LOOKS_WINDOW;
        while !self.stop.load(Ordering::Acquire) {
            if let Err(error) = self.wait() {
                tracing::error!(%error, "the watch on credential directories ended");
                return;
            }
            self.events(&mut buffer);
            self.queues();
            if Instant::now() >= due {
                due = Instant::now() + LOOKS_WINDOW;
                self.busy.clear();
                for path in std::mem::take(&mut self.postponed) {
                    self.look(&path, false);
                }
            }
        }
    }

    /// Until there are events or requests, or postponed files are due.
    fn wait(&self) -> io::Result<()> {
        let mut fds = [
            PollFd::new(&self.inotify, PollFlags::IN),
            PollFd::new(&self.wake, PollFlags::IN),
        ];
        let timeout = (!self.postponed.is_empty())
            .then(|| LOOKS_WINDOW.try_into().ok())
            .flatten();
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn queues(&mut self) {
        let mut counter = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut counter);
        let mut left = TURN;
        while left > 0 {
            let Ok(request) = self.requests.try_recv() else {
                break;
            };
            left -= 1;
            match request {
                Request::Add(path) => self.list(&path, 1, Files::InspectHere),
                Request::Inspect(path) => self.look(&path, true),
            }
        }
        while left > 0 {
            let Ok(walked) = self.walked.try_recv() else {
                break;
            };
            left -= 1;
            match walked {
                Walked::Located(located) => self.walked_by(located),
                Walked::Done(summary) => (self.tx)(Found::ScanDone(summary)),
            }
        }
        if left == 0 {
            // More may wait; events come first.
            wake_up(&self.wake);
        }
    }

    fn events(&mut self, buffer: &mut [u8]) {
        loop {
            let events: Vec<_> = match self.inotify.read_events(buffer) {
                Ok(events) => events.map(|event| event.to_owned()).collect(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::warn!(%error, "events of credential directories could not be read");
                    return;
                }
            };
            // A file is looked at as it is now, so its events in one batch count once.
            let mut files = Vec::new();
            let mut seen = HashSet::new();
            for event in events {
                let mask = event.mask;
                if mask.contains(EventMask::Q_OVERFLOW) {
                    self.overflow();
                    continue;
                }
                let Some((directory, level)) = self.directories.get(&event.wd).cloned() else {
                    continue;
                };
                match event.name {
                    Some(name) if mask.contains(EventMask::ISDIR) => {
                        self.directory_event(&directory.join(name), level, mask);
                    }
                    Some(name) => {
                        let path = directory.join(name);
                        if seen.insert(path.clone()) {
                            files.push(path);
                        }
                    }
                    None => self.own_event(&directory, &event.wd, mask),
                }
            }
            for path in files {
                self.file_event(&path);
            }
            if self.stop.load(Ordering::Acquire) {
                return;
            }
        }
    }

    fn directory_event(&mut self, path: &Path, parent_level: u8, mask: EventMask) {
        if mask.intersects(EventMask::DELETE | EventMask::MOVED_FROM) {
            self.forget_tree(path);
        } else if mask.intersects(EventMask::CREATE | EventMask::MOVED_TO) {
            if let Some(level) = level_below(path, parent_level) {
                self.list(path, level, Files::Inspect);
            } else if mask.contains(EventMask::MOVED_TO) {
                // It is too deep to be watched, and comes with all that it holds.
                self.walk_tree(path);
            }
        }
    }

    /// An event of a watched directory itself.
    fn own_event(&mut self, directory: &Path, wd: &WatchDescriptor, mask: EventMask) {
        if mask.intersects(EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::UNMOUNT) {
            self.forget_tree(directory);
        } else if mask.contains(EventMask::IGNORED) {
            self.directories.remove(wd);
            self.descriptors.remove(directory);
            self.count_watches();
        }
    }

    fn file_event(&mut self, path: &Path) {
        let name = path
            .file_name()
            .map_or(&b""[..], |name| name.as_encoded_bytes());
        let directory = path.parent().unwrap_or(path).to_owned();
        // A projected volume changes by one link that all others lead through.
        let swapped = name.starts_with(b"..")
            || path.is_symlink() && path.metadata().is_ok_and(|target| target.is_dir());
        if swapped {
            for path in self.known.paths_in(&directory) {
                self.look(&path, false);
            }
            let level = self.level_of(&directory);
            self.list(&directory, level, Files::Inspect);
        } else {
            self.look(path, false);
        }
    }

    /// Watches a directory, and lists it: the files are looked into, directories entered as far
    /// as they are to be watched.
    fn list(&mut self, directory: &Path, level: u8, files: Files) {
        if self.is_left_out(directory)
            || self.mounts.iter().any(|mount| mount == directory)
            || !self.watch(directory, level)
        {
            return;
        }
        let Ok(entries) = std::fs::read_dir(directory) else {
            return;
        };
        for (count, entry) in entries.flatten().enumerate() {
            if count >= MAX_LISTED && files == Files::Inspect {
                self.walk_tree(directory);
                return;
            }
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let path = entry.path();
            if !kind.is_dir() {
                if files != Files::Leave {
                    self.look(&path, false);
                }
            } else if self.descriptors.contains_key(&path) || places::is_skipped_directory(&path) {
            } else if let Some(level) = level_below(&path, level) {
                self.list(&path, level, files);
            } else if files == Files::Inspect {
                self.walk_tree(&path);
            }
        }
    }

    /// Watches a directory; `false` when that cannot be.
    fn watch(&mut self, directory: &Path, level: u8) -> bool {
        if let Some(wd) = self.descriptors.get(directory) {
            if let Some((_, known)) = self.directories.get_mut(wd) {
                *known = level.max(*known);
            }
            return true;
        }
        if self.descriptors.len() >= self.config.max_watches {
            self.unwatched("the configured limit of watched directories was reached");
            return true;
        }
        let mask = WatchMask::CREATE
            | WatchMask::CLOSE_WRITE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        match self.inotify.watches().add(directory, mask) {
            Ok(wd) => {
                // The same directory by another path has the same descriptor; the first stays.
                if !self.directories.contains_key(&wd) {
                    self.descriptors.insert(directory.to_owned(), wd.clone());
                    self.directories.insert(wd, (directory.to_owned(), level));
                    self.count_watches();
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.unwatched("raise fs.inotify.max_user_watches with sysctl");
                true
            }
            Err(_) => false,
        }
    }

    fn unwatched(&mut self, advice: &str) {
        self.counters.unwatched.fetch_add(1, Ordering::Relaxed);
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(advice, "not every credential directory is watched");
        }
    }

    fn level_of(&self, directory: &Path) -> u8 {
        let wd = self.descriptors.get(directory);
        wd.and_then(|wd| self.directories.get(wd))
            .map_or(0, |(_, level)| *level)
    }

    /// A directory went, with all that lay in it.
    fn forget_tree(&mut self, path: &Path) {
        for (file, path) in self.known.remove_tree(path) {
            (self.tx)(Found::Gone { file, path });
        }
        let below: Vec<_> = self
            .descriptors
            .keys()
            .filter(|watched| watched.starts_with(path))
            .cloned()
            .collect();
        for watched in below {
            if let Some(wd) = self.descriptors.remove(&watched) {
                self.directories.remove(&wd);
                // A directory that was removed took its watch with it.
                let _ = self.inotify.watches().remove(wd);
            }
        }
        self.count_watches();
    }

    /// Events were lost: everything that is known or watched is looked at again.
    fn overflow(&mut self) {
        self.counters.overflows.fetch_add(1, Ordering::Relaxed);
        (self.tx)(Found::Overflow);
        for path in self.known.paths() {
            self.look(&path, false);
        }
        let watched: Vec<_> = self.directories.values().cloned().collect();
        for (directory, level) in watched {
            if directory.is_dir() {
                self.list(&directory, level, Files::Inspect);
            } else {
                self.forget_tree(&directory);
            }
        }
    }

    fn walk_tree(&self, root: &Path) {
        let in_staging = self.config.staging.iter().any(|dir| root.starts_with(dir));
        let scan = Scan {
            roots: vec![root.to_owned()],
            sniff_all: in_staging || self.config.scan.sniff_all,
            ..self.config.scan.clone()
        };
        self.walk(Job { scan, whole: false });
    }

    fn walk(&self, job: Job) {
        if self.jobs.try_send(job).is_err() {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_left_out(&self, path: &Path) -> bool {
        let exclude = &self.config.scan.exclude;
        exclude.iter().any(|excluded| path.starts_with(excluded))
    }

    fn count_watches(&self) {
        let count = self.descriptors.len() as u64;
        self.counters.watches.store(count, Ordering::Relaxed);
    }
}

/// How many levels below a directory are watched, if it is itself.
fn level_below(path: &Path, parent_level: u8) -> Option<u8> {
    if places::is_skipped_directory(path) {
        return None;
    }
    let by_parent = parent_level.checked_sub(1);
    if places::is_credential_directory(path) {
        return Some(by_parent.unwrap_or(0).max(1));
    }
    by_parent
}
