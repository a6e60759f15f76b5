//! Hearing of credentials as they appear, change and go.
//!
//! Two threads: one listens to inotify, knows what lies where and is the only one that reports;
//! the other walks large trees for it. What is reported is always what a path holds now, so
//! events may be merged freely and the order in which the kernel tells them does not matter.

mod known;
mod worker;

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use inotify::Inotify;
use rustix::event::{EventfdFlags, eventfd};

use self::worker::Worker;
use super::discovery::{Scan, ScanSummary, scan};
use super::{FingerprintKey, places};
use crate::model::{FileId, Fingerprint, LocatedFile};

/// Requests of the handle that may wait.
const MAX_REQUESTS: usize = 4096;
/// Files found by the walking thread that may wait; it waits for room.
const MAX_SCANNED: usize = 256;
/// Trees that may wait to be walked.
const MAX_JOBS: usize = 1024;

/// What to watch.
#[derive(Debug, Clone)]
pub struct WatchConfig {
    /// The roots that are looked through at start, what is left out, and how many files.
    pub scan: Scan,
    /// Directories where files are put down for a moment: every small file there is looked into,
    /// also those that everybody may read.
    pub staging: Vec<PathBuf>,
    /// How many levels below the roots are watched for new directories and files. Deeper down,
    /// directories are watched that hold a credential or are there for credentials.
    pub depth: u8,
    /// At most this many directories are watched; the kernel has a limit of its own
    /// (`fs.inotify.max_user_watches`).
    pub max_watches: usize,
}

impl Default for WatchConfig {
    /// The usual places, two levels deep, and 16384 directories.
    fn default() -> Self {
        Self {
            scan: Scan::default(),
            staging: places::staging(),
            depth: 2,
            max_watches: 16_384,
        }
    }
}

/// What the watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A file with credentials, new or changed; without any when it was one and is none any more.
    Located(LocatedFile),
    /// A file is no longer at this path.
    Gone {
        /// The inode that was there.
        file: FileId,
        /// The path.
        path: PathBuf,
    },
    /// The roots have been looked through.
    ScanDone(ScanSummary),
    /// The kernel dropped events; what is watched is being looked through again.
    Overflow,
}

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// inotify said no.
    #[error(
        "inotify cannot be used: {0}; if too many instances are open, raise \
         fs.inotify.max_user_instances with sysctl"
    )]
    Inotify(io::Error),
    /// No thread or descriptor.
    #[error("the watching threads cannot be started: {0}")]
    Start(#[from] io::Error),
}

/// How the watch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchStats {
    /// Directories watched now.
    pub watches: u64,
    /// Directories that should be watched and are not, because a limit was reached.
    pub unwatched: u64,
    /// How often the kernel's queue ran over.
    pub overflows: u64,
    /// Files whose content was looked at by the listening thread.
    pub inspected: u64,
    /// Requests and trees that were dropped because too many waited.
    pub dropped: u64,
}

#[derive(Default)]
struct Counters {
    watches: AtomicU64,
    unwatched: AtomicU64,
    overflows: AtomicU64,
    inspected: AtomicU64,
    dropped: AtomicU64,
}

/// Contents without a shape that somebody has spoken about, by their fingerprints.
type Wanted = Arc<RwLock<HashSet<Fingerprint>>>;

/// What the listening thread is asked to do.
enum Request {
    Add(PathBuf),
    Inspect(PathBuf),
}

/// What the walking thread has to say.
enum Walked {
    Located(LocatedFile),
    Done(ScanSummary),
}

/// A tree to walk.
struct Job {
    scan: Scan,
    /// Whether this is the walk through all roots, whose end is reported.
    whole: bool,
}

/// The watch on directories.
pub struct DirectoryWatch;

/// The running watch. Dropping it ends both threads.
pub struct WatchHandle {
    requests: SyncSender<Request>,
    wake: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
    counters: Arc<Counters>,
    wanted: Wanted,
    threads: Vec<JoinHandle<()>>,
}

impl DirectoryWatch {
    /// Starts to watch, then looks through the roots. `tx` is called from one thread only and
    /// holds everything up while it waits.
    ///
    /// # Errors
    /// When inotify is not to be had or no thread can be started.
    pub fn start(
        config: WatchConfig,
        key: Arc<FingerprintKey>,
        tx: impl Fn(Found) + Send + 'static,
    ) -> Result<WatchHandle, WatchError> {
        let inotify = Inotify::init().map_err(WatchError::Inotify)?;
        let wake =
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(io::Error::from)?;
        let wake = Arc::new(wake);
        let stop = Arc::new(AtomicBool::new(false));
        let counters = Arc::new(Counters::default());
        let (requests, request_queue) = sync_channel(MAX_REQUESTS);
        let (walked, walked_queue) = sync_channel(MAX_SCANNED);
        let (jobs, job_queue) = sync_channel(MAX_JOBS);

        let wanted = Wanted::default();
        let mut handle = WatchHandle {
            wanted: Arc::clone(&wanted),
            requests,
            wake: Arc::clone(&wake),
            stop: Arc::clone(&stop),
            counters: Arc::clone(&counters),
            threads: Vec::new(),
        };
        let walker = Walker {
            key: Arc::clone(&key),
            jobs: job_queue,
            walked,
            wake: Arc::clone(&wake),
            stop: Arc::clone(&stop),
        };
        handle.spawn("credential-scan", move || walker.run())?;
        let worker = Worker::new(
            config,
            key,
            inotify,
            wake,
            request_queue,
            walked_queue,
            jobs,
            stop,
            counters,
            wanted,
            tx,
        );
        handle.spawn("credential-watch", move || worker.run())?;
        Ok(handle)
    }
}

impl WatchHandle {
    /// Looks into a directory and watches it from now on. `false` when too many requests wait.
    pub fn add_directory(&self, path: PathBuf) -> bool {
        self.request(Request::Add(path))
    }

    /// Looks into one file, whatever its name and size up to 1 MiB, and reports it if it holds
    /// a credential or did so before. `false` when too many requests wait.
    pub fn inspect(&self, path: PathBuf) -> bool {
        self.request(Request::Inspect(path))
    }

    /// Also reports files whose whole content is this secret, which discovery would not know for
    /// one. Those that are there already are not looked at again.
    pub fn want(&self, fingerprint: Fingerprint) {
        self.wanted
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(fingerprint);
    }

    /// How the watch is.
    pub fn stats(&self) -> WatchStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WatchStats {
            watches: read(&self.counters.watches),
            unwatched: read(&self.counters.unwatched),
            overflows: read(&self.counters.overflows),
            inspected: read(&self.counters.inspected),
            dropped: read(&self.counters.dropped),
        }
    }

    /// Ends both threads and waits for them. Nothing is reported afterwards.
    pub fn stop(self) {
        drop(self);
    }

    fn request(&self, request: Request) -> bool {
        let taken = self.requests.try_send(request).is_ok();
        if !taken {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
        wake_up(&self.wake);
        taken
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = std::thread::Builder::new().name(name.to_owned());
        self.threads.push(thread.spawn(body)?);
        Ok(())
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        wake_up(&self.wake);
        // The listening thread goes first: its queues close, and the walking thread ends.
        for thread in self.threads.drain(..).rev() {
            let _ = thread.join();
        }
    }
}

/// Makes the listening thread look at its queues.
fn wake_up(wake: &OwnedFd) {
    // It fails only when the counter is full, and then the thread is awake.
    let _ = rustix::io::write(wake, &1_u64.to_ne_bytes());
}

/// The walking thread.
struct Walker {
    key: Arc<FingerprintKey>,
    jobs: Receiver<Job>,
    walked: SyncSender<Walked>,
    wake: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
}

impl Walker {
    fn run(self) {
        while let Ok(job) = self.jobs.recv() {
            let summary = scan(
                &job.scan,
                &self.key,
                &mut |located| self.tell(Walked::Located(located)),
                &self.stop,
            );
            if job.whole {
                self.tell(Walked::Done(summary));
            }
        }
    }

    fn tell(&self, walked: Walked) {
        if self.walked.send(walked).is_ok() {
            wake_up(&self.wake);
        }
    }
}
