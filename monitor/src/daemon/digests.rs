//! SHA-256 of the programs that run, where the configuration names any. On threads of their own: a
//! program may be large, and its file system slow. What is just started goes before what runs
//! already: somebody may wait for it.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use hashlink::LruCache;
use sha2::{Digest, Sha256};

use crate::model::{Fact, FileId, Sha256Digest, Task};

/// Most programs whose digest is remembered.
const PROGRAMS: usize = 16_384;
/// Most programs that wait for theirs. One that finds no room is asked for again at its next start.
const QUEUE: usize = 1_024;
/// Larger programs have none.
const LARGEST: u64 = 1 << 30;

/// A file as it was when its digest was taken: what is written to it changes one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    changed: (i64, i64),
    size: u64,
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.size(),
        }
    }
}

/// A file to be read, open already: whatever its path leads to later, this is what runs.
struct Job {
    program: FileId,
    file: File,
    version: Version,
}

/// What came of it.
struct Done {
    program: FileId,
    version: Version,
    digest: Option<Sha256Digest>,
}

/// Where a program stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Asked(Version),
    Told(Version),
}

/// The digests of programs.
pub(super) struct Digests {
    started: SyncSender<Job>,
    running: SyncSender<Job>,
    done: Receiver<Done>,
    known: LruCache<FileId, Known>,
}

impl Digests {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system has no room for them.
    pub(super) fn start() -> io::Result<Self> {
        let (to, done) = sync_channel(QUEUE);
        Ok(Self {
            started: worker(to.clone())?,
            running: worker(to)?,
            done,
            known: LruCache::new(PROGRAMS),
        })
    }

    /// The digests that are ready.
    pub(super) fn ready(&mut self) -> Vec<Fact> {
        let mut facts = Vec::new();
        while let Ok(done) = self.done.try_recv() {
            let Done {
                program,
                version,
                digest,
            } = done;
            // Another version may have been asked for meanwhile.
            if self.known.peek(&program) == Some(&Known::Asked(version)) {
                self.known.insert(program, Known::Told(version));
                facts.push(Fact::ProgramDigest {
                    file: program,
                    digest,
                });
            }
        }
        facts
    }

    /// A program was started, or runs already: has its digest taken, unless that is known. Where its
    /// content has changed since, what was known is taken back at once.
    pub(super) fn runs(&mut self, task: &Task, path: &str, is_start: bool) -> Option<Fact> {
        let program = task.exe;
        let (file, version) = open(task, Path::new(path))?;
        match self.known.get(&program) {
            Some(Known::Asked(known) | Known::Told(known)) if *known == version => None,
            before => {
                let was_told = matches!(before, Some(Known::Told(_)));
                let job = Job {
                    program,
                    file,
                    version,
                };
                let jobs = if is_start {
                    &self.started
                } else {
                    &self.running
                };
                if jobs.try_send(job).is_ok() {
                    self.known.insert(program, Known::Asked(version));
                } else {
                    self.known.remove(&program);
                }
                was_told.then_some(Fact::ProgramDigest {
                    file: program,
                    digest: None,
                })
            }
        }
    }
}

/// A thread that takes digests, and the way to it.
fn worker(to: SyncSender<Done>) -> io::Result<SyncSender<Job>> {
    let (jobs, asked) = sync_channel::<Job>(QUEUE);
    let work = move || {
        for job in asked {
            let done = Done {
                program: job.program,
                version: job.version,
                digest: digest(job.file, job.version),
            };
            if to.send(done).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("digests".to_owned())
        .spawn(work)?;
    Ok(jobs)
}

/// Opens the very file that a process runs: by the process, else by its path, where that leads to
/// the same inode.
fn open(task: &Task, path: &Path) -> Option<(File, Version)> {
    let own = format!("/proc/{}/exe", task.pid);
    let candidates = [Path::new(&own), path].into_iter();
    candidates
        .filter(|path| path.is_absolute())
        .find_map(|path| {
            let file = File::open(path).ok()?;
            let metadata = file.metadata().ok()?;
            let is_it = metadata.is_file() && super::programs::is(&metadata, task.exe, path);
            is_it.then(|| (file, Version::of(&metadata)))
        })
}

/// `None` for what is too large, cannot be read, or was written to meanwhile.
fn digest(mut file: File, version: Version) -> Option<Sha256Digest> {
    if version.size > LARGEST {
        return None;
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => hasher.update(buffer.get(..read)?),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    let after = Version::of(&file.metadata().ok()?);
    (after == version).then(|| Sha256Digest(hasher.finalize().into()))
}
