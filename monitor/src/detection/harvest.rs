//! CW-204: one process tree reads many credentials within a short time.
//!
//! A tree is a login session, where the audit system counts them. Elsewhere it is what descends
//! from one process: going up, the last before the service manager or before a program that opens
//! sessions and starts jobs. A process that lets itself be adopted stays in its tree, because
//! parents are those of the start.

use std::collections::VecDeque;

use hashlink::LruCache;

use super::Detector;
use super::describe;
use super::fold::{Cause, Finding};
use super::outsider::Standing;
use crate::attribution::{Actor, Reading};
use crate::model::{CredentialKind, DetectionId, FileId, ProcessKey, Timestamp};
use crate::registry::FileOwner;

/// Most trees that are kept; what read longest ago goes first.
const TREES: usize = 4_096;
/// Reads that are kept of one tree beyond the number of files that is a harvest: for kinds.
const MORE: usize = 64;
/// This many kinds of credential are a harvest, when they lie in as many files.
const KINDS: usize = 3;

/// What opens sessions and starts jobs that have nothing to do with each other.
const ROOTS: &[&str] = &[
    "agetty",
    "anacron",
    "atd",
    "conmon",
    "containerd-shim*",
    "cron",
    "crond",
    "dockerd",
    "gdm-*",
    "init",
    "lightdm",
    "login",
    "sddm-*",
    "sshd",
    "sshd-*",
    "systemd",
    "xinetd",
];

/// Which tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Tree {
    /// A login session, by its number.
    Session(u32),
    /// By its oldest process.
    Process(ProcessKey),
}

/// What trees have read lately.
#[derive(Debug)]
pub(super) struct Harvests {
    trees: LruCache<Tree, VecDeque<(Timestamp, FileId, CredentialKind)>>,
}

impl Default for Harvests {
    fn default() -> Self {
        let trees = LruCache::new(TREES);
        Self { trees }
    }
}

impl Detector {
    pub(super) fn harvest(
        &mut self,
        actor: &Actor,
        reading: &Reading,
        standing: Standing,
        owner: Option<FileOwner>,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let counts = match standing {
            Standing::Insider | Standing::User => false,
            // While users are learned, a machine that reads what is its own, and root's machinery,
            // may be a backup. An account that reads what is others' is none.
            Standing::New => {
                let uid = actor.task.uid;
                uid != 0 && owner.is_some_and(|of| of.uid != uid)
            }
            Standing::Undecided | Standing::Outsider => true,
        };
        if !counts || self.is_one_of(actor, &self.settings.harvest.allowed) {
            return;
        }
        let (tree, root) = self.tree(actor);
        let window = self.settings.harvest.window;
        let kind = reading.credential.kind;
        let reads = self
            .harvests
            .trees
            .entry(tree)
            .or_insert_with(VecDeque::new);
        reads.retain(|(at, file, of)| {
            now.since(*at).max(at.since(now)) <= window && (*file, *of) != (reading.file, kind)
        });
        if reads.len() >= usize::from(self.settings.harvest.files) + MORE {
            reads.pop_front();
        }
        reads.push_back((now, reading.file, kind));
        let mut files: Vec<_> = reads.iter().map(|(_, file, _)| *file).collect();
        files.sort_unstable();
        files.dedup();
        let mut kinds: Vec<_> = reads.iter().map(|(.., kind)| *kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let many = files.len() > usize::from(self.settings.harvest.files);
        // A file of settings may hold three kinds, and is one file.
        if !many && (kinds.len() < KINDS || files.len() < KINDS) {
            return;
        }
        let id = DetectionId::Harvest;
        let labels: Vec<_> = kinds.iter().map(|kind| kind.label()).collect();
        let started = root
            .filter(|(_, exe)| !exe.is_empty())
            .map(|(pid, exe)| format!(", started by {exe} (pid {pid}),"));
        let mut alert = describe::alert(id, now);
        alert.summary = format!(
            "{}{} and its process tree read {} files with credentials of {} within {}: {}",
            describe::who(actor),
            started.unwrap_or_default(),
            files.len(),
            match kinds.len() {
                1 => "one kind".to_owned(),
                kinds => format!("{kinds} kinds"),
            },
            minutes(window),
            labels.join(", "),
        );
        alert.identity = Some(actor.identity().clone());
        alert.process = Some(actor.to_alert());
        let tree = match tree {
            Tree::Session(number) => format!("session {number}"),
            Tree::Process(key) => format!("{} {}", key.pid, key.start.0),
        };
        let parts = vec![tree];
        findings.push(Finding {
            cause: Cause { id, parts },
            alert,
            weight: 1,
        });
    }

    /// The tree of an actor, with its oldest process where that is another.
    fn tree(&self, actor: &Actor) -> (Tree, Option<(u32, String)>) {
        const DEEPEST: usize = 64;
        let task = &actor.task;
        let mut oldest = (task.key(), None);
        for (key, file, exe) in self.state.processes.lineage(task).take(DEEPEST) {
            let opens_sessions = key.pid == 1 || self.is_program(file, exe, ROOTS);
            if opens_sessions {
                break;
            }
            oldest = (key, Some((key.pid, exe.to_owned())));
        }
        let tree = match task.session {
            Some(session) => Tree::Session(session),
            None => Tree::Process(oldest.0),
        };
        (tree, oldest.1)
    }
}

fn minutes(window: std::time::Duration) -> String {
    match window.as_secs() {
        seconds if seconds >= 60 && seconds.is_multiple_of(60) => {
            format!("{} minutes", seconds / 60)
        }
        seconds => format!("{seconds} seconds"),
    }
}
