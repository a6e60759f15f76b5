//! `credwatch record` beside the tries, and what it says about who opened and read what.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use monitor::model::{Access, Fact, FileId, Record};
use rustix::process::Signal;

use super::super::daemon::Place;
use super::super::host::signal;

/// How long the program may take to find all files, and to tell of what happened.
const LONGEST: Duration = Duration::from_secs(60);

/// All accesses of one process to one file.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    pub(super) kinds: BTreeSet<Access>,
    /// What the process ran.
    pub(super) programs: HashSet<FileId>,
}

/// By process and file.
pub(super) type Accesses = HashMap<(u32, FileId), Seen>;

/// The running program, and what was read so far of what it writes.
pub(super) struct Recorder {
    child: Child,
    from: File,
    /// The beginning of a line whose end is not there yet.
    rest: Vec<u8>,
    located: HashSet<PathBuf>,
    pub(super) accesses: Accesses,
    /// How often this test itself was told of.
    own_reads: u64,
    lost: u64,
    /// Read by this test, to see how far the recording has come.
    mark: PathBuf,
    /// What the program says on stderr.
    log: PathBuf,
}

/// By stat(2).
pub(super) fn file_id(path: &Path) -> FileId {
    let metadata = fs::metadata(path).unwrap();
    FileId {
        dev: metadata.dev(),
        ino: metadata.ino(),
    }
}

impl Recorder {
    /// Starts it, and waits until every one of these files is watched.
    pub(super) fn start<'a>(place: &Place, files: impl Iterator<Item = &'a Path>) -> Self {
        let mark = place.root().join("mark");
        let key =
            "aws_access_key_id = AKIAMARKMARKMARKMARK\naws_secret_access_key = markmarkmark\n";
        fs::write(&mark, key).unwrap();
        // Discovery does not look into files for everybody whose name says nothing.
        fs::set_permissions(&mark, fs::Permissions::from_mode(0o600)).unwrap();
        let to = place.at("evasions.rec");
        let child = place
            .client(&["record", to.to_str().unwrap(), "--output", "json"])
            .arg("--config")
            .arg(place.at("credwatch.toml"))
            .stdout(Stdio::null())
            .stderr(File::create(place.at("stderr")).unwrap())
            .spawn()
            .unwrap();
        place.until("the recording has begun", || to.exists());
        let mut recorder = Self {
            child,
            from: File::open(to).unwrap(),
            rest: Vec::new(),
            located: HashSet::new(),
            accesses: HashMap::new(),
            own_reads: 0,
            lost: 0,
            mark,
            log: place.at("stderr"),
        };
        let files: Vec<_> = files.collect();
        recorder.until("every secret is found", place, |recorder| {
            files.iter().all(|file| recorder.located.contains(*file))
        });
        // A file is watched a moment after it was found.
        recorder.until("every secret is watched", place, |recorder| {
            let own = std::process::id();
            files.iter().all(|file| {
                fs::read(file).unwrap();
                recorder.accesses.contains_key(&(own, file_id(file)))
            })
        });
        recorder
    }

    fn until(&mut self, what: &str, place: &Place, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LONGEST;
        loop {
            self.read();
            if holds(self) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "it did not come about: {what} ({ended:?}): {}",
                place.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Takes in what was written since.
    pub(super) fn read(&mut self) {
        self.from.read_to_end(&mut self.rest).unwrap();
        let bytes = std::mem::take(&mut self.rest);
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_none() && !line.ends_with(b"\n") {
                self.rest = line.to_vec();
                return;
            }
            // Most facts are of no interest here, and there are many.
            let wanted = [
                &b"\"fact\":\"file-access\""[..],
                b"\"located\"",
                b"\"lost\"",
            ];
            if wanted
                .iter()
                .any(|words| memchr::memmem::find(line, words).is_some())
            {
                let (_checksum, json) = line.split_at(9);
                self.take(serde_json::from_slice(json).unwrap());
            }
        }
    }

    fn take(&mut self, record: Record) {
        match record.fact {
            Fact::Located(located) => {
                self.located.insert(located.path);
            }
            Fact::Lost { count, .. } => self.lost += count,
            Fact::FileAccess {
                task, file, access, ..
            } => {
                let own = task.pid == std::process::id() && file == file_id(&self.mark);
                self.own_reads += u64::from(own && access != Access::Open);
                let seen = self.accesses.entry((task.pid, file)).or_default();
                seen.kinds.insert(access);
                seen.programs.insert(task.exe);
            }
            _ => {}
        }
    }

    /// Waits until all that has happened so far was told of.
    pub(super) fn catch_up(&mut self) {
        let before = self.own_reads;
        let deadline = Instant::now() + LONGEST;
        while self.own_reads == before {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the recording stands still ({ended:?}): {}",
                fs::read_to_string(&self.log).unwrap()
            );
            fs::read(&self.mark).unwrap();
            std::thread::sleep(Duration::from_millis(600));
            self.read();
        }
    }

    /// Ends it well, and gives the number of events that it said were lost.
    pub(super) fn stop(mut self) -> u64 {
        signal(self.child.id(), Signal::TERM);
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        self.read();
        self.lost
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // One that has ended already is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
