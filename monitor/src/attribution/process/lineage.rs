//! Where a process comes from: its parents, and who gave it its uid.

use std::sync::Arc;

use super::{Process, Processes};
use crate::model::{AlertAncestor, FileId, ProcessKey, Task};

/// How a process came to its uid: the program that gave it to it, or to the parent that it has it from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The process that did it.
    pub by: ProcessKey,
    /// That program's inode.
    pub file: FileId,
    /// That program's path, where it is known.
    pub exe: Option<Arc<str>>,
}

impl Switch {
    pub(super) fn by(process: &Process) -> Self {
        Self {
            by: process.task.key(),
            file: process.task.exe,
            exe: process.exe.clone(),
        }
    }
}

impl Processes {
    /// What stands above a task, nearest first. As many as asked for where two name each other.
    fn above(&self, task: &Task) -> impl Iterator<Item = (ProcessKey, &Process)> {
        let known = self.table.get(&task.key());
        let mut next = Some(known.map_or(task.parent(), |known| known.parent));
        std::iter::from_fn(move || {
            let key = next.take().filter(|key| key.pid != 0)?;
            let parent = self.table.get(&key)?;
            next = Some(parent.parent).filter(|above| *above != key);
            Some((key, parent))
        })
    }

    /// Whoever is asked for where parents are told, and what they run: all above a task that are
    /// known, and the first that is not.
    pub(super) fn asked_above(&self, task: &Task) -> impl Iterator<Item = ProcessKey> {
        let known = self.table.get(&task.key());
        let mut next = Some(known.map_or(task.parent(), |known| known.parent));
        std::iter::from_fn(move || {
            let key = next.take()?;
            let above = self.table.get(&key).map(|parent| parent.parent);
            next = above.filter(|above| *above != key);
            Some(key)
        })
    }

    /// A task's parents, nearest first, each as it was when its program began.
    pub fn parents(&self, task: &Task) -> impl Iterator<Item = &Process> {
        self.above(task).map(|(_, parent)| parent)
    }

    /// A task's parents, nearest first, as an alert carries them.
    pub fn ancestors(&self, task: &Task) -> impl Iterator<Item = AlertAncestor> {
        self.above(task).map(|(key, parent)| AlertAncestor {
            pid: key.pid,
            exe: parent.exe.as_deref().map(str::to_owned),
        })
    }

    /// A task's parents, nearest first, each with its program's inode and path.
    pub fn lineage(&self, task: &Task) -> impl Iterator<Item = (ProcessKey, FileId, &str)> {
        self.above(task).map(|(key, parent)| {
            let exe = parent.exe.as_deref().unwrap_or_default();
            (key, parent.task.exe, exe)
        })
    }

    /// Whether a task is this process, or was forked from it, with nothing but forks in between.
    pub fn is_fork_of(&self, task: &Task, of: ProcessKey) -> bool {
        const DEEPEST: usize = 16;
        let mut key = task.key();
        for _ in 0..DEEPEST {
            if key == of {
                return true;
            }
            match self.table.get(&key).filter(|process| process.forked) {
                Some(process) => key = process.parent,
                None => return false,
            }
        }
        false
    }

    /// What gave a task its uid. `None` where nobody saw it change.
    pub fn switch(&self, task: &Task) -> Option<Switch> {
        let process = self.table.get(&task.key())?;
        if process.task.uid == task.uid {
            process.switch.clone()
        } else {
            Some(Switch::by(process))
        }
    }
}
