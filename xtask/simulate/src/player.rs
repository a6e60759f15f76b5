//! An instance of a role on a host: who it is to the kernel, what it runs, which files it reads, and
//! how each of these changes with time.

use monitor::model::{
    Credential, CredentialKind, Fact, FileId, Fingerprint, LocatedFile, Selector, Task, Timestamp,
};

use crate::parameters::{CredentialFile, Role, Step};
use crate::places::Place;
use crate::random::Source;
use crate::scene::{Device, ROOT_DEVICE, Scene, Who};

/// An instance of a role.
#[derive(Debug)]
pub struct Player<'p> {
    /// What the parameters say of it.
    pub role: &'p Role,
    /// Which of them, from 1 on.
    pub number: u32,
    /// Who it is, as alerts will call it.
    pub selector: Selector,
    /// The account that it acts as.
    pub uid: u32,
    /// Where its random numbers come from.
    pub source: Source,
    /// The device that it is, where it is one.
    pub device: Option<Device>,
    /// The job of a CI system that each run is.
    pub job: Option<Selector>,
    /// What it runs in, from one deployment to the next; the first from the beginning. None of a device.
    pub lives: Vec<Life>,
    /// The files that it reads.
    pub files: Vec<File>,
    /// When it does nothing.
    pub silences: Vec<(Timestamp, Timestamp)>,
    /// What it does besides, since when.
    pub extras: Vec<Extra>,
}

/// What a role runs in until it is deployed anew.
#[derive(Debug, Clone)]
pub struct Life {
    /// Since when.
    pub from: Timestamp,
    /// The role's own process, or the one that starts its jobs.
    pub task: Task,
    /// The container's root file system, or the host's.
    pub root: u64,
}

/// A step that came later.
#[derive(Debug)]
pub struct Extra {
    /// Since when.
    pub from: Timestamp,
    /// Behind which activity's steps.
    pub activity: usize,
    /// What.
    pub step: Step,
    /// Where to.
    pub place: Place,
}

impl Player<'_> {
    /// A name with the number of this instance.
    pub fn named(&self, text: &str) -> String {
        text.replace("{n}", &self.number.to_string())
    }

    /// What it runs in at a time.
    pub fn life(&self, at: Timestamp) -> Option<&Life> {
        let begun = self.lives.iter().rev().find(|life| life.from <= at);
        begun.or(self.lives.first())
    }

    /// Whether it does nothing at a time.
    pub fn is_silent(&self, at: Timestamp) -> bool {
        let mut silences = self.silences.iter();
        silences.any(|(from, to)| (*from..*to).contains(&at))
    }

    /// Whether it has something that runs all the time and acts as this identity: what only starts its
    /// jobs does not.
    pub fn runs(&self) -> bool {
        self.device.is_some() || self.role.program.is_some() && self.job.is_none()
    }

    /// Who connects when it does so itself.
    pub fn itself(&self, at: Timestamp) -> Option<Who<'_>> {
        let device = self.device.map(Who::Device);
        device.or_else(|| self.life(at).map(|life| Who::Daemon(&life.task)))
    }

    /// The inode of a program. Each container has its own, and a deployment brings new ones of what is
    /// not the system's.
    pub fn program(&self, path: &str, at: Timestamp) -> FileId {
        let root = self.life(at).map_or(ROOT_DEVICE, |life| life.root);
        let lives = self.lives.iter().filter(|of| of.from <= at).count() as u64;
        let is_own = is_deployable(path) && root == ROOT_DEVICE;
        program(root, path, if is_own { lives.max(1) } else { 0 })
    }

    /// A process of this identity that is to run a program that lies at any path. `None` of a device.
    pub fn process(&self, at: Timestamp, path: &str, scene: &mut Scene) -> Option<Task> {
        let life = self.life(at)?;
        Some(Task {
            pid: scene.pid(),
            start: at,
            ppid: life.task.pid,
            parent_start: life.task.start,
            uid: self.uid,
            euid: self.uid,
            gid: self.uid,
            exe: self.program(path, at),
            ..life.task.clone()
        })
    }

    /// The process runs its program.
    pub fn exec(&self, task: &Task, path: &str, scene: &mut Scene) {
        scene.exec(task.start, task, path);
        if let Some(selector) = self.job.clone() {
            let task = task.clone();
            scene.fact(task.start, Fact::Job { task, selector });
        }
    }

    /// Both.
    pub fn starts(&self, at: Timestamp, path: &str, scene: &mut Scene) -> Option<Task> {
        let task = self.process(at, path, scene)?;
        self.exec(&task, path, scene);
        Some(task)
    }
}

/// Whether a program comes with the role and not with the system.
pub fn is_deployable(path: &str) -> bool {
    !["/usr/bin/", "/bin/"].iter().any(|of| path.starts_with(of))
}

/// The inode of a program's version on a file system.
pub fn program(root: u64, path: &str, version: u64) -> FileId {
    let source = Source::new(root).of("program").of(path).at(version);
    FileId {
        dev: root,
        ino: inode(&source),
    }
}

fn inode(source: &Source) -> u64 {
    (source.number() & 0xffff_ffff).max(100)
}

/// A file with a credential.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it lies.
    pub path: String,
    /// What it holds.
    pub kind: CredentialKind,
    /// Who owns it.
    pub uid: u32,
    source: Source,
    /// Since when its content is which; the first from the beginning.
    versions: Vec<(Timestamp, FileId)>,
}

impl File {
    /// A file as parameters say it, of the instance with a number.
    pub fn new(
        of: &CredentialFile,
        number: u32,
        uid: u32,
        begin: Timestamp,
        host: &Source,
    ) -> Self {
        let path = of.path.replace("{n}", &number.to_string());
        let mut file = Self {
            kind: of.kind,
            uid,
            source: host.of("file").of(&path),
            versions: Vec::new(),
            path,
        };
        file.renew(begin);
        file
    }

    /// From a time on, another file with another credential lies there.
    pub fn renew(&mut self, at: Timestamp) {
        let file = FileId {
            dev: ROOT_DEVICE,
            ino: inode(&self.source.at(self.versions.len() as u64)),
        };
        self.versions.push((at, file));
    }

    /// Its inode at a time.
    pub fn at(&self, at: Timestamp) -> FileId {
        let mut versions = self.versions.iter().rev();
        let held = versions.find(|(from, _)| *from <= at);
        held.map(|(_, file)| *file).unwrap_or_default()
    }

    /// What discovery says of each version, and when.
    pub fn located(&self) -> impl Iterator<Item = (Timestamp, Fact)> {
        self.versions
            .iter()
            .enumerate()
            .map(|(version, (at, file))| {
                let name = self.source.of("content").at(version as u64);
                let credential = Credential {
                    fingerprint: Fingerprint::new(format!("hmac:{:016x}", name.number())),
                    kind: self.kind,
                    label: None,
                    subject: None,
                    issued: None,
                    expires: None,
                    bound: None,
                };
                let located = LocatedFile {
                    file: *file,
                    path: self.path.clone().into(),
                    uid: self.uid,
                    gid: self.uid,
                    mode: 0o600,
                    modified: *at,
                    credentials: vec![credential],
                };
                (*at, Fact::Located(located))
            })
    }
}
